"""YAML files by name, which come with rlsp in a folder of plugins/, and a user's own by path."""

from collections.abc import Mapping
from pathlib import Path

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.issue import did_you_mean
from rlsp_cli.share import share


def shipped_files(folder: str) -> dict[str, Path]:
    """The files of `plugins/<folder>`, by name."""
    return {path.stem: path for path in sorted((share("plugins") / folder).glob("*.yaml"))}


def file_path(noun: str, name: str, shipped: Mapping[str, Path], *others: str) -> Path:
    """`./file.yaml`, or a shipped file by name.

    RecipeError, which suggests `others` too, when it is neither.
    """
    if name in shipped:
        return shipped[name]

    # Read as YAML, a file of problems given by mistake would end in an error about its syntax.
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if path.is_file():
            raise RecipeError(
                f"{name}: a {noun} is a YAML file, or one of {', '.join([*shipped, *others])}"
            )
        raise RecipeError(f"unknown {noun} {name!r} - {did_you_mean(name, [*shipped, *others])}")
    return path
