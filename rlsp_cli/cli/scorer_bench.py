"""`rlsp eval --bench NAME --scorer NAME`: a scorer on benches for scorers."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.scoring_recipe import note_reasons, scoring_recipe
from rlsp_cli.errors import UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.evals.scorer_benches import ScorerBenchFile, ScorerResult
    from rlsp_cli.evals.statistics import Estimate
    from rlsp_cli.recipe.plugin_use import ScorerUse
    from rlsp_cli.recipe.schema import Recipe


def measure(
    name: str,
    benches: Sequence[str],
    recipe: str | None,
    options: Sequence[str],
    data: Path | None,
    threshold: str,
    out: Path | None,
    resume: bool,
    json: bool,
) -> None:
    """Measure the scorer on each bench; a folder for each keeps the numbers and every score.

    With `resume` that folder is `out`, or the newest of the bench, and its scores are kept.
    """
    from rlsp_cli.evals.scorer_benches import find_scorer_bench, is_scorer_bench
    from rlsp_cli.recipe.plugin_use import ScorerUse

    if not benches:
        raise UsageError("--scorer needs --bench NAME, such as processbench or rewardmath")
    if others := [bench for bench in benches if not is_scorer_bench(bench)]:
        raise UsageError(
            f"{others[0]} is no bench for scorers; to choose among a model's responses by a scorer, "
            "write eval.scorer=NAME and eval.strategies=[best_of_n]"
        )
    if out and len(benches) > 1:
        raise UsageError("--out takes one --bench")

    files = [find_scorer_bench(bench) for bench in benches]
    loaded = scoring_recipe(name, recipe, options, kind=None)
    entry = loaded.reward.exploration[0].model_dump(exclude={"weight", "on_error", "on_timeout"})
    entry.pop("on_abstain")
    scorer = ScorerUse.model_validate(entry)

    limit = _limit(threshold)
    results = [_measured(file, scorer, loaded, data, limit, out, resume) for file in files]
    if json:
        print_json("scorer-bench", [result.to_json() for result in results])
        return
    for result in results:
        _show(result)


def _limit(threshold: str) -> float | str:
    try:
        return float(threshold)
    except ValueError:
        return threshold


def _measured(
    file: "ScorerBenchFile",
    scorer: "ScorerUse",
    recipe: "Recipe",
    data: Path | None,
    threshold: float | str,
    out: Path | None,
    resume: bool,
) -> "ScorerResult":
    from rlsp_cli.backends.served_models import served_models
    from rlsp_cli.evals.scorer_benches import (
        bench_folder,
        measure_scorer,
        read_labelled,
        refuse_threshold,
        score_responses,
        write_result,
    )
    from rlsp_cli.rewards.model_use import models_at
    from rlsp_cli.runs.lock import locked

    if file.measure == "first_error" and scorer.steps is None:
        raise UsageError(f"{file.name} needs a step scorer, and {scorer.use} scores responses")

    responses = read_labelled(file, data)
    refuse_threshold(file, responses, threshold)  # before hours of scoring
    names = models_at(recipe, "reward")
    models = {name: recipe.models[name].model_dump(mode="json") for name in sorted(names)}
    folder = bench_folder(file.name, out, resume)
    with locked(folder):
        with served_models(recipe, names) as served:
            scores = score_responses(scorer, responses, folder, recipe, models, served)
        result = measure_scorer(file, scorer, models, responses, scores, threshold)
        write_result(folder, result)

    note_reasons(scores)
    print(f"results: {folder}", file=sys.stderr)
    return result


def _show(result: "ScorerResult") -> None:
    print(f"{result.scorer['use']} on {result.bench}")
    if result.threshold:
        print(f"a step is wrong below {result.threshold.value:.4g}, {_origin(result)}")

    # Fields of both measures are in the order in which they are read.
    rows: list[list[Any]] = []
    for name, found in result.subsets.items():
        rows.append([name, *map(_cell, vars(found).values())])
    if result.f1:
        middle = [""] * (len(rows[0]) - 3)
        rows.append(["mean of subsets", *middle, _cell(result.f1), ""])

    columns = list(vars(next(iter(result.subsets.values()))))
    print_table(["subset", *(column.replace("_", " ") for column in columns)], rows)
    if result.tokens:
        print(f"tokens that models read and wrote: {result.tokens}")


def _origin(result: "ScorerResult") -> str:
    assert result.threshold, "asked only then"
    chosen_on = result.threshold.chosen_on
    return f"chosen on {chosen_on}, which is in no number here" if chosen_on else "fixed before"


def _cell(value: "Estimate | int | None") -> Any:
    if value is None or isinstance(value, int):
        return value
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
