"""`rlsp data steps`: labels of the steps of responses."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rlsp_cli.cli.options import Json, Overrides, named_step_scorer
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.recipe.plugin_use import ExplorationUse
    from rlsp_cli.recipe.schema import Recipe
    from rlsp_cli.recipe.steps import Steps
    from rlsp_cli.traces.labels import StepCard

Source = Annotated[
    str, typer.Argument(metavar="RECIPE_OR_FILE", help="A recipe, or a file of responses.")
]
LabelName = Annotated[
    Literal["mc", "sorm", "binary", "judge", "consensus", "mutation", "partial", "refine"],
    typer.Option("--label", help="How steps are labelled."),
]
Responses = Annotated[
    Path | None,
    typer.Option(
        "--samples",
        metavar="FILE",
        help="Responses to label with a recipe; by default its data.traces.",
    ),
]
By = Annotated[
    Literal["lines", "blank_line", "numbered", "tag", "sentences"] | None,
    typer.Option(help="What ends a step; by default as the recipe's step scorer, or lines."),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME", help="One of the recipe's models, which completes responses."
    ),
]
Completions = Annotated[
    int, typer.Option(metavar="K", help="Completions after each step that is tried.", min=1)
]
CriticOption = Annotated[
    str | None,
    typer.Option(
        "--critic",
        metavar="NAME",
        help="One of the recipe's models, which explains and rewrites steps; by default --model.",
    ),
]
Soft = Annotated[bool, typer.Option("--soft", help="Values as labels, of mc or judge.")]
Searches = Annotated[
    int, typer.Option(metavar="N", help="Most searches of binary for a problem.", min=1)
]
StepScorerName = Annotated[
    str | None,
    typer.Option("--scorer", metavar="NAME", help="Step scorer that judges; else the recipe's."),
]
ScorerOption = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="Option of --scorer; may be repeated."),
]
Threshold = Annotated[
    float, typer.Option(metavar="X", help="Score from which a judged step is right.")
]
Merge = Annotated[
    bool, typer.Option("--merge", help="Add to each row one with two neighbouring steps in one.")
]


def steps(
    source: Source,
    label: LabelName,
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The .jsonl file to write; its card is written too."),
    ],
    overrides: Overrides = None,
    samples: Responses = None,
    by: By = None,
    model: ModelOption = None,
    completions: Completions = 8,
    critic: CriticOption = None,
    soft: Soft = False,
    searches: Searches = 8,
    scorer: StepScorerName = None,
    option: ScorerOption = None,
    threshold: Threshold = 0.5,
    merge: Merge = False,
    json: Json = False,
) -> None:
    """Label the steps of responses, to train a process reward model.

    mc, sorm and binary complete responses with a model, judge asks a step scorer,
    consensus keeps what mc and judge agree on, mutation changes lines of right
    programs, partial compares wrong responses with right ones, refine asks a
    model what is wrong with a low step and for a better one. An interrupted
    command resumes.

    Example: rlsp data steps my.yaml --samples runs/a/1/ppo/rollouts.jsonl
    --label binary --model prover --out steps.jsonl
    """
    from rlsp_cli.traces.labels import LabelJob, label_steps

    recipe, file = _read(source, overrides or [], samples)
    settings = _steps(recipe, by)
    chosen = model or next(iter(recipe.models), None)
    job = LabelJob(
        recipe=recipe,
        label=label,
        out=out,
        samples=file,
        steps=settings,
        model=chosen,
        completions=completions,
        critic=critic or chosen,
        soft=soft,
        searches=searches,
        scorer=_scorer(recipe, scorer, option or [], settings),
        threshold=threshold,
        merge=merge,
        command=shlex.join(["rlsp", *sys.argv[1:]]),
    )
    card = label_steps(job)
    if json:
        print_json("steps", card.to_json())
        return

    _show(card)
    print(out)


def _read(source: str, overrides: list[str], samples: Path | None) -> "tuple[Recipe, Path | None]":
    """The recipe, and the file of responses; of a file alone the recipe is in the overrides."""
    from rlsp_cli.evals.overlap.training_set import is_file_of_rows
    from rlsp_cli.recipe.load import load_recipe, resolve_recipe
    from rlsp_cli.recipe.shipped import find_recipe
    from rlsp_cli.rewards.registry import resolve_options

    if not is_file_of_rows(source):
        recipe = load_recipe(find_recipe(source), overrides, plugins=resolve_options)
        return recipe, samples
    if samples is not None:
        raise UsageError(f"{source} and --samples {samples}: give a recipe, or one file")

    plain = {"name": "steps", "reward": {"correctness": {"use": "math_verify"}}}
    return resolve_recipe(plain, overrides, plugins=resolve_options), Path(source)


def _own_scorer(recipe: "Recipe") -> "ExplorationUse | None":
    """The first step scorer among the recipe's exploration rewards."""
    return next((use for use in recipe.reward.exploration if use.steps), None)


def _steps(recipe: "Recipe", by: str | None) -> "Steps":
    from rlsp_cli.recipe.steps import Steps

    own = _own_scorer(recipe)
    found = own.steps if own and own.steps else Steps()
    return Steps.model_validate({**found.model_dump(), "by": by or found.by})


def _scorer(
    recipe: "Recipe", name: str | None, options: list[str], settings: "Steps"
) -> "ExplorationUse | None":
    """The step scorer of `--scorer`, else the recipe's."""
    if name is not None:
        return named_step_scorer(name, options, recipe.plugins, settings)
    if options:
        raise UsageError("--option: an option of which step scorer? name it by --scorer")
    own = _own_scorer(recipe)
    return own.model_copy(update={"steps": settings}) if own else None


def _show(card: "StepCard") -> None:
    cells = [(one.name, one.before, one.after, one.reasons_text) for one in card.filters]
    print_table(["labels", "responses", "labelled", "left out, and the first of them"], cells)
    print_table(["", ""], [(name, f"{value:g}") for name, value in card.counts.items()])
