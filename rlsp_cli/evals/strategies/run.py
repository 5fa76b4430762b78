"""The strategies that a recipe asks for on one bench: who they are set beside, and what they choose by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rlsp_cli.errors import UsageError
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.compare import refuse_differences
from rlsp_cli.evals.evaluate import made_with
from rlsp_cli.evals.metrics.vote import Ask, Row
from rlsp_cli.evals.saved_answers import SavedAnswers, read_answers
from rlsp_cli.evals.strategies.scorers import rescored
from rlsp_cli.evals.strategies.table import strategy_metrics
from rlsp_cli.evals.strategies.token_budget import OneAnswer, one_answer
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.sample import Score
from rlsp_cli.runs.stream import write_rows


def long_sides(recipe: Recipe, benches: Sequence[Bench]) -> dict[str, OneAnswer]:
    """What `eval.against` answered, by bench; nothing where the recipe names no run.

    UsageError when it has no evaluation of a bench, or one of other problems or by another verifier.
    """
    if recipe.eval is None or recipe.eval.against is None:
        return {}
    sides = read_answers(Path(recipe.eval.against))
    return {bench.name: _side(bench, sides) for bench in benches}


def compete(
    recipe: Recipe, bench: Bench, long: OneAnswer | None, scores: Path, rows: Sequence[Row], ask: Ask
) -> dict[str, Any]:
    """The recipe's strategies on the rows of samples.jsonl; what a plugin scored is written into the file `scores`."""
    assert recipe.eval, "checked by the recipe"
    sampled = [row for row in rows if row["kind"] == "sample"]
    given = rescored(sampled, {problem.id: bench.ask(problem.problem) for problem in bench.problems}, recipe)
    if given:
        write_rows(scores, ({**_place(row), **asdict(score)} for row, score in given))
    values = {tuple(_place(row).values()): score for row, score in given}
    found = strategy_metrics(
        [_with_score(row, values.get(tuple(_place(row).values()))) for row in rows],
        recipe.eval.strategies,
        ask,
        recipe.eval.scorer and recipe.eval.scorer.rpartition(":")[2],
        long,
    )
    return {**found, "missing": [*found["missing"], *_unscored([score for _, score in given])]}


def _side(bench: Bench, sides: Sequence[SavedAnswers]) -> OneAnswer:
    found = next((side for side in sides if side.bench == bench.name), None)
    if found is None:
        others = ", ".join(side.bench for side in sides)
        raise UsageError(f"{sides[0].label}: {bench.name} was not evaluated here, only {others}")
    ours = SavedAnswers("this evaluation", bench.name, [], made_with(bench))
    refuse_differences(found, ours, ("bench_digest", "verifier"))
    one = one_answer("/".join(Path(found.label).parts[-2:]), found.rows, ("sample", "greedy"))
    if one is None:
        raise UsageError(f"{found.label}: no scored response to {bench.name}")
    return one


def _with_score(row: Row, score: Score | None) -> Row:
    if score is None or score.value is None:
        return row
    return {**row, "scores": {**(row.get("scores") or {}), score.component: score.value}}


def _unscored(scores: Sequence[Score]) -> list[str]:
    """How many responses a scorer has no value for, and its first reason."""
    lost = [score for score in scores if score.value is None]
    if not lost:
        return []
    counts = ", ".join(f"{n} {outcome}" for outcome, n in Counter(score.outcome for score in lost).items())
    reason = next((f": {score.reason}" for score in lost if score.reason), "")
    return [f"{lost[0].component} gave {len(lost)} of {len(scores)} responses no score ({counts}){reason}"]


def _place(row: Row) -> Row:
    return {key: row[key] for key in ("id", "kind", "index")}
