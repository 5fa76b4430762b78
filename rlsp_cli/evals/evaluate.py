"""One model on one bench: what is not answered yet is asked, every answer is written down, then all is summarised."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rlsp_cli.data import Problem
from rlsp_cli.errors import DataError
from rlsp_cli.evals.answer_log import AnswerLog, Verify, sample_of
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.metrics import summarise
from rlsp_cli.evals.metrics.vote import Ask, Row, remembering
from rlsp_cli.evals.samplers import Decoding, ForcedSampler, Request, Sampler
from rlsp_cli.evals.strategies.table import FORCED
from rlsp_cli.recipe.schema import Eval
from rlsp_cli.runs.paths import AnswerPaths
from rlsp_cli.runs.stream import read_json, write_json

_BY_LOGPROB = {"best_of_n", "weighted_vote", "rpc"}
Contest = Callable[[Sequence[Row], Ask], dict[str, Any]]
"""Test-time strategies on the rows of samples.jsonl, with who tells which answers are the same."""


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
    contest: Contest | None = None,
) -> dict[str, Any]:
    """Draw and score what `paths.samples` lacks, then summarise it all; DataError if it was made in another way.

    `prompt` makes the text that a model reads out of the user's turn.
    `tick(done, total)` is called after each answer and may raise to stop. `contest` compares test-time strategies.
    """
    prompts = {problem.id: prompt(bench.ask(problem.problem)) for problem in bench.problems}
    problems = {problem.id: problem for problem in bench.problems}
    protocol = _protocol(bench, seed, list(prompts.values()), settings)
    _refuse_other_protocol(paths.protocol, protocol)
    with AnswerLog(paths, problems, verify, prompts.__getitem__) as book:
        drawn = {"greedy": int(bench.protocol.greedy), "sample": bench.protocol.samples, FORCED: int(_forces(settings))}
        total = len(problems) * sum(drawn.values())
        for kind, n in drawn.items():
            requests = [
                Request(id, text, index, system=bench.system) for id, text in prompts.items() for index in range(n)
            ]
            done = {row for row, one in enumerate(requests) if (one.id, kind, one.index) in book.done}
            answering = ForcedSampler(sampler, settings.forcing) if kind == FORCED else sampler
            for row, response in answering.answer(requests, _decoding(bench, kind, seed, settings), done):
                book.add(problems[requests[row].id], kind, requests[row].index, response)
                tick(len(book.done), total)
    rows, ask = book.rows(), remembering(partial(_same_answers, problems, verify))
    strategies = {"strategies": contest(rows, ask)} if contest else {}
    return {**summarise(rows, ask, settings.k), **strategies, "protocol": protocol}


def made_with(bench: Bench) -> dict[str, Any]:
    """What two evaluations must share, beside their prompts, to be set side by side."""
    verifier = {"use": bench.verifier.use, **bench.verifier.options} if bench.verifier else None
    return {"bench_digest": bench.digest, "verifier": verifier}


def _forces(settings: Eval) -> bool:
    return "budget_forcing" in settings.strategies


def _decoding(bench: Bench, kind: str, seed: int, settings: Eval) -> Decoding:
    drawn = bench.protocol
    place = hashlib.sha256(f"{seed}:{bench.name}:{kind}".encode()).digest()
    temperature = drawn.temperature if kind == "sample" else 0.0
    logprobs = kind == "sample" and not _BY_LOGPROB.isdisjoint(settings.strategies)
    return Decoding(temperature, drawn.top_p, drawn.max_new_tokens, int.from_bytes(place[:7], "big"), logprobs)


def _same_answers(
    problems: Mapping[str, Problem], verify: Verify, pairs: Sequence[tuple[dict[str, Any], str]]
) -> list[bool]:
    """An `Ask` (see `metrics.vote`): whether each row's response is right when the text is the reference."""
    samples = [sample_of(row, problems[row["id"]], prompt="", reference=text) for row, text in pairs]
    return [score.value == 1.0 for score in verify(samples)]  # a verifier that could not tell holds them for two


def _refuse_other_protocol(path: Path, protocol: dict[str, Any]) -> None:
    """Responses to other problems, or sampled in another way, must not be mixed with new ones."""
    if not path.exists():
        write_json(path, protocol)
        return
    before = read_json(path)
    changed = [
        f"{key} was {before.get(key)!r}, is {value!r}" for key, value in protocol.items() if before.get(key) != value
    ]
    if changed:
        raise DataError(
            f"{path.parent}: the responses here were made differently ({changed[0]}); move this folder away"
        )


def _protocol(bench: Bench, seed: int, prompts: Sequence[str], settings: Eval) -> dict[str, Any]:
    """What somebody needs to know to compare this number with another; None where nobody knows."""
    drawn = bench.protocol.model_dump(exclude={"origin"})
    given = bench.prompt_from == "responses"
    return {
        "problems": len(bench.problems),
        "like": bench.like,
        "differs": list(bench.differs),
        **(drawn | dict.fromkeys(("temperature", "top_p", "max_new_tokens")) if given else drawn),
        "seed": None if given else seed,
        "source": bench.source,
        "revision": bench.source.partition("@")[2] or None,
        "bench_changed": bench.changed,
        "prompt_from": bench.prompt_from,
        "system": bench.system,
        "first_prompt": None if given else prompts[0],
        "prompt_digest": hashlib.sha256("\0".join(prompts).encode()).hexdigest(),
        **made_with(bench),
        **({"forcing": settings.forcing.model_dump()} if _forces(settings) else {}),
    }
