"""The benches that training data is compared with: by name, by file, or those of a recipe."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.evals.benches import Bench, Benches, shipped_benches
from rlsp_cli.evals.overlap.index import NGRAM, SHARE, OverlapIndex
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import find_recipe, shipped_recipes
from rlsp_cli.rewards.registry import resolve_options

_BENCH_KEYS = {"problems", "verifier"}
"""Keys that every bench's file has, and no recipe."""


@dataclass(frozen=True)
class ComparedBench:
    """A bench that texts were compared with, and the rule that makes a text a copy."""

    name: str
    problems: int
    source: str
    digest: str
    rule: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def compared_bench(bench: Bench) -> ComparedBench:
    """What a reader must know of a bench to judge a comparison with it."""
    rule = f"same text, or {SHARE:.0%} of its {NGRAM}-grams and its numbers in order"
    if _is_procedural(bench):
        rule = "same text"
    return ComparedBench(bench.name, len(bench.problems), bench.source, bench.digest, rule)


def index_of(benches: Sequence[Bench]) -> OverlapIndex:
    """The problems of benches, indexed; procedural problems match on exact text only."""
    # With n-grams, every two problems of a task would be copies of each other.
    index = OverlapIndex()
    for bench in benches:
        texts = {problem.id: problem.problem for problem in bench.problems}
        answers = {problem.id: problem.answer or "" for problem in bench.problems}
        index.add(bench.name, texts, answers, exact_only=_is_procedural(bench))
    return index


def benches_against(names: Sequence[str], recipe: Recipe | None, data: Path | None) -> list[Bench]:
    """The benches that `names` mean: benches by name or file, or recipes with all their benches.

    `recipe` is the one whose data is compared, if any; `heldout` and its settings are from there.
    NotReadyError names every bench whose data is missing: data that was not compared is not clean.
    """
    benches: dict[str, Bench] = {}
    missing: list[str] = []
    for name in names:
        theirs = None
        if _is_recipe(name):
            theirs = load_recipe(find_recipe(name), plugins=resolve_options)

        if name == "heldout" and recipe is None:
            raise UsageError("heldout is a recipe's own data.heldout; name that recipe instead")

        for one in benches_of(theirs) if theirs else [name]:
            try:
                bench = _load(one, theirs or recipe, data)
                benches.setdefault(bench.name, bench)
            # All at once: each may be a download of its own.
            except NotReadyError as error:
                missing.append(str(error))

    if missing:
        raise NotReadyError("; ".join(missing))
    return list(benches.values())


def benches_of(recipe: Recipe) -> Sequence[str]:
    """The names of the benches that a recipe evaluates; UsageError where it has none."""
    if recipe.eval is None:
        raise UsageError(f"recipe {recipe.name!r} has no eval, so no benches; name one that has")
    return recipe.eval.benches


def whole_bench(name: str, recipe: Recipe) -> Bench:
    """A bench of the recipe's `eval` with all its problems, whatever `eval.limit` says.

    Phrases that several problems share identify none of them, so a part of a bench would give other
    matches.
    """
    assert recipe.eval, "a recipe without eval has no benches"
    settings = recipe.eval.model_copy(update={"limit": None})
    return Benches(settings, recipe.data, recipe.plugins).load(name)


def _is_procedural(bench: Bench) -> bool:
    """Whether a task made the problems, from templates that all of them share."""
    return bench.source.startswith("task:")


def _load(name: str, recipe: Recipe | None, data: Path | None) -> Bench:
    if recipe is None:
        return Benches(Eval(data=str(data) if data else None)).load(name)

    settings = recipe.eval or Eval()
    chosen = settings.model_copy(update={"data": str(data)}) if data else settings
    return whole_bench(name, recipe.model_copy(update={"eval": chosen}))


def _is_recipe(name: str) -> bool:
    if name in shipped_benches():
        return False
    path = Path(name)
    if not path.is_file() or path.suffix not in (".yaml", ".yml"):
        return name in shipped_recipes()

    # A bench's file is YAML too.
    try:
        keys = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError):
        return False
    return isinstance(keys, dict) and not _BENCH_KEYS & keys.keys()
