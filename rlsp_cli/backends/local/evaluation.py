"""The eval stage of the local backend: every model of the run on every bench of the recipe."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rlsp_cli.backends.local.sampling import local_sampler
from rlsp_cli.engine.stage import StopFlag
from rlsp_cli.evals.bench import Bench, load_bench
from rlsp_cli.evals.card import score_cards
from rlsp_cli.evals.compare import comparisons
from rlsp_cli.evals.evaluate import evaluate
from rlsp_cli.evals.sampler import ReplaySampler, Response, Sampler
from rlsp_cli.recipe.schema import Eval, Recipe
from rlsp_cli.rewards.registry import Registry
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import append_rows, read_rows, write_json


def evaluate_models(
    recipe: Recipe, paths: StagePaths, models: dict[str, str], stop: StopFlag, registry: Registry
) -> None:
    """Write samples.jsonl of each model and bench, and results.json."""
    assert recipe.eval, "checked by the recipe"
    benches = [load_bench(name, recipe.eval, recipe.data, registry, recipe.plugins) for name in recipe.eval.benches]
    results: dict[str, Any] = {}
    paths.metrics.unlink(missing_ok=True)
    with Scorer(recipe.reward, recipe.plugins) as scorer:
        for label, path in (models or {"responses": str(recipe.eval.responses)}).items():
            sampler, prompt = _sampler(recipe, path)
            settings = _settings(recipe.eval, sampler, benches)
            results[label] = {"path": path, "benches": {}}
            for bench in benches:
                results[label]["benches"][bench.name] = evaluate(
                    bench,
                    _gold(bench) if recipe.eval.responses == "gold" else sampler,
                    scorer.verify,
                    settings,
                    seed=recipe.seed,
                    prompt=prompt,
                    paths=paths.answers(label, bench.name),
                    tick=partial(_tick, paths, stop, label, bench.name),
                )
    rows = {m: {b.name: list(read_rows(paths.answers(m, b.name).samples)) for b in benches} for m in results}
    verifier = recipe.reward.correctness.model_dump(mode="json")
    cards = score_cards(results)
    data = {"models": results, "comparisons": comparisons(rows), "verifier": verifier, "benches": cards}
    write_json(paths.results, {"schema": "rlsp.eval/1", "data": data})


def _sampler(recipe: Recipe, path: str) -> tuple[Sampler, Callable[[str], str]]:
    """Who answers, and how a problem is put to them."""
    assert recipe.eval, "checked by the recipe"
    if recipe.eval.responses is not None:
        if recipe.eval.responses == "gold":
            return ReplaySampler({}), lambda problem: problem
        return ReplaySampler.from_file(Path(path), uneven=recipe.eval.samples == 0), lambda problem: problem
    model, gpus = recipe.model, recipe.cluster.gpus_per_node
    return local_sampler(path, recipe.data, model.precision, gpus, model.chat_template)


def _settings(settings: Eval, sampler: Sampler, benches: Sequence[Bench]) -> Eval:
    """Given responses are all used unless `samples` says how many; several to a problem are samples."""
    if not isinstance(sampler, ReplaySampler):
        return settings
    for bench in benches:
        sampler.refuse_fewer((problem.id for problem in bench.problems), max(settings.k, default=0))
    several = settings.samples == 0 and sampler.most() > 1
    return settings.model_copy(update={"samples": sampler.most(), "greedy": False}) if several else settings


def _gold(bench: Bench) -> ReplaySampler:
    """The bench's own references as responses: those that do not verify are the verifier's or the data's fault."""
    return ReplaySampler({problem.id: [Response(f"\\boxed{{{problem.answer}}}")] for problem in bench.problems})


def _tick(paths: StagePaths, stop: StopFlag, label: str, bench: str, done: int, total: int) -> None:
    append_rows(paths.metrics, [{"step": done - 1, "total_steps": total, "text": f"{label} on {bench}"}])
    stop.leave_if_set(lambda: None)
