"""Evaluate one model on one bench: draw what is missing, write it down, summarise all."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from rlsp_cli.data import Problem
from rlsp_cli.evals.answer import FORCED, GREEDY, SAMPLE, SEARCH, Scored
from rlsp_cli.evals.answer_log import AnswerLog, Verify
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.metrics import SameAnswer, greedy_over_sampled, of_kind, summarise
from rlsp_cli.evals.metrics.vote import remembering
from rlsp_cli.evals.provenance import keep, provenance
from rlsp_cli.evals.results import BenchResult
from rlsp_cli.evals.samplers import Decoding, ForcedSampler, Request, Sampler
from rlsp_cli.evals.strategies import BUDGET_FORCING, STRATEGIES, StrategyTable
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.runs.paths import AnswerPaths

RunStrategies = Callable[[Sequence[Scored], SameAnswer], StrategyTable]
"""Test-time strategies on the rows of samples.jsonl, with what compares two answers."""
_SEED_BYTES = 7
"""Of a digest, for a decoding's seed: what a signed 64-bit integer can hold."""


def evaluate(
    bench: Bench,
    sampler: Sampler,
    verify: Verify,
    settings: Eval,
    *,
    seed: int,
    prompt: Callable[[str], str],
    paths: AnswerPaths,
    tick: Callable[[int, int], None] = lambda done, total: None,
    strategies: RunStrategies | None = None,
    search: Sampler | None = None,
    continuation: ContinuationUse | None = None,
) -> BenchResult:
    """Draw and score what `paths.samples` lacks, then summarise it all.

    `prompt` turns the user's turn into the text that a model reads. `tick(done, total)` is called
    after each answer and may raise to stop. `search` answers for the strategy of that name, and
    `continuation` is what the sampler asks between the model's words. DataError
    if the responses in `paths.samples` were drawn in another way.
    """
    prompts = {problem.id: prompt(bench.ask(problem.problem)) for problem in bench.problems}
    problems = {problem.id: problem for problem in bench.problems}

    # Before anything is drawn: an evaluation that was made differently must not be added to.
    made = provenance(bench, seed, list(prompts.values()), settings, continuation)
    keep(paths.protocol, made.to_json())

    with AnswerLog(paths, problems, verify, prompts.__getitem__) as log:
        counts = _responses_of_each_kind(bench, settings)
        total = len(problems) * sum(counts.values())

        for kind, count in counts.items():
            requests = list(_requests(bench, prompts, count))
            decoding = _decoding(bench, kind, seed, settings)
            answering = sampler
            if kind == FORCED:
                answering = ForcedSampler(sampler, settings.forcing)
            elif kind == SEARCH and search is not None:
                answering = search

            for row, response in answering.answer(requests, decoding, _done(log, kind, requests)):
                log.add(problems[requests[row].id], kind, requests[row].index, response)
                tick(len(log.done), total)

    # Read back rather than kept: a resumed evaluation has rows of former attempts too.
    rows = log.rows()
    same = remembering(partial(_same_answers, problems, verify))

    greedy, sampled = of_kind(rows, GREEDY), of_kind(rows, SAMPLE)
    return BenchResult(
        protocol=made,
        greedy=summarise(greedy, same, settings.k) if greedy else None,
        sample=summarise(sampled, same, settings.k) if sampled else None,
        greedy_over_sampled=greedy_over_sampled(rows),
        strategies=strategies(rows, same) if strategies else None,
    )


def _responses_of_each_kind(bench: Bench, settings: Eval) -> dict[str, int]:
    """How many there are to each problem, in the order in which they are drawn."""
    forced = BUDGET_FORCING in settings.strategies
    return {
        GREEDY: int(bench.sampling.greedy),
        SAMPLE: bench.sampling.samples,
        FORCED: int(forced),
        SEARCH: int(settings.search is not None),
    }


def _done(log: AnswerLog, kind: str, requests: Sequence[Request]) -> set[int]:
    """The rows of the requests that have an answer in the log."""
    # They stay among the requests: a response's seed depends on its place there, so a resumed
    # evaluation draws what an uninterrupted one would have drawn.
    done = set()
    for row, request in enumerate(requests):
        if (request.id, kind, request.index) in log.done:
            done.add(row)
    return done


def _requests(bench: Bench, prompts: Mapping[str, str], count: int) -> Iterator[Request]:
    for problem in bench.problems:
        for index in range(count):
            text, columns = prompts[problem.id], problem.metadata
            yield Request(problem.id, text, index, system=bench.system, metadata=columns)


def _decoding(bench: Bench, kind: str, seed: int, settings: Eval) -> Decoding:
    # Benches and kinds have seeds of their own, so that leaving one out changes no other.
    place = hashlib.sha256(f"{seed}:{bench.name}:{kind}".encode()).digest()

    strategies = [STRATEGIES[name] for name in settings.strategies if name in STRATEGIES]
    reads_logprobs = any(strategy.reads_logprobs for strategy in strategies)
    return Decoding(
        temperature=bench.sampling.temperature if kind in (SAMPLE, SEARCH) else 0.0,
        top_p=bench.sampling.top_p,
        max_new_tokens=bench.sampling.max_new_tokens,
        seed=int.from_bytes(place[:_SEED_BYTES], "big"),
        logprobs=kind == SAMPLE and reads_logprobs,
    )


def _same_answers(
    problems: Mapping[str, Problem], verify: Verify, pairs: Sequence[tuple[Scored, str]]
) -> list[bool]:
    """Whether the verifier accepts each response with that text as its reference."""
    # An error or an abstention counts as no: then the two stay different answers.
    samples = [row.sample(problems[row.id], prompt="", reference=text) for row, text in pairs]
    return [score.value == 1.0 for score in verify(samples)]
