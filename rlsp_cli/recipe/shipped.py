"""The recipes that come with rlsp, and how a name on the command line finds one."""

from pathlib import Path

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.issue import did_you_mean
from rlsp_cli.share import share


def find_recipe(name: str) -> Path:
    """A recipe file as given, or the shipped recipe of this name; RecipeError when there is neither."""
    path, shipped = Path(name), share("recipes") / f"{name}.yaml"
    if path.is_file():
        return path
    if shipped.is_file():
        return shipped

    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        raise RecipeError(
            f"{name}: no such file or shipped recipe - {did_you_mean(name, shipped_recipes())}"
        )
    return path


def shipped_recipes() -> dict[str, Path]:
    """The ready recipes by name."""
    root = share("recipes")
    return {
        str(path.relative_to(root).with_suffix("")): path for path in sorted(root.rglob("*.yaml"))
    }
