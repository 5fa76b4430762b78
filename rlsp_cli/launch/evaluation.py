"""The recipe of an evaluation that was asked for on the command line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.errors import RecipeError, UsageError
from rlsp_cli.evals.benches import check_benches
from rlsp_cli.evals.benches.bench_file import SAMPLING_KEYS
from rlsp_cli.evals.overlap.training_set import ROLES
from rlsp_cli.evals.strategies import check_scorer
from rlsp_cli.launch.gpus import count_gpus
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.run import Run, newest_run, open_run
from rlsp_cli.runs.stream import read_rows


def evaluation_recipe(target: str | None, settings: dict[str, Any], overrides: Sequence[str] = ()) -> Recipe:
    """A recipe with only an eval stage, for a run's last checkpoint, a model folder or a hub id.

    A run's data, verifier, cluster and eval settings are kept; `settings` win. Responses that are given need no
    target. A model that is to be served gets all GPUs of this machine. With `steps` in the settings, the models of a
    run's steps are evaluated. `overrides` (`seed=1`, `eval.top_p=0.9`) change any key of what comes out.
    """
    if "responses" in settings:
        samples = settings.get("samples", 0)
        replay = {**_with_bench(settings), "samples": samples, "greedy": samples == 0}
        return _resolve({"name": "eval-responses", "eval": replay}, overrides)
    if "url" in settings:
        if target is None:
            raise UsageError("--url without a model: add --model NAME, as the server calls it")
        return _resolve({"name": _name(target), "model": {"path": target}, "eval": _with_bench(settings)}, overrides)
    root = Path(target) if target else newest_run()
    if (root / "manifest.json").exists():
        return _of_run(root, settings, overrides)
    if settings.get("steps"):
        raise UsageError(f"--steps is for a run, and {target} is none")
    if target and root.suffix in (".yaml", ".yml"):
        raise UsageError(
            f"{target}: a recipe has no trained model; run it first, or use `rlsp run {target} --stage eval`"
        )
    if "heldout" in settings.get("benches", ()) and not any(one.startswith("data") for one in overrides):
        raise UsageError(f"{root}: not a run folder, and heldout is a run's own data; name a run, or another bench")
    path = str(root.absolute()) if root.is_dir() else str(target)
    cluster = {"cluster": {"gpus_per_node": count_gpus()}} if settings.get("serve") else {}
    data = {"name": _name(path), "model": {"path": path}, "eval": _with_bench(settings), **cluster}
    return _resolve(data, overrides)


def _of_run(root: Path, given: dict[str, Any], overrides: Sequence[str]) -> Recipe:
    run, settings = open_run(root), {key: value for key, value in given.items() if key != "steps"}
    trained = [run.paths.stage(stage).final for stage in ("ppo", "sft") if run.paths.stage(stage).final.exists()]
    path = str(trained[0]) if trained else run.recipe.model.path
    if path is None:
        raise UsageError(f"{root}: this run has no trained model yet; go on with it by --resume")
    kept = run.recipe.model_dump(mode="json", exclude={"sft", "ppo", "eval", "name", "model", "description"})
    before = run.recipe.eval.model_dump(mode="json", exclude_none=True) if run.recipe.eval else {}
    if "protocol" in settings:  # who asks for it now does not want the numbers that the recipe gave before
        before = {key: value for key, value in before.items() if key not in SAMPLING_KEYS}
    unused = [role for role, stage in ROLES.items() if not run.paths.stage(stage).final.exists()]
    kept["data"] |= dict.fromkeys(unused)  # what this model was not trained on
    if given.get("steps"):
        before["checkpoints"] = _of_steps(run)
    model = {"path": path, "precision": run.recipe.model.precision}
    evaluation = {**before, **_with_bench(settings)}
    return _resolve({**kept, "name": f"eval-{run.recipe.name}", "model": model, "eval": evaluation}, overrides)


def _of_steps(run: Run) -> dict[int, str]:
    """The models of a run's PPO by their step: what it began with, those that were exported, and the last."""
    paths = run.paths.stage("ppo")
    found = paths.all_exported()
    if not found:
        raise UsageError(f"{run.paths.root}: no models of steps are here; ppo.export_every keeps some")
    steps = sum(1 for _ in read_rows(paths.metrics))
    ends = {steps: paths.final} if paths.final.exists() else {}
    first = run.paths.stage("sft").final if run.recipe.sft else run.recipe.model.path
    starts = {0: first} if first else {}
    return {step: str(folder) for step, folder in sorted({**starts, **ends, **found}.items())}


def _with_bench(settings: dict[str, Any]) -> dict[str, Any]:
    if "benches" not in settings:
        raise UsageError(
            "which bench? add --bench aime24, --bench math500 or, for a run with held-out data, --bench heldout"
        )
    files: dict[str, Any] = {key: _anchored(settings[key]) for key in ("protocol", "scorer") if key in settings}
    return {**settings, **files, "benches": [_anchored(name) for name in settings["benches"]]}


def _anchored(name: str) -> str:
    """The file of a bench, protocol or scorer by its whole path: the run folder's recipe is read from elsewhere."""
    return str(Path(name).absolute()) if name.endswith((".yaml", ".yml")) or ".py:" in name else name


def _name(path: str) -> str:
    return "eval-" + re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).name.partition("@")[0])


def _resolve(data: dict[str, Any], overrides: Sequence[str]) -> Recipe:
    recipe = resolve_recipe(data, overrides, plugins=resolve_options)
    problems = [*check_benches(recipe), *check_scorer(recipe)]
    if problems:
        raise RecipeError("\n".join(map(str, problems)))
    return recipe
