"""What training data is compared with: benches by name or file, and those of a recipe."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.evals.benches import Bench, load_bench, shipped_benches
from rlsp_cli.evals.contamination import whole_bench
from rlsp_cli.recipe.load import find_recipe, load_recipe, shipped_recipes
from rlsp_cli.recipe.schema import Data, Eval, Recipe
from rlsp_cli.rewards.registry import resolve_options

_OF_A_BENCH = {"problems", "verifier"}
"""Keys that the file of every bench has, and no recipe."""


def benches_against(names: Sequence[str], recipe: Recipe | None, data: Path | None) -> list[Bench]:
    """Benches by name or file, and all that a recipe evaluates; a name may be one of the trained recipe's.

    NotReadyError names every bench whose data is missing: what was not compared is not clean.
    """
    benches: dict[str, Bench] = {}
    missing: list[str] = []
    for name in names:
        theirs = load_recipe(find_recipe(name), plugins=resolve_options) if _is_recipe(name) else None
        if name == "heldout" and recipe is None:
            raise UsageError("heldout is a recipe's own data.heldout; name that recipe instead")
        for one in benches_of(theirs) if theirs else [name]:
            try:
                bench = _load(one, theirs or recipe, data)
                benches.setdefault(bench.name, bench)
            except NotReadyError as error:
                missing.append(str(error))
    if missing:
        raise NotReadyError("; ".join(missing))
    return list(benches.values())


def benches_of(recipe: Recipe) -> Sequence[str]:
    """The benches that a recipe evaluates; UsageError where it has none."""
    if recipe.eval is None:
        raise UsageError(f"recipe {recipe.name!r} has no eval, so no benches; name one that has")
    return recipe.eval.benches


def _load(name: str, recipe: Recipe | None, data: Path | None) -> Bench:
    if recipe is None:
        return load_bench(name, Eval(data=str(data) if data else None), Data())
    settings = recipe.eval or Eval()
    chosen = settings.model_copy(update={"data": str(data)}) if data else settings
    return whole_bench(name, recipe.model_copy(update={"eval": chosen}))


def _is_recipe(name: str) -> bool:
    if name in shipped_benches():
        return False
    path = Path(name)
    if not path.is_file() or path.suffix not in (".yaml", ".yml"):
        return name in shipped_recipes()
    try:
        keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    return isinstance(keys, dict) and not _OF_A_BENCH & keys.keys()
