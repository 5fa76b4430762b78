"""The recipes that come with rlsp, and how a name finds one."""

from pathlib import Path

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.issue import did_you_mean
from rlsp_cli.share import share


def find_recipe(name: str) -> Path:
    """A recipe file, or the shipped recipe of this name; RecipeError if there is neither."""
    path, shipped = Path(name), share("recipes") / f"{name}.yaml"
    if path.is_file():
        return path
    if shipped.is_file():
        return shipped

    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        raise RecipeError(
            f"{name}: no such file or shipped recipe - {did_you_mean(name, shipped_recipes())}"
        )
    return path  # a folder, or a YAML file that is not there: reading it says so


def shipped_recipes() -> dict[str, Path]:
    """The shipped recipes by name, such as `ablations/outcome_only`."""
    root = share("recipes")
    files = sorted(root.rglob("*.yaml"))
    return {str(file.relative_to(root).with_suffix("")): file for file in files}
