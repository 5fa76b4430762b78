"""`rlsp run`, `rlsp sft`, `rlsp ppo`, `rlsp eval`: recipes become runs."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.completion import benches, recipes, runs
from rlsp_cli.cli.output import console, print_json, print_table
from rlsp_cli.cli.report import print_report
from rlsp_cli.errors import UsageError
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rich.console import Console

    from rlsp_cli.recipe.schema import Recipe
    from rlsp_cli.report import Report

RecipeArgument = Annotated[
    str, typer.Argument(help="A recipe file, or the name of a shipped recipe.", autocompletion=recipes)
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, such as ppo.steps=10.")
]
Out = Annotated[Path | None, typer.Option(help="Run folder; runs/<name>/<time> when not given.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, or with the newest of this name.")]
AllowChanges = Annotated[bool, typer.Option("--allow-changes", help="Resume though the recipe is another one now.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Write the job files, print the commands, start nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


def run(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    stage: Annotated[list[str] | None, typer.Option(help="Only this stage (sft, ppo, eval); may be repeated.")] = None,
    out: Out = None,
    resume: Resume = False,
    allow_changes: AllowChanges = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run all stages of a recipe: SFT, PPO, evaluation, report.

    Examples: rlsp run quickstart  |  rlsp run my.yaml ppo.steps=10 --out runs/try  |  rlsp run my.yaml --resume
    """
    _run(recipe, overrides or [], stage or [], out, resume, allow_changes, dry_run, json)


def sft(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out: Out = None,
    resume: Resume = False,
    allow_changes: AllowChanges = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run the SFT stage of a recipe. Example: rlsp sft my.yaml --out runs/try"""
    _run(recipe, overrides or [], ["sft"], out, resume, allow_changes, dry_run, json)


def ppo(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    out: Out = None,
    resume: Resume = False,
    allow_changes: AllowChanges = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run the PPO stage of a recipe; after `rlsp sft` in the same folder with --resume.

    Example: rlsp ppo my.yaml --out runs/try --resume
    """
    _run(recipe, overrides or [], ["ppo"], out, resume, allow_changes, dry_run, json)


def eval_(
    target: Annotated[
        str | None,
        typer.Argument(help="A run, a model folder or a hub id; the newest run when not given.", autocompletion=runs),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides: seed=1, eval.top_p=0.9 ...")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The same as TARGET; with --url the model's name there.")] = None,
    url: Annotated[str | None, typer.Option(help="Ask this OpenAI-compatible server; key in OPENAI_API_KEY.")] = None,
    bench: Annotated[
        list[str] | None,
        typer.Option(
            help="Names of `rlsp benches list`, heldout or ./file.yaml; commas, or repeated.", autocompletion=benches
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="File, or folder with <bench>.jsonl, instead of the hub.")] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Run like somebody else: a name of `rlsp benches protocols`, or ./file.yaml.")
    ] = None,
    samples: Annotated[int | None, typer.Option(help="Sampled responses per problem.")] = None,
    k: Annotated[list[int] | None, typer.Option("--k", help="k of pass@k and maj@k; may be repeated.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest response in tokens.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many problems.")] = None,
    batch: Annotated[int | None, typer.Option(help="Responses decoded, or requests under way, at once.")] = None,
    responses: Annotated[Path | None, typer.Option(help="Score this JSON Lines file (id, response) instead.")] = None,
    gold: Annotated[
        bool, typer.Option("--gold", help="Score the reference answers as responses: do they verify?")
    ] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Answer with vLLM from the OpenRLHF environment, on all GPUs here.")
    ] = False,
    steps: Annotated[
        bool, typer.Option("--steps", help="Of a run: the models that ppo.export_every kept, for accuracy over steps.")
    ] = False,
    strategy: Annotated[
        list[str] | None,
        typer.Option(help="self_consistency, best_of_n, weighted_vote, rpc, budget_forcing; commas, or repeated."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare strategies at equal tokens to this evaluated run's single answers.")
    ] = None,
    scorer: Annotated[
        str | None, typer.Option(help="What best_of_n and weighted_vote go by: logprob, confidence, a reward's name.")
    ] = None,
    fail_below: Annotated[
        list[str] | None, typer.Option(metavar="[BENCH=]SHARE", help="Exit with 6 when the accuracy is below.")
    ] = None,
    out: Out = None,
    resume: Resume = False,
    json: Json = False,
) -> None:
    """Evaluate a model on benches: greedy and sampled, avg@k, pass@k, maj@k, with intervals.

    Examples: rlsp eval my-model --bench aime24 --samples 16  |  rlsp eval --bench math500 --gold --data math500.jsonl

    With other sampling: rlsp eval my-model --bench aime24 seed=1 eval.top_p=0.9 eval.greedy=false

    `rlsp eval compare A B` tells whether two evaluations differ.
    """
    from rlsp_cli.evals.benches import Benches
    from rlsp_cli.evals.fail_below import read_limits, refuse_below
    from rlsp_cli.launch.evaluation import evaluation_recipe
    from rlsp_cli.launch.start import Start
    from rlsp_cli.launch.workflow import run_recipe

    settings: dict[str, Any] = {
        "benches": _names(bench),
        "data": str(data.absolute()) if data else None,
        "protocol": protocol,
        "samples": samples,
        "k": k,
        "temperature": temperature,
        "max_new_tokens": max_new_tokens,
        "limit": limit,
        "batch": batch,
        "strategies": _names(strategy),
        "against": str(against.absolute()) if against else None,
        "scorer": scorer,
        "url": url,
        "responses": "gold" if gold else str(responses.absolute()) if responses else None,
        "serve": serve or None,
        "steps": steps or None,
    }
    changes = list(overrides or [])
    if target and "=" in target and not Path(target).exists():
        changes.insert(0, target)
        target = None
    if steps and fail_below:
        raise UsageError("--fail-below is for one model, and --steps has several")
    if target and model:
        raise UsageError(f"{target} and --model {model}: name one of them")
    given = {key: value for key, value in settings.items() if value is not None}
    recipe = evaluation_recipe(target or model, given, changes)
    assert recipe.eval, "an evaluation's recipe has it"
    _refuse_missing(recipe)
    limits = read_limits(fail_below or [], Benches.of(recipe).names())
    if recipe.model.path and not (steps or recipe.eval.responses):
        print(f"model: {recipe.model.path}", file=sys.stderr)

    screen = console(stderr=True)
    report = run_recipe(recipe, ["eval"], Start(out, resume), screen, _resume_command)
    _show(report, screen, json)
    refuse_below({bench: card.avg for bench, card in report.score_cards.items()}, limits)


def _refuse_missing(recipe: "Recipe") -> None:
    """NotReadyError when model or benches cannot be had, before anything is written or waited for."""
    from rlsp_cli.errors import NotReadyError
    from rlsp_cli.preflight import look_at_benches, look_at_model

    if problems := [*look_at_model(recipe, ["eval"], ask_hub=True), *look_at_benches(recipe, ask_hub=True)]:
        raise NotReadyError("; ".join(map(str, problems)))


def eval_compare(
    a: Annotated[
        Path, typer.Argument(help="An evaluated run (its last model), eval/MODEL in one, or a samples.jsonl.")
    ],
    b: Annotated[Path, typer.Argument(help="The same, of the model to set beside it.")],
    allow_differences: Annotated[
        bool, typer.Option("--allow-differences", help="Compare though bench, prompts or verifier differ.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two evaluations problem by problem: difference, 95% interval, p-value, and whether they differ at all.

    Example: rlsp eval compare runs/eval-before/20260101-120000 runs/eval-after/20260101-130000
    """
    from rlsp_cli.evals.compare import compare
    from rlsp_cli.evals.saved_answers import read_answers, short_names
    from rlsp_cli.report.evaluation import difference_table

    found = compare(read_answers(a), read_answers(b), allow_differences)
    if json:
        print_json("compare", found.to_json())
        return
    first = found.comparisons[0]
    names = short_names(first.before, first.after)
    for name, place in names.items():
        print(f"{name}: {place}")
    short = {place: name for name, place in names.items()}
    renamed = [replace(one, before=short[one.before], after=short[one.after]) for one in found.comparisons]
    table = difference_table(renamed)
    print_table(table.columns, table.rows, table.title, table.keys)
    for line in found.differs:
        print(line)


def _run(
    source: str,
    overrides: list[str],
    stages: list[str],
    out: Path | None,
    resume: bool,
    allow_changes: bool,
    dry_run: bool,
    json: bool,
) -> None:
    from rlsp_cli.launch.start import Start
    from rlsp_cli.launch.workflow import pick_stages, plan_recipe, run_recipe, unfinished
    from rlsp_cli.preflight import inspect_recipe, read_recipe

    recipe, path = read_recipe(source, overrides)  # recipe.yaml -> Recipe
    picked = pick_stages(recipe, stages)
    to_start = unfinished(recipe, picked, out) if resume else () if dry_run else picked
    for note in inspect_recipe(recipe, path, to_start, ask_hub=True):
        print(note, file=sys.stderr)

    start = Start(out, resume, allow_changes, source=path)
    if dry_run:
        for command in plan_recipe(recipe, picked, start):
            print(command)
    else:
        screen = console(stderr=True)
        _show(run_recipe(recipe, picked, start, screen, _resume_command), screen, json)


def _show(report: "Report", screen: "Console", json: bool) -> None:
    """Print a report, and where its page is."""
    if json:
        print_json("report", report.to_json())
    else:
        print_report(report)
        screen.print(f"report: {RunPaths(Path(report.root)).report_html}", soft_wrap=True)


def _names(texts: list[str] | None) -> list[str] | None:
    """What was given in several options or between commas."""
    return [name.strip() for names in texts for name in names.split(",")] if texts else None


def _resume_command(root: Path) -> str:
    """The command line that was typed, with --out and --resume."""
    words = [word for word in sys.argv[1:] if word != "--resume"]
    if "--out" in words:
        at = words.index("--out")
        del words[at : at + 2]
    return shlex.join(["rlsp", *words, "--out", str(root), "--resume"])
