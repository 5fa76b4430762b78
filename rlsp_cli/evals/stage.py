"""The eval stage: every model of the run on every bench of the recipe, then results.json."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from rlsp_cli.evals.answer import Scored, read_scored
from rlsp_cli.evals.benches import Bench, Benches, probed
from rlsp_cli.evals.compare import (
    Comparison,
    compare_in_order,
    compare_probes,
    compare_settings,
)
from rlsp_cli.evals.evaluate import RunStrategies, evaluate
from rlsp_cli.evals.overlap import Contamination, contamination_notes, measure_contamination
from rlsp_cli.evals.results import BenchResult, ModelResult, Results
from rlsp_cli.evals.samplers import EndpointSampler, ReplaySampler, Response, Sampler
from rlsp_cli.evals.samplers.endpoint_sampler import KEY_VARIABLE
from rlsp_cli.evals.score_card import score_cards
from rlsp_cli.evals.search import recipe_search
from rlsp_cli.evals.strategies.run import reference_answers, run_strategies
from rlsp_cli.evals.strategies.token_budget import SingleAnswers
from rlsp_cli.http import read_key
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sweep import Setting, under_setting
from rlsp_cli.rewards.model_use import EVALUATED
from rlsp_cli.rewards.models import NO_MODELS, Address, Addresses
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.runs.paths import AnswerPaths, StagePaths
from rlsp_cli.runs.stream import append_rows, write_json
from rlsp_cli.terminal import print

RenderPrompt = Callable[[str, str | None], str]
"""From the user's turn and a system message to the text that a model reads."""


class Opened(NamedTuple):
    """A model that answers: its sampler, how its prompts are rendered, and where plugins ask it."""

    sampler: Sampler
    render: RenderPrompt
    address: Address | None = None


OpenModel = Callable[[str], AbstractContextManager[Opened]]
"""From a model's folder or id to the model, while it is open."""

_TICK_S = 1.0
"""Least time between two lines of progress."""


def evaluate_models(
    recipe: Recipe,
    paths: StagePaths,
    models: dict[str, str],
    open_model: OpenModel,
    check_stop: Callable[[], None],
    served: Addresses = NO_MODELS,
) -> None:
    """Write samples.jsonl of each model and bench, and results.json.

    `models` is label -> folder or id; empty for responses that are given. `open_model` is asked
    where no server and no file answers. Plugins can ask the models that are `served`, and the one
    that is evaluated. `check_stop` is called after each answer and raises when
    the stage is to stop.
    """
    assert recipe.eval, "checked by the recipe"

    # All that can be refused is refused first: loading a model costs minutes.
    settings = recipe.eval.sweep.settings
    drawn = [_benches(recipe, setting) for setting in settings]
    benches = drawn[0]  # the others have the same problems and verifiers
    _say_notes(chain.from_iterable(drawn))
    references = reference_answers(recipe, benches)

    # Progress of an earlier attempt; the answers themselves are in samples.jsonl.
    paths.metrics.unlink(missing_ok=True)
    models = models or {"responses": str(recipe.eval.responses)}

    results: dict[str, ModelResult] = {}
    with ExitStack() as running:
        scorers = _scorers(recipe, benches, running, served)
        stage = _Stage(recipe, paths, references, scorers, served, check_stop)

        for label, path in models.items():
            # One model at a time: two rarely fit into the memory of a GPU.
            with _answering(recipe, path, open_model, check_stop) as opened:
                for setting, under in zip(settings, drawn, strict=True):
                    name = under_setting(label, setting)
                    found = {bench.name: stage.evaluate(name, bench, opened) for bench in under}
                    results[name] = ModelResult(path, found, setting)

    _write_results(recipe, paths, benches, models, results)


@dataclass(frozen=True)
class _Stage:
    """What all evaluations share; `references` and `scorers` are by bench, `served` by model."""

    recipe: Recipe
    paths: StagePaths
    references: Mapping[str, SingleAnswers]
    scorers: Mapping[str, Scorer]
    served: Addresses
    check_stop: Callable[[], None]

    def evaluate(self, label: str, bench: Bench, opened: Opened) -> BenchResult:
        """One model on one bench."""
        sampler = opened.sampler
        settings, paths = self.recipe.eval, self.paths.answers(label, bench.name)
        assert settings, "checked by the recipe"
        bench = _drawn(bench, settings, sampler)
        served = self._served(opened)
        with recipe_search(self.recipe, sampler, paths.trees, self.check_stop, served) as search:
            result = evaluate(
                bench,
                _gold(bench) if settings.responses == "gold" else sampler,
                self.scorers[bench.name].verify,
                settings,
                seed=self.recipe.seed,
                prompt=lambda turn: opened.render(turn, bench.system),
                paths=paths,
                tick=_Progress(self.paths, self.check_stop, f"{label} on {bench.name}"),
                strategies=self._strategies(bench, paths, served),
                search=search,
                continuation=self.recipe.continuation,
            )

        for line in [*(search.notes if search else ()), *_turn_notes(paths)]:
            _note(f"{label} on {bench.name}: {line}")
        return result

    def _served(self, opened: Opened) -> Addresses:
        """The models that plugins can ask, and that which is evaluated."""
        return {**self.served, EVALUATED: opened.address} if opened.address else self.served

    def _strategies(
        self, bench: Bench, paths: AnswerPaths, served: Addresses
    ) -> RunStrategies | None:
        """What the recipe asks for, if anything."""
        if not (self.recipe.eval and self.recipe.eval.strategies):
            return None
        reference = self.references.get(bench.name)
        return partial(run_strategies, self.recipe, bench, reference, paths.scores, served=served)


@contextmanager
def _answering(
    recipe: Recipe, path: str, open_model: OpenModel, check_stop: Callable[[], None]
) -> Iterator[Opened]:
    """What answers the benches: a file of responses, a server, or the model."""
    settings = recipe.eval
    assert settings, "checked by the recipe"
    if settings.responses == "gold":
        yield Opened(ReplaySampler({}), _as_it_is)
    elif settings.responses is not None:
        given = ReplaySampler.from_file(Path(path), uneven=settings.samples == 0)
        yield Opened(given, _as_it_is)
    elif settings.url is not None:
        asked = EndpointSampler(settings.url, path, batch=settings.batch, tick=check_stop)
        yield Opened(asked, _as_it_is, Address(settings.url, path, read_key(KEY_VARIABLE)))
    else:
        with open_model(path) as opened:
            yield opened


def _as_it_is(turn: str, system: str | None) -> str:
    """The turn alone.

    A server puts its own template around it, and the prompt of given responses is not known.
    """
    return turn


def _benches(recipe: Recipe, setting: Setting) -> list[Bench]:
    """The recipe's benches and their probes, as they are drawn under a setting of the sweep."""
    assert recipe.eval, "checked by the recipe"
    settings = recipe.eval.model_copy(update=dict(setting))
    recipe = recipe.model_copy(update={"eval": settings})

    plain = [_load(name, recipe) for name in settings.benches]
    return [*plain, *_probes(plain, recipe)]


def _say_notes(benches: Iterable[Bench]) -> None:
    """Print where the data or the protocol of a bench is not what its name says, each line once."""
    lines = []
    for bench in benches:
        if bench.changed:
            lines.append(f"{bench.name}: {bench.source} does not hold the problems of this bench")
        for line in bench.differs:
            lines.append(f"{bench.name} is not quite as {bench.like} has it: {line}")

    for line in dict.fromkeys(lines):
        _note(line)


def _load(name: str, recipe: Recipe) -> Bench:
    """A bench with its own verifier, or the recipe's."""
    assert recipe.eval, "checked by the recipe"
    bench = Benches.of(recipe).load(name)
    if recipe.eval.responses is not None:
        # What these responses were answers to is not known, and nothing is asked.
        bench = replace(bench, template="{problem}", prompt_from="responses")
    return replace(bench, verifier=bench.verifier or recipe.reward.correctness)


def _probes(benches: Sequence[Bench], recipe: Recipe) -> Iterator[Bench]:
    """Each bench with each of the recipe's probes."""
    assert recipe.eval, "checked by the recipe"
    for bench in benches:
        for use in recipe.eval.probes:
            yield probed(bench, use, recipe.plugins)


def _scorers(
    recipe: Recipe, benches: Sequence[Bench], running: ExitStack, served: Addresses
) -> dict[str, Scorer]:
    """Bench -> scorer of its verifier; benches with equal verifiers share one."""
    # A scorer has worker processes of its own, which many benches would multiply.
    started: list[tuple[Bench, Scorer]] = []
    scorers: dict[str, Scorer] = {}
    for bench in benches:
        equal = [scorer for other, scorer in started if other.verifier == bench.verifier]
        if equal:
            scorers[bench.name] = equal[0]
            continue

        reward = recipe.reward.model_copy(update={"correctness": bench.verifier, "exploration": ()})
        scorer = running.enter_context(Scorer(reward, recipe.plugins, served))
        started.append((bench, scorer))
        scorers[bench.name] = scorer
    return scorers


def _drawn(bench: Bench, settings: Eval, sampler: Sampler) -> Bench:
    """The bench as it is drawn: given responses are all used unless `samples` says how many.

    Several given responses to a problem are samples, a single one is a greedy response.
    """
    if not isinstance(sampler, ReplaySampler):
        return bench

    ids = [problem.id for problem in bench.problems]
    if unknown := sampler.count_unknown(ids):
        _note(f"{bench.name}: {unknown} ids with responses are not among its problems; left out")
    sampler.refuse_fewer(ids, max(settings.k, default=0))

    if settings.samples == 0 and sampler.most() > 1:
        sampling = bench.sampling.model_copy(update={"samples": sampler.most(), "greedy": False})
        return replace(bench, sampling=sampling)
    return bench


def _gold(bench: Bench) -> ReplaySampler:
    """The bench's references as responses: one that is not accepted shows a fault of the bench."""
    responses = {}
    for problem in bench.problems:
        # Of code, the reference is a set of tests, and a solution to them is in the column `gold`.
        gold = problem.metadata.get("gold", f"\\boxed{{{problem.answer or ''}}}")
        responses[problem.id] = [Response(gold)]
    return ReplaySampler(responses)


def _write_results(
    recipe: Recipe,
    paths: StagePaths,
    benches: Sequence[Bench],
    models: Collection[str],
    found: dict[str, ModelResult],
) -> None:
    rows: dict[str, dict[str, list[Scored]]] = {}
    for label in found:
        rows[label] = {}
        for bench in benches:
            samples = paths.answers(label, bench.name).samples
            rows[label][bench.name] = list(read_scored(samples))

    probes = {bench.name: bench.probe_of for bench in benches if bench.probe_of}
    plain = [bench for bench in benches if not bench.probe_of]
    results = Results(
        models=found,
        comparisons=[*_comparisons(recipe, models, rows), *compare_probes(rows, probes)],
        verifier=recipe.reward.correctness.model_dump(mode="json"),
        contaminated=_contamination(recipe, plain),
    )

    # The cards repeat numbers of the results, at keys that do not depend on the model's name.
    cards = {bench: card.to_json() for bench, card in score_cards(results).items()}
    data = {**results.to_json(), "benches": cards}
    write_json(paths.results, {"schema": "rlsp.eval/1", "data": data})


def _comparisons(
    recipe: Recipe, models: Collection[str], rows: Mapping[str, Mapping[str, Sequence[Scored]]]
) -> Iterator[Comparison]:
    """Each model with the one before it, and each setting of a sweep with the first one."""
    assert recipe.eval, "checked by the recipe"
    settings = recipe.eval.sweep.settings
    for setting in settings:
        names = [under_setting(model, setting) for model in models]
        yield from compare_in_order({name: rows[name] for name in names})

    for model in models:
        names = [under_setting(model, setting) for setting in settings]
        yield from compare_settings({name: rows[name] for name in names})


def _contamination(recipe: Recipe, benches: Sequence[Bench]) -> dict[str, dict[str, Contamination]]:
    """Overlap of each bench with the training data; prints a note if there is any."""
    contamination = measure_contamination(recipe, benches)
    for line in contamination_notes(contamination):
        _note(line)
    return contamination


def _turn_notes(paths: AnswerPaths) -> Iterator[str]:
    """How many responses in turns were cut short or have failed, and the first reason of each kind."""
    turns = [row.turns for row in read_scored(paths.samples) if row.turns]
    for outcome, count in Counter(one.outcome for one in turns if one.reason).most_common():
        reason = next(one.reason for one in turns if one.outcome == outcome)
        yield f"continuation: {count} of {len(turns)} responses: {outcome}: {reason}"


def _note(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


class _Progress:
    """Writes into metrics.jsonl how far a bench is, once a second, and checks for a stop."""

    def __init__(self, paths: StagePaths, check_stop: Callable[[], None], text: str) -> None:
        self.paths, self.check_stop, self.text, self.written_at = paths, check_stop, text, 0.0

    def __call__(self, done: int, total: int) -> None:
        if done == total or time.monotonic() - self.written_at > _TICK_S:
            self.written_at = time.monotonic()
            # Steps are counted from 0, as in training.
            row = {"step": done - 1, "total_steps": total, "text": self.text}
            append_rows(self.paths.metrics, [row])

        self.check_stop()
