"""What the tab key offers behind a command; nothing heavy is loaded for it."""

import glob
from collections.abc import Callable, Iterator
from pathlib import Path

Complete = Callable[[str], Iterator[str]]
"""From an incomplete word to the words that it may become."""


def recipes(incomplete: str) -> Iterator[str]:
    """Shipped recipes, and YAML files."""
    from rlsp_cli.recipe.shipped import shipped_recipes

    yield from (name for name in shipped_recipes() if name.startswith(incomplete))
    yield from _files(incomplete)


def _files(incomplete: str) -> Iterator[str]:
    """YAML files, and folders with a slash behind them; of a single folder, what is in it."""
    folder, slash, start = incomplete.rpartition("/")
    found = []
    for path in sorted(Path(folder + slash or ".").glob(f"{glob.escape(start)}*")):
        if path.is_dir() and (start or not path.name.startswith(".")):
            found.append(f"{folder}{slash}{path.name}/")
        elif path.suffix in (".yaml", ".yml"):
            found.append(f"{folder}{slash}{path.name}")

    # A shell would take the name of a folder, alone, for a finished word.
    is_folder = len(found) == 1 and found[0].endswith("/")
    return _files(found[0]) if is_folder else iter(found)


def benches(incomplete: str) -> Iterator[str]:
    """Shipped benches, and the recipe's own."""
    from rlsp_cli.evals.benches import shipped_benches
    from rlsp_cli.evals.scorer_benches import shipped_scorer_benches

    # Shells complete a whole word, so the names before the last comma are offered again.
    done, comma, last = incomplete.rpartition(",")
    for name in ("heldout", *shipped_benches(), *shipped_scorer_benches()):
        if name.startswith(last):
            yield f"{done}{comma}{name}"


def plugins(incomplete: str) -> Iterator[str]:
    """Plugins of every kind."""
    from rlsp_cli.rewards.registry import ENTRY_POINTS

    return _plugins(*ENTRY_POINTS)(incomplete)


def _plugins(*kinds: str) -> Complete:
    """Built-in and installed plugins of these kinds; none of them is loaded."""

    def complete(incomplete: str) -> Iterator[str]:
        from rlsp_cli.rewards.registry import names

        found = set().union(*map(names, kinds))
        return (name for name in sorted(found) if name.startswith(incomplete))

    return complete


verifiers = _plugins("verifier")
step_scorers = _plugins("step_scorer")
selectors = _plugins("selector")


def runs(incomplete: str) -> Iterator[str]:
    """Run folders in ./runs."""
    from rlsp_cli.runs.run import RUNS

    # Only where runs are by default: to look everywhere would keep the shell waiting.
    found = sorted(str(path.parent) for path in RUNS.glob("*/*/manifest.json"))
    return (name for name in found if name.startswith(incomplete))
