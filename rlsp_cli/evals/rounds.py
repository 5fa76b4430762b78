"""The evaluations of a run's rounds as one evaluation, in which each round is a model."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from rlsp_cli.evals.answer import read_scored
from rlsp_cli.evals.compare import Comparison, compare_in_order
from rlsp_cli.evals.results import Results
from rlsp_cli.evals.score_card import score_cards
from rlsp_cli.runs import shapes
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import read_json, write_json

HELDOUT = "heldout"
"""The only bench by which a round is chosen."""


class Evaluated(NamedTuple):
    """A round's evaluation, and the model in it that the round left."""

    paths: StagePaths
    results: Results
    model: str


def evaluated(paths: StagePaths) -> Evaluated:
    """The evaluation of a round that is done; its last model is the one that the round left."""
    data = read_json(paths.results, shapes.ResultsDocument)["data"]
    results = Results.from_json(data)
    return Evaluated(paths, results, list(results.models)[-1])


def gather(rounds: Mapping[str, Evaluated], paths: StagePaths) -> Results:
    """Write results.json of all rounds, by name, with each beside the one before.

    The rounds' answers are linked into `paths`, so that whatever reads an evaluation reads this.
    """
    for name, one in rounds.items():
        _link(paths.root / name, one.paths.root / one.model)

    rows = {
        name: {
            bench: list(read_scored(paths.answers(name, bench).samples))
            for bench in one.results.models[one.model].benches
        }
        for name, one in rounds.items()
    }
    last = list(rounds.values())[-1]
    results = Results(
        models={name: one.results.models[one.model] for name, one in rounds.items()},
        comparisons=compare_in_order(rows),
        verifier=last.results.verifier,
        # Its data hold those of the rounds before.
        contaminated=last.results.contaminated,
    )

    cards = {bench: card.to_json() for bench, card in score_cards(results).items()}
    data = {**results.to_json(), "benches": cards}
    write_json(paths.results, {"schema": "rlsp.eval/1", "data": data})
    return results


def on_heldout(before: str, after: str, paths: StagePaths) -> Comparison | None:
    """Two gathered rounds on held-out problems: sampled responses, or greedy ones without these.

    None if they have no scored response to the same problem.
    """
    rows = {
        name: {HELDOUT: list(read_scored(paths.answers(name, HELDOUT).samples))}
        for name in (before, after)
    }
    return next(reversed(compare_in_order(rows)), None)


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        # Relative, so that the run's folder can be moved.
        link.symlink_to(os.path.relpath(target, link.parent))
