"""One model on one bench: what is not answered yet is asked, every answer is written down, then all is summarised."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rlsp_cli.data import Problem
from rlsp_cli.errors import DataError
from rlsp_cli.evals.bench import Bench
from rlsp_cli.evals.metrics import summarise
from rlsp_cli.evals.sampler import Decoding, Request, Sampler
from rlsp_cli.evals.scorebook import Scorebook, Verify, sample_of
from rlsp_cli.recipe.schema import Eval
from rlsp_cli.runs.paths import AnswerPaths
from rlsp_cli.runs.stream import write_json


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
) -> dict[str, Any]:
    """Draw and score what `paths.samples` lacks, then summarise it all; DataError if it was made in another way.

    `prompt` makes the text that a model reads out of the user's turn.
    `tick(done, total)` is called after each answer and may raise to stop.
    """
    prompts = {problem.id: prompt(bench.ask(problem.problem)) for problem in bench.problems}
    problems = {problem.id: problem for problem in bench.problems}
    protocol = _protocol(bench, seed, list(prompts.values()))
    _refuse_other_protocol(paths.protocol, protocol)
    with Scorebook(paths, problems, verify, prompts.__getitem__) as book:
        total = len(problems) * (int(settings.greedy) + bench.protocol.samples)
        for kind, n in (("greedy", int(settings.greedy)), ("sample", bench.protocol.samples)):
            requests = [Request(id, text, index) for id, text in prompts.items() for index in range(n)]
            done = {row for row, one in enumerate(requests) if (one.id, kind, one.index) in book.done}
            for row, response in sampler.answer(requests, _decoding(bench, kind, seed), done):
                book.add(problems[requests[row].id], kind, requests[row].index, response)
                tick(len(book.done), total)
    ask = partial(_same_answers, problems, verify)
    return {**summarise(book.rows(), ask, settings.k), "protocol": protocol}


def _decoding(bench: Bench, kind: str, seed: int) -> Decoding:
    drawn = bench.protocol
    place = hashlib.sha256(f"{seed}:{bench.name}:{kind}".encode()).digest()
    temperature = drawn.temperature if kind == "sample" else 0.0
    return Decoding(temperature, drawn.top_p, drawn.max_new_tokens, int.from_bytes(place[:7], "big"))


def _same_answers(
    problems: Mapping[str, Problem], verify: Verify, pairs: Sequence[tuple[dict[str, Any], str]]
) -> list[bool]:
    """An `Ask` of `rlsp_cli.evals.vote`: whether each row's response is right when the text is the reference."""
    samples = [sample_of(row, problems[row["id"]], prompt="", reference=text) for row, text in pairs]
    return [score.value == 1.0 for score in verify(samples)]  # a verifier that could not tell holds them for two


def _refuse_other_protocol(path: Path, protocol: dict[str, Any]) -> None:
    """Responses to other problems, or sampled in another way, must not be mixed with new ones."""
    if not path.exists():
        write_json(path, protocol)
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    changed = [
        f"{key} was {before.get(key)!r}, is {value!r}" for key, value in protocol.items() if before.get(key) != value
    ]
    if changed:
        raise DataError(
            f"{path.parent}: the responses here were made differently ({changed[0]}); move this folder away"
        )


def _protocol(bench: Bench, seed: int, prompts: Sequence[str]) -> dict[str, Any]:
    """What somebody needs to know to compare this number with another."""
    return {
        "problems": len(bench.problems),
        **bench.protocol.model_dump(exclude={"origin"}),
        "seed": seed,
        "source": bench.source,
        "revision": bench.source.partition("@")[2] or None,
        "bench_digest": bench.digest,
        "bench_changed": bench.changed,
        "prompt_from": bench.prompt_from,
        "first_prompt": prompts[0] if bench.prompt_from != "responses" else None,
        "prompt_digest": hashlib.sha256("\0".join(prompts).encode()).hexdigest(),
        "verifier": {"use": bench.verifier.use, **bench.verifier.options} if bench.verifier else None,
    }
