"""The eval stage of the local backend: every model of the run on every bench of the recipe."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from rlsp_cli.backends.local.sampling import answering
from rlsp_cli.engine.stop import StopFlag
from rlsp_cli.evals.answer import read_scored
from rlsp_cli.evals.benches import Bench, Benches
from rlsp_cli.evals.compare import compare_in_order
from rlsp_cli.evals.evaluate import RunStrategies, evaluate
from rlsp_cli.evals.overlap import Contamination, contamination_notes, measure_contamination
from rlsp_cli.evals.results import BenchResult, ModelResult, Results
from rlsp_cli.evals.samplers import ReplaySampler, Response, Sampler
from rlsp_cli.evals.score_card import score_cards
from rlsp_cli.evals.strategies.run import reference_answers, run_strategies
from rlsp_cli.evals.strategies.token_budget import SingleAnswers
from rlsp_cli.recipe.schema import Data, Eval, Recipe
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.runs.paths import AnswerPaths, StagePaths
from rlsp_cli.runs.stream import append_rows, write_json
from rlsp_cli.terminal import print


def evaluate_models(recipe: Recipe, paths: StagePaths, models: dict[str, str], stop: StopFlag) -> None:
    """Write samples.jsonl of each model and bench, and results.json."""
    assert recipe.eval, "checked by the recipe"
    benches = [_bench(name, recipe) for name in recipe.eval.benches]
    references = reference_answers(recipe, benches)
    results: dict[str, ModelResult] = {}
    paths.metrics.unlink(missing_ok=True)
    with ExitStack() as running:
        scorers = _scorers(recipe, benches, running)
        for label, path in (models or {"responses": str(recipe.eval.responses)}).items():
            found: dict[str, BenchResult] = {}
            with answering(recipe, path, paths, stop.leave_if_set) as (sampler, prompt):
                for bench, settings in (_drawn(bench, recipe.eval, sampler) for bench in benches):
                    found[bench.name] = evaluate(
                        bench,
                        _gold(bench) if recipe.eval.responses == "gold" else sampler,
                        scorers[bench.name].verify,
                        settings,
                        seed=recipe.seed,
                        prompt=partial(prompt, data=Data(system=bench.system)),  # the bench fills in its template
                        paths=paths.answers(label, bench.name),
                        tick=_Tick(paths, stop, f"{label} on {bench.name}"),
                        strategies=_strategies(recipe, bench, references, paths.answers(label, bench.name)),
                    )
            results[label] = ModelResult(path, found)
    rows = {
        label: {bench.name: list(read_scored(paths.answers(label, bench.name).samples)) for bench in benches}
        for label in results
    }
    whole = Results(
        models=results,
        comparisons=compare_in_order(rows),
        verifier=recipe.reward.correctness.model_dump(mode="json"),
        contaminated=_contamination(recipe, benches),
    )
    cards = {bench: card.to_json() for bench, card in score_cards(whole).items()}
    write_json(paths.results, {"schema": "rlsp.eval/1", "data": {**whole.to_json(), "benches": cards}})


def _bench(name: str, recipe: Recipe) -> Bench:
    """A bench with its own verifier, or the recipe's; says so when its data are not what its file says."""
    assert recipe.eval, "checked by the recipe"
    bench = Benches.of(recipe).load(name)
    if bench.changed:
        print(f"note: {bench.name}: {bench.source} does not hold the problems of this bench", file=sys.stderr)
    for line in bench.differs:
        print(f"note: {bench.name} is not quite as {bench.like} has it: {line}", file=sys.stderr)
    if recipe.eval.responses is not None:
        bench = replace(bench, template="{problem}", prompt_from="responses")
    return replace(bench, verifier=bench.verifier or recipe.reward.correctness)


def _contamination(recipe: Recipe, benches: Sequence[Bench]) -> dict[str, dict[str, Contamination]]:
    """Overlap of each bench with the training data; prints a note if there is any."""
    found = measure_contamination(recipe, benches)
    for line in contamination_notes(found):
        print(f"note: {line}", file=sys.stderr)
    return found


def _scorers(recipe: Recipe, benches: Sequence[Bench], running: ExitStack) -> dict[str, Scorer]:
    """For each bench the scorer of its verifier, by name; benches with equal verifiers share one."""
    found: dict[str, Scorer] = {}
    for bench in benches:
        twin = next((other for other in benches if other.name in found and other.verifier == bench.verifier), None)
        reward = recipe.reward.model_copy(update={"correctness": bench.verifier, "exploration": ()})
        found[bench.name] = found[twin.name] if twin else running.enter_context(Scorer(reward, recipe.plugins))
    return found


def _drawn(bench: Bench, settings: Eval, sampler: Sampler) -> tuple[Bench, Eval]:
    """Given responses are all used unless `samples` says how many; several to a problem are samples."""
    if not isinstance(sampler, ReplaySampler):
        return bench, settings
    if strange := sampler.strangers(problem.id for problem in bench.problems):
        print(f"note: {bench.name}: {strange} ids with responses are no problems of it; left out", file=sys.stderr)
    sampler.refuse_fewer((problem.id for problem in bench.problems), max(settings.k, default=0))
    if settings.samples == 0 and sampler.most() > 1:
        sampling = bench.sampling.model_copy(update={"samples": sampler.most(), "greedy": False})
        return replace(bench, sampling=sampling), settings
    return bench, settings


def _strategies(
    recipe: Recipe, bench: Bench, references: dict[str, SingleAnswers], paths: AnswerPaths
) -> RunStrategies | None:
    """What the recipe asks for, if anything."""
    if not (recipe.eval and recipe.eval.strategies):
        return None
    return partial(run_strategies, recipe, bench, references.get(bench.name), paths.scores)


def _gold(bench: Bench) -> ReplaySampler:
    """The bench's own references as responses: those that do not verify are the verifier's or the data's fault.

    A row that has a solution to its tests has it as `gold`.
    """
    golds = {problem.id: problem.metadata.get("gold", f"\\boxed{{{problem.answer}}}") for problem in bench.problems}
    return ReplaySampler({id: [Response(gold)] for id, gold in golds.items()})


class _Tick:
    """Says in metrics.jsonl how far an evaluation is, at most once a second, and leaves when it is told to stop."""

    def __init__(self, paths: StagePaths, stop: StopFlag, text: str) -> None:
        self.paths, self.stop, self.text, self.said_at = paths, stop, text, 0.0

    def __call__(self, done: int, total: int) -> None:
        if done == total or time.monotonic() - self.said_at > 1:
            self.said_at = time.monotonic()
            append_rows(self.paths.metrics, [{"step": done - 1, "total_steps": total, "text": self.text}])
        self.stop.leave_if_set()
