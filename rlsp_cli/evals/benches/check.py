"""Check the benches that a recipe names: files, protocols, plugins, impossible settings."""

from collections.abc import Iterator
from pathlib import Path

from rlsp_cli.errors import RecipeError
from rlsp_cli.evals.benches.bench_file import Sampling, completed
from rlsp_cli.evals.benches.benches import HELDOUT, Benches
from rlsp_cli.evals.benches.probe import probe_name
from rlsp_cli.evals.benches.protocol_file import find_protocol
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe


def check_benches(recipe: Recipe) -> Iterator[Issue]:
    """An issue for each thing that would stop the evaluation; the benches' data is not read."""
    if recipe.eval is None:
        return

    # A broken protocol would be an issue of every bench again.
    if recipe.eval.protocol:
        try:
            find_protocol(recipe.eval.protocol)
        except RecipeError as error:
            yield from _issues("eval.protocol", error)
            return

    benches = Benches.of(recipe)
    known: list[str] = []
    for number, name in enumerate(recipe.eval.benches):
        key = f"eval.benches.{number}"
        try:
            called, sampling = _completed(benches, name)
        except RecipeError as error:
            yield from _issues(key, error)
            continue

        # Two files can have one name, and then one would overwrite the other's results.
        known.append(called)
        yield from _undrawable(recipe.eval, called, sampling)
        if known.count(called) == 2:
            message = f"two benches are called {called!r}, and results are kept by name"
            yield Issue(key, message, "leave one out, or give its file another name")

    yield from _one_file_for_several(recipe.eval, known)
    yield from _equal_probes(recipe.eval)


def _completed(benches: Benches, name: str) -> tuple[str, Sampling]:
    """A bench's name and sampling; RecipeError if its file or its plugins' options are wrong."""
    if benches.is_heldout(name):
        return name, benches.sampling(name)

    file = completed(benches.spec(name).file)
    return file.name, file.sampling.under(benches.settings)


def _undrawable(settings: Eval, bench: str, sampling: Sampling) -> Iterator[Issue]:
    """An issue if there is nothing to draw, or too little for pass@k."""
    # How many responses a file has is not known before it is read.
    if settings.responses is not None:
        return

    if not sampling.samples and not sampling.greedy:
        message = f"nothing to decode for {bench}: no samples, and no greedy response"
        yield Issue("eval.samples", message, "draw some by eval.samples=4, or set eval.greedy=true")

    largest = max(settings.k, default=0)
    if largest > sampling.samples:
        drawn = sampling.samples
        message = f"pass@{largest} needs at least {largest} samples of {bench}; {drawn} are drawn"
        hint = f"draw more by eval.samples={largest}, or ask for a smaller k"
        yield Issue("eval.k", message, hint)


def _one_file_for_several(settings: Eval, known: list[str]) -> Iterator[Issue]:
    """An issue if `eval.data` is one file and there are several benches to find in it."""
    others = [name for name in known if name != HELDOUT]
    if settings.data and Path(settings.data).is_file() and len(others) > 1:
        message = f"the file {settings.data} cannot hold the problems of {' and '.join(others)}"
        yield Issue("eval.data", message, "name a folder with a file for each, or one bench")


def _equal_probes(settings: Eval) -> Iterator[Issue]:
    """An issue if one probe would overwrite the results of another."""
    names = [probe_name(use) for use in settings.probes]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            message = f"two probes are called {name!r}, and results are kept by name"
            yield Issue("eval.probes", message, "evaluate one of them in another run")


def _issues(key: str, error: RecipeError) -> Iterator[Issue]:
    """One for each line."""
    return (Issue(key, line) for line in str(error).splitlines())
