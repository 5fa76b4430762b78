"""The way of a recipe with `rounds`: each round makes traces, and is then an ordinary run."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from rlsp_cli.backends import ready_environment, stages_of
from rlsp_cli.backends.job import Job
from rlsp_cli.backends.local.backend import engine_job
from rlsp_cli.evals.rounds import evaluated, gather, on_heldout
from rlsp_cli.launch.job import launch
from rlsp_cli.launch.signals import stopping_on_signals
from rlsp_cli.launch.start import Start, starting_run
from rlsp_cli.launch.workflow import ResumeCommand, recorded, run_stages
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.rounds import Rounds
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.report import Report, write_report
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.lock import locked
from rlsp_cli.runs.paths import RunPaths, StagePaths
from rlsp_cli.runs.rounds import VALUES, RoundResult, RoundsResult, chosen_of, read_numbers
from rlsp_cli.runs.run import Run, open_run, write_run


def run_rounds(
    recipe: Recipe, start: Start, screen: Console, resume_command: ResumeCommand
) -> Report:
    """Run round 0, which is the recipe without `rounds`, and the rounds after it.

    What is done is not done again. StageError when a round fails or is stopped.
    """
    assert recipe.rounds, "called for recipes with rounds"
    with starting_run(recipe, start) as run, stopping_on_signals("stopped"):
        screen.print(f"run folder: {run.paths.root}", soft_wrap=True)
        done: list[RoundResult] = []

        for number in range(recipe.rounds.count + 1):
            name = f"round-{number}"
            with recorded(run, name, resume_command, ()):
                _run_round(run, number, done, screen, resume_command)
                done.append(_result(run, number, done))
                RoundsResult(done, chosen_of(done)).write(run.paths.root)

            if ends_early(recipe.rounds, done[-1]):
                screen.print(f"{name} is worse on held-out problems than {done[-1].against}: end")
                break

        run.update(state="done", stage=None, exit_code=0, message=None)
        return write_report(run.paths.root)


def ends_early(rounds: Rounds, last: RoundResult) -> bool:
    """Whether the recipe has no further round after this one, although `count` is not reached."""
    return rounds.stop == "heldout" and last.verdict == "worse"


def round_recipe(recipe: Recipe, number: int, model: str | None, traces: Path | None) -> Recipe:
    """The recipe of a round: without `rounds`, and from round 1 on with the traces it made.

    `model` is what the round before left; SFT starts from it if the recipe says so.
    """
    assert recipe.rounds, "called for recipes with rounds"
    data = recipe.model_dump(mode="json", exclude={"rounds"})
    data["name"] = f"{recipe.name}-round-{number}"

    sources = [source.model_dump(mode="json") for source in recipe.data.trace_sources]
    if traces is not None:
        made = {"source": str(traces)}
        prefers = recipe.sft is not None and recipe.sft.kind == "dpo"
        data["data"] |= {"pairs": made} if prefers else {"traces": [*sources, made]}
        if recipe.rounds.start == "previous":
            data["model"] |= {"path": model, "from_scratch": None}
    elif not sources:
        # Nothing to train on yet: the model as it is, so that round 1 has something beside it.
        data["sft"] = data["ppo"] = None

    return resolve_recipe(data, plugins=resolve_options)


def scorer_recipe(recipe: Recipe, number: int, model: str, values: Path) -> Recipe:
    """The recipe that trains a round's step scorer on step values, from the model of the trees."""
    assert recipe.rounds and recipe.rounds.scorer and recipe.sft, "checked by the recipe"
    own = {
        **recipe.sft.model_dump(mode="json", exclude={"mask_input", "dpo_beta", "max_steps"}),
        **recipe.rounds.scorer.model_dump(mode="json"),
        **{"kind": "prm", "backend": "local", "val_rows": 0},
    }
    whole = recipe.model_dump(mode="json", include={"seed", "plugins", "model", "cluster"})
    whole["model"] |= {"path": model, "from_scratch": None}
    name = f"{recipe.name}-round-{number}-scorer"
    data = {"steps": {"source": str(values)}}
    return resolve_recipe(
        {**whole, "name": name, "data": data, "sft": own}, plugins=resolve_options
    )


def _run_round(
    run: Run,
    number: int,
    before: Sequence[RoundResult],
    screen: Console,
    resume_command: ResumeCommand,
) -> None:
    paths = run.paths.round(number)
    screen.print(f"round {number} of {_count(run.recipe)}: {paths.root}", soft_wrap=True)

    traces, model = None, None
    if before:
        model = _model(run, before[-1])
        traces = _traces(paths)
        if not traces.exists():
            launch(_traces_job(run, number, model), Run(paths, run.recipe), screen)

    resume = partial(resume_command, run.paths.root)
    _run_part(paths, partial(round_recipe, run.recipe, number, model, traces), screen, resume)
    if model and run.recipe.rounds and run.recipe.rounds.scorer:
        values = paths.stage("traces").root / VALUES
        wanted = partial(scorer_recipe, run.recipe, number, model, values)
        _run_part(scorer_of(paths), wanted, screen, resume)


def _run_part(
    paths: RunPaths, wanted: Callable[[], Recipe], screen: Console, resume: Callable[[], str]
) -> None:
    """All stages of a run within the run, unless they are done."""
    if paths.status.exists() and open_run(paths.root).status().state == "done":
        return

    # The folder has a lock of its own: another rlsp may be told to go on with this part alone.
    with locked(paths.root):
        found = paths.resolved.exists()
        part = open_run(paths.root) if found else write_run(wanted(), None, paths.root)

        # A signal that stops it is told with the command that goes on with the whole.
        run_stages(part, stages_of(part.recipe), screen, lambda _: resume())


def _traces_job(run: Run, number: int, model: str) -> Job:
    """The job that samples and filters a round's traces."""
    paths = run.paths.round(number).stage("traces")
    earlier = _traces(run.paths.round(number - 1))
    scorer = scorer_of(run.paths.round(number - 1)).stage("sft").final
    inputs: dict[str, Any] = {
        "run": str(run.paths.root),
        "number": number,
        "model": model,
        "earlier": str(earlier) if earlier.exists() else None,
        "scorer": str(scorer) if scorer.exists() else None,
    }
    served = run.recipe.eval is not None and run.recipe.eval.serve
    environment = ready_environment(run.recipe, "eval")
    module = "rlsp_cli.traces"
    return engine_job(run.recipe, "traces", module, paths, environment, inputs, all_gpus=served)


def _result(run: Run, number: int, before: Sequence[RoundResult]) -> RoundResult:
    """What a round came to, beside the one that was chosen before it."""
    names = [*(one.name for one in before), f"round-{number}"]
    whole = run.paths.stage("eval")
    gather({name: evaluated(StagePaths(run.paths.root / name / "eval")) for name in names}, whole)

    paths = run.paths.round(number)
    model = open_run(paths.root).last_model
    assert model, "a round has a model"
    if not before:
        return RoundResult(names[-1], _relative(model, run.paths))

    against = chosen_of(before)
    found = on_heldout(against, names[-1], whole)
    numbers = read_numbers(paths.stage("traces").root / "numbers.json")
    moved = found.to_json() if found else None
    return RoundResult(names[-1], _relative(model, run.paths), numbers, against, moved)


def scorer_of(round: RunPaths) -> RunPaths:
    """The run that trains a round's step scorer."""
    return RunPaths(round.root / "scorer")


def _traces(paths: RunPaths) -> Path:
    return paths.stage("traces").root / "traces.jsonl"


def _model(run: Run, before: RoundResult) -> str:
    inside = run.paths.root / before.model
    return str(inside) if inside.exists() else before.model


def _relative(model: str, paths: RunPaths) -> str:
    path = Path(model)
    return str(path.relative_to(paths.root)) if path.is_relative_to(paths.root) else model


def _count(recipe: Recipe) -> int:
    assert recipe.rounds, "called for recipes with rounds"
    return recipe.rounds.count
