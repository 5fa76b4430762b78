"""`rlsp reward try`: score responses by a recipe, a verifier or a step scorer."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.options import Json, OptionalRecipe, Overrides, Tokenizer
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.reward.cells import number
from rlsp_cli.cli.reward.scoring import counter_of, load, scorer_of
from rlsp_cli.cli.reward.try_steps import try_steps
from rlsp_cli.cli.tab_completion import step_scorers, verifiers
from rlsp_cli.errors import UsageError
from rlsp_cli.rewards.registry import resolve_options

if TYPE_CHECKING:
    from rlsp_cli.recipe.schema import Recipe
    from rlsp_cli.rewards.sample import Sample, SampleScore

VerifierName = Annotated[
    str | None,
    typer.Option(
        "--verifier",
        metavar="NAME",
        help="Score with this verifier alone, without a recipe.",
        autocompletion=verifiers,
    ),
]
StepScorerName = Annotated[
    str | None,
    typer.Option(
        "--step-scorer",
        metavar="NAME",
        help="Score the steps of --samples; KEY=VALUE are its options, steps.by=tag too.",
        autocompletion=step_scorers,
    ),
]
ResponseText = Annotated[
    str | None, typer.Option("--response", metavar="TEXT", help="A response to score.")
]
ReferenceText = Annotated[
    str | None, typer.Option("--reference", metavar="TEXT", help="Its reference answer.")
]
PromptText = Annotated[str, typer.Option("--prompt", metavar="TEXT", help="Its prompt.")]
Samples = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Responses to score: JSON Lines with response and reference."
    ),
]


def try_(
    recipe: OptionalRecipe = None,
    overrides: Overrides = None,
    verifier: VerifierName = None,
    step_scorer: StepScorerName = None,
    response: ResponseText = None,
    reference: ReferenceText = None,
    prompt: PromptText = "",
    samples: Samples = None,
    tokenizer: Tokenizer = None,
    json: Json = False,
) -> None:
    r"""Score responses; show each component's value and its reason.

    Example: rlsp reward try quickstart --response '\boxed{3+7}' --reference 3+7
    """
    from rlsp_cli.rewards.combine import alpha_of

    if step_scorer:
        try_steps(step_scorer, recipe, overrides or [], samples, json)
        return

    # Both would be as unclear as neither: a recipe has a verifier of its own.
    if (recipe is None) == (verifier is None):
        raise UsageError(
            "nothing to score with; give either a recipe, --verifier NAME or --step-scorer NAME"
        )

    loaded = load(recipe, overrides or []) if recipe else _recipe_of(str(verifier))
    rows = _samples(response, reference, prompt, samples, counter_of(loaded, tokenizer))
    with scorer_of(loaded) as scorer:
        # Of a verifier alone there is no reward to show, only its verdicts.
        if verifier:
            _show_verdicts(rows, scorer.verify(rows), json)
        else:
            _show_scores(rows, scorer.score(rows, alpha_of(loaded, 0)), json)


def _recipe_of(verifier: str) -> "Recipe":
    """A recipe of one verifier, on all cores."""
    import os

    from rlsp_cli.recipe.load import resolve_recipe

    reward = {"correctness": {"use": verifier}, "workers": os.cpu_count() or 1}
    return resolve_recipe({"name": "try", "reward": reward}, plugins=resolve_options)


def _samples(
    response: str | None,
    reference: str | None,
    prompt: str,
    file: Path | None,
    count: Callable[[str], int] | None,
) -> list["Sample"]:
    from rlsp_cli.data import read_samples
    from rlsp_cli.rewards.plain import as_sample

    if (response is None) == (file is None):
        raise UsageError("nothing to score; give either --response TEXT or --samples FILE")
    if file is not None:
        return read_samples(file, count)

    row = {"prompt": prompt, "response": response, "reference": reference}
    return [as_sample(row, "--response", count)]


def _show_verdicts(samples: Sequence["Sample"], scores: Sequence[Any], json: bool) -> None:
    from rlsp_cli.rewards.plain import plain_part

    rows = []
    for sample, score in zip(samples, scores, strict=True):
        rows.append({"id": sample.id, **plain_part(score)})

    if json:
        keys = ("id", "outcome", "value", "seconds", "reason")
        print_json("reward-try", [_picked(row, keys) for row in rows])
    else:
        columns = ["id", "outcome", "value", "answer", "reason"]
        print_table(columns, [list(map(row.get, columns)) for row in rows])


def _picked(row: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: row[key] for key in keys}


def _show_scores(samples: Sequence["Sample"], scores: Sequence["SampleScore"], json: bool) -> None:
    from rlsp_cli.rewards.plain import plain_score

    rows = [plain_score(sample, score) for sample, score in zip(samples, scores, strict=True)]
    if json:
        print_json("reward-try", rows)
        return

    # A line for each component, and one for the reward that they come to.
    cells: list[tuple[Any, ...]] = []
    for row in rows:
        for part in row["components"]:
            value = (part["outcome"], number(part["value"]))
            cells.append((row["id"], part["component"], *value, part["answer"], part["reason"]))
        cells.append((row["id"], "reward", "", number(row["reward"]), "", ""))
    print_table(["id", "component", "outcome", "value", "answer", "reason"], cells)
