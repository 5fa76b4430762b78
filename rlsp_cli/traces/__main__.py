"""The process that makes the traces of a round: `python -m rlsp_cli.traces ROUND/traces/job.json`."""

import sys
from pathlib import Path

from rlsp_cli.backends.job import read_inputs
from rlsp_cli.backends.local.sampling import open_model
from rlsp_cli.backends.served_models import served_models
from rlsp_cli.errors import RlspError
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.rewards.model_use import models_at
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.failure import report
from rlsp_cli.runs.lock import locked
from rlsp_cli.runs.paths import RunPaths, StagePaths
from rlsp_cli.traces.guide import guided_by
from rlsp_cli.traces.round import Round
from rlsp_cli.traces.self_training import make_round_traces


def main(argv: list[str]) -> int:
    """Make them; an error of a known kind is one line on stderr and in the attempt's error.json."""
    job = Path(argv[0]).absolute()
    try:
        with locked(job.parent):  # on Slurm it may run on after the rlsp that submitted it has died
            _make(job)
    except RlspError as error:
        return report(error)
    return 0


def _make(job: Path) -> None:
    _, inputs = read_inputs(job)
    recipe = load_recipe(RunPaths(Path(inputs["run"])).resolved, plugins=resolve_options)
    if inputs["scorer"]:
        recipe = guided_by(recipe, inputs["scorer"])
    paths, earlier = StagePaths(job.parent), inputs["earlier"]
    round = Round(
        recipe, inputs["number"], inputs["model"], paths, Path(earlier) if earlier else None
    )

    # A signal ends this process at once: what was sampled is written, and not asked for again.
    opening = open_model(round.model, recipe=recipe, paths=paths, check_stop=lambda: None)
    asked = models_at(recipe, "reward", "rounds")
    with served_models(recipe, asked, paths.root) as models, opening as opened:
        make_round_traces(round, opened.sampler, opened.render, models)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
