"""The recipe of an evaluation that the command line describes."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.errors import RecipeError, UsageError
from rlsp_cli.evals.benches import check_benches
from rlsp_cli.evals.benches.bench_file import SAMPLING_KEYS
from rlsp_cli.evals.continuation import check_continuation
from rlsp_cli.evals.overlap.training_set import ROLES
from rlsp_cli.evals.search import check_search
from rlsp_cli.evals.strategies import check_scorer
from rlsp_cli.evals.thinking import check_thinking
from rlsp_cli.launch.gpus import count_gpus
from rlsp_cli.recipe.key_values import plain_settings
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.run import Run, newest_run, open_run
from rlsp_cli.runs.stream import read_rows


def evaluation_recipe(
    target: str | None,
    settings: Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    steps: bool = False,
) -> Recipe:
    """A recipe with only an eval stage, for a run's last checkpoint, a model folder or a hub id.

    `settings` are keys of `eval`; `overrides` (`seed=1`, `eval.top_p=0.9`) change any key of the
    result. A run's data, verifier, cluster and eval settings are kept; with `steps`, the models
    of its steps are evaluated. Responses that are given need no target. UsageError when the target
    is missing, or lacks what the settings ask for.
    """
    changes = plain_settings(overrides)
    asked = {**settings, **_mapping(changes.get("eval"))}
    if "benches" not in asked:
        raise UsageError(
            "which bench? add --bench aime24, --bench math500 or, "
            "for a run with held-out data, --bench heldout"
        )

    if "responses" in asked:
        data = _of_responses(asked)
    elif "url" in asked:
        data = _of_server(target)
    else:
        root = Path(target) if target else newest_run()
        if (root / "manifest.json").exists():
            data = _of_run(open_run(root), asked, steps)
        elif steps:
            raise UsageError(f"{root}: not a run folder, and --steps needs one")
        else:
            data = _of_model(target or str(root), asked, has_data="data" in changes)

    # Overrides are applied to the finished recipe, where they are also checked and their origin is
    # recorded; only `asked` needed to know them before.
    evaluation = {**data.get("eval", {}), **settings}
    evaluation["benches"] = [_anchored(name) for name in evaluation.get("benches", ())]
    return _resolve({**data, "eval": evaluation}, overrides)


def _of_responses(asked: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe without a model. One response to each problem, counted as greedy, is the default."""
    samples = asked.get("samples", 0)
    return {"name": "eval-responses", "eval": {"samples": samples, "greedy": samples == 0}}


def _of_server(target: str | None) -> dict[str, Any]:
    if target is None:
        raise UsageError(
            "--url without a model: add the name that the server knows it by, "
            "rlsp eval NAME --url URL"
        )
    return {"name": _name(target), "model": {"path": target}}


def _of_model(target: str, asked: Mapping[str, Any], has_data: bool) -> dict[str, Any]:
    """A recipe for a model folder or a hub id; with `serve`, on all GPUs of this machine."""
    root = Path(target)
    if root.suffix in (".yaml", ".yml"):
        raise UsageError(
            f"{target}: a recipe has no trained model; "
            f"run it first, or use `rlsp run {target} --stage eval`"
        )
    if "heldout" in asked["benches"] and not has_data:
        raise UsageError(
            f"{target}: not a run folder, and heldout is a run's own data; "
            "name a run, or another bench"
        )

    path = str(root.absolute()) if root.is_dir() else target
    data: dict[str, Any] = {"name": _name(path), "model": {"path": path}}
    if asked.get("serve"):
        data["cluster"] = {"gpus_per_node": count_gpus()}
    return data


def _of_run(run: Run, asked: Mapping[str, Any], steps: bool) -> dict[str, Any]:
    """A run's own recipe for its last model, without what is only for training."""
    path = run.last_model
    if path is None:
        raise UsageError(
            f"{run.paths.root}: this run has no trained model yet; go on with it by --resume"
        )

    kept = run.recipe.model_dump(
        mode="json", exclude={"sft", "ppo", "eval", "rounds", "name", "model", "description"}
    )

    # The overlap of a bench with data that this model was not trained on says nothing.
    for role, stage in ROLES.items():
        if not run.paths.stage(stage).final.exists():
            kept["data"][role] = None

    before = run.recipe.eval.model_dump(mode="json", exclude_none=True) if run.recipe.eval else {}
    if "protocol" in asked:
        # A protocol is a set of sampling settings; the run's own would win over it.
        before = {key: value for key, value in before.items() if key not in SAMPLING_KEYS}
    if steps:
        before["checkpoints"] = _of_steps(run)

    model = {"path": path, "precision": run.recipe.model.precision}
    return {**kept, "name": f"eval-{run.recipe.name}", "model": model, "eval": before}


def _of_steps(run: Run) -> dict[int, str]:
    """The models of a run's PPO by their step: the first, the exported ones, and the last."""
    paths = run.paths.stage("ppo")
    exported = paths.all_exported()
    if not exported:
        raise UsageError(
            f"{run.paths.root}: this run kept no models of its steps; "
            "set ppo.export_every in the recipe of the next one"
        )

    found: dict[int, Any] = {}
    first = run.paths.stage("sft").final if run.recipe.sft else run.recipe.model.path
    if first:
        found[0] = first

    # The stage appends a row for each step, so their number is the step of its last model.
    if paths.final.exists():
        found[sum(1 for _ in read_rows(paths.metrics))] = paths.final

    found |= exported
    return {step: str(folder) for step, folder in sorted(found.items())}


def _anchored(name: str) -> str:
    """A bench's name, or the absolute path of its file."""
    # The recipe is written into a run folder, and relative paths are read from where a recipe lies.
    return str(Path(name).absolute()) if name.endswith((".yaml", ".yml")) else name


def _name(path: str) -> str:
    # It becomes a folder's name below runs/.
    return "eval-" + re.sub(r"[^A-Za-z0-9._-]+", "-", Path(path).name.partition("@")[0])


def _mapping(value: Any) -> Mapping[str, Any]:
    """A mapping as it is; anything else is the schema's to refuse."""
    return value if isinstance(value, Mapping) else {}


def _resolve(data: dict[str, Any], overrides: Sequence[str]) -> Recipe:
    recipe = resolve_recipe(data, overrides, plugins=resolve_options)

    issues = [
        *check_benches(recipe),
        *check_scorer(recipe),
        *check_search(recipe),
        *check_continuation(recipe),
        *check_thinking(recipe),
    ]
    if issues:
        raise RecipeError("\n".join(map(str, issues)))
    return recipe
