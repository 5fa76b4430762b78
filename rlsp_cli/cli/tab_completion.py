"""What the tab key offers behind a command; nothing heavy is loaded for it."""

from collections.abc import Iterator


def recipes(incomplete: str) -> Iterator[str]:
    """Shipped recipes; files are the shell's."""
    from rlsp_cli.recipe.shipped import shipped_recipes

    return (name for name in shipped_recipes() if name.startswith(incomplete))


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
    """Built-in plugins of every kind."""
    from rlsp_cli.rewards.registry import ENTRY_POINTS, built_in

    names: set[str] = set()
    for kind in ENTRY_POINTS:
        names.update(built_in(kind))
    return (name for name in sorted(names) if name.startswith(incomplete))


def verifiers(incomplete: str) -> Iterator[str]:
    """Built-in verifiers."""
    from rlsp_cli.rewards.registry import built_in

    return (name for name in built_in("verifier") if name.startswith(incomplete))


def step_scorers(incomplete: str) -> Iterator[str]:
    """Built-in step scorers."""
    from rlsp_cli.rewards.registry import built_in

    return (name for name in built_in("step_scorer") if name.startswith(incomplete))


def selectors(incomplete: str) -> Iterator[str]:
    """Built-in selectors."""
    from rlsp_cli.rewards.registry import built_in

    return (name for name in built_in("selector") if name.startswith(incomplete))


def runs(incomplete: str) -> Iterator[str]:
    """Run folders in ./runs."""
    from rlsp_cli.runs.run import RUNS

    # Only where runs are by default: to look everywhere would keep the shell waiting.
    found = sorted(str(path.parent) for path in RUNS.glob("*/*/manifest.json"))
    return (name for name in found if name.startswith(incomplete))
