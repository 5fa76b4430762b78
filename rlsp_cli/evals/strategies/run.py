"""The strategies that a recipe asks for on one bench, their reference and their scores."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rlsp_cli.errors import UsageError
from rlsp_cli.evals.answer import GREEDY, SAMPLE, Key, Scored
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.compare import refuse_differences
from rlsp_cli.evals.metrics import SameAnswer, of_kind
from rlsp_cli.evals.saved_answers import SavedAnswers, read_answers
from rlsp_cli.evals.strategies.scorers import rescored, scorer_name
from rlsp_cli.evals.strategies.table import StrategyTable, strategy_table
from rlsp_cli.evals.strategies.token_budget import SingleAnswers, single_answers
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.sample import Score
from rlsp_cli.runs.stream import write_rows


def reference_answers(recipe: Recipe, benches: Sequence[Bench]) -> dict[str, SingleAnswers]:
    """What the run `eval.against` answered, by bench; nothing if the recipe names none.

    UsageError when it has no evaluation of a bench, or one of other problems or by another
    verifier.
    """
    if recipe.eval is None or recipe.eval.against is None:
        return {}

    saved = read_answers(Path(recipe.eval.against))
    return {bench.name: _reference(bench, saved) for bench in benches}


def run_strategies(
    recipe: Recipe,
    bench: Bench,
    reference: SingleAnswers | None,
    scores_file: Path,
    rows: Sequence[Scored],
    same: SameAnswer,
    served: Addresses = NO_MODELS,
) -> StrategyTable:
    """The recipe's strategies on the rows of samples.jsonl.

    What a plugin scored is written into `scores_file`; it can ask the models that are `served`.
    """
    assert recipe.eval, "checked by the recipe"
    prompts = {problem.id: bench.ask(problem.problem) for problem in bench.problems}

    # They stay out of samples.jsonl, which is append-only and holds what was drawn.
    scored = rescored(of_kind(rows, SAMPLE), prompts, recipe, served)
    if scored:
        write_rows(scores_file, (_score_row(row, score) for row, score in scored))

    scores: dict[Key, Score] = {row.key: score for row, score in scored}
    ranked = [_with_score(row, scores.get(row.key)) for row in rows]

    # What models read and wrote for the scores is spent by whoever chooses by them.
    table = strategy_table(
        ranked,
        recipe.eval.strategies,
        same,
        scorer_name(recipe.eval),
        reference,
        recipe.eval.split,
        {key: score.tokens for key, score in scores.items()},
    )
    return replace(table, missing=[*table.missing, *_unscored([score for _, score in scored])])


def _reference(bench: Bench, saved: Sequence[SavedAnswers]) -> SingleAnswers:
    theirs = next((answers for answers in saved if answers.bench == bench.name), None)
    if theirs is None:
        others = ", ".join(answers.bench for answers in saved)
        raise UsageError(f"{saved[0].label}: {bench.name} was not evaluated here, only {others}")

    # Prompts may differ: a long answer is often asked for in other words than many short ones.
    ours = SavedAnswers("this evaluation", bench.name, [], bench.identity)
    refuse_differences(theirs, ours, ("bench_digest", "verifier"))

    # The last two parts of a path are what a reader knows a model by; tables have no more room.
    label = "/".join(Path(theirs.label).parts[-2:])
    single = single_answers(label, theirs.rows, (SAMPLE, GREEDY))
    if single is None:
        raise UsageError(f"{theirs.label}: no scored response to {bench.name}")
    return single


def _score_row(row: Scored, score: Score) -> dict[str, object]:
    return {"id": row.id, "kind": row.kind, "index": row.index, **asdict(score)}


def _with_score(row: Scored, score: Score | None) -> Scored:
    if score is None or score.value is None:
        return row

    # Beside the scores that the sampler gave: a strategy may need both.
    return replace(row, scores={**row.scores, score.component: score.value})


def _unscored(scores: Sequence[Score]) -> list[str]:
    """How many responses a scorer has no value for, and its first reason."""
    lost = [score for score in scores if score.value is None]
    if not lost:
        return []

    outcomes = Counter(score.outcome for score in lost)
    counts = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())
    reason = next((f": {score.reason}" for score in lost if score.reason), "")
    scorer, without = lost[0].component, f"{len(lost)} of {len(scores)} responses"
    return [f"{scorer} gave {without} no score ({counts}){reason}"]
