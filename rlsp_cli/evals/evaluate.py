"""One model on one bench: every response is written down as it comes, so a restart goes on where it was."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rlsp_cli.data import Problem
from rlsp_cli.errors import DataError
from rlsp_cli.evals.bench import Bench
from rlsp_cli.evals.metrics import summarise
from rlsp_cli.evals.sampler import Request, Response, Sampler
from rlsp_cli.recipe.schema import Eval
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.runs.paths import AnswerPaths
from rlsp_cli.runs.stream import append_rows, read_rows, write_json, write_text

Verify = Callable[[Sequence[Sample]], list[Score]]


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
    """Decode and score what `paths.samples` lacks, then summarise it all; DataError if it was made in another way.

    `prompt` makes the text that a model reads out of the user's turn. Chunks of `eval.batch` responses have seeds of
    their own, so an interrupted evaluation ends with the same samples.
    `tick(done, total)` is called after each chunk and may raise to stop.
    """

    def put(problem: str) -> str:
        return prompt(bench.ask(problem))

    drawn = bench.protocol
    protocol = _protocol(bench, seed, put)
    _refuse_other_protocol(paths.protocol, protocol)
    done = {_key(row) for row in _whole_rows(paths.samples)}
    chunks = list(_chunks(bench, settings))
    for number, (kind, n, problems) in enumerate(chunks, 1):
        if any((problem.id, kind, index) not in done for problem in problems for index in range(n)):
            requests = [Request(problem.id, put(problem.problem)) for problem in problems]
            responses = sampler.sample(
                requests,
                n,
                temperature=drawn.temperature if kind == "sample" else 0.0,
                top_p=drawn.top_p,
                max_new_tokens=drawn.max_new_tokens,
                seed=_chunk_seed(seed, bench.name, number),
            )
            rows = _score(kind, problems, requests, responses, verify)
            append_rows(paths.samples, [row for row in rows if _key(row) not in done])
        tick(number, len(chunks))
    ask = partial(_same_answers, {problem.id: problem for problem in bench.problems}, verify)
    return {**summarise(read_rows(paths.samples), ask, settings.k), "protocol": protocol}


def _same_answers(
    problems: Mapping[str, Problem], verify: Verify, pairs: Sequence[tuple[dict[str, Any], str]]
) -> list[bool]:
    """An `Ask` of `rlsp_cli.evals.vote`: whether each row's response is right when the text is the reference."""
    samples = [
        Sample(
            prompt="",
            response=row["response"],
            reference=text,
            id=row["id"],
            metadata=problems[row["id"]].metadata,
            num_tokens=row["num_tokens"],
            truncated=row["truncated"],
        )
        for row, text in pairs
    ]
    return [score.value == 1.0 for score in verify(samples)]  # a verifier that could not tell holds them for two


def _key(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["id"], row["kind"], row["index"]


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


def _chunks(bench: Bench, settings: Eval) -> Iterator[tuple[str, int, Sequence[Problem]]]:
    """(kind, responses per problem, problems): at most `eval.batch` responses at once."""
    problems = bench.problems
    for kind, n in (("greedy", int(bench.protocol.greedy)), ("sample", bench.protocol.samples)):
        size = max(1, settings.batch // n) if n else 0
        for start in range(0, len(problems) if n else 0, size or 1):
            yield kind, n, problems[start : start + size]


def _score(
    kind: str,
    problems: Sequence[Problem],
    requests: Sequence[Request],
    responses: Sequence[Sequence[Response]],
    verify: Verify,
) -> list[dict[str, Any]]:
    """The rows of samples.jsonl for one chunk."""
    flat = [
        (problem, index, response, _sample(problem, request, response))
        for problem, request, several in zip(problems, requests, responses, strict=True)
        for index, response in enumerate(several)
    ]
    scores = verify([sample for *_, sample in flat])
    return [
        {"id": problem.id, "kind": kind, "index": index, **_row(problem, response, score)}
        for (problem, index, response, _), score in zip(flat, scores, strict=True)
    ]


def _sample(problem: Problem, request: Request, response: Response) -> Sample:
    return Sample(
        prompt=request.prompt,
        response=response.text,
        reference=problem.answer,
        id=problem.id,
        metadata=problem.metadata,
        num_tokens=response.num_tokens,
        truncated=response.truncated,
    )


def _row(problem: Problem, response: Response, score: Score) -> dict[str, Any]:
    return {
        "response": response.text,
        "reference": problem.answer,
        "num_tokens": response.num_tokens,
        "truncated": response.truncated,
        "correctness": asdict(score),
        **({"scores": dict(response.scores)} if response.scores else {}),
    }


def _protocol(bench: Bench, seed: int, put: Callable[[str], str]) -> dict[str, Any]:
    """What somebody needs to know to compare this number with another."""
    prompts = [put(problem.problem) for problem in bench.problems]
    return {
        "problems": len(bench.problems),
        "like": bench.like,
        "differs": list(bench.differs),
        **bench.protocol.model_dump(exclude={"origin"}),
        "seed": seed,
        "source": bench.source,
        "revision": bench.source.partition("@")[2] or None,
        "bench_digest": bench.digest,
        "bench_changed": bench.changed,
        "prompt_from": bench.prompt_from,
        "system": bench.system,
        "first_prompt": prompts[0] if bench.prompt_from != "responses" else None,
        "prompt_digest": hashlib.sha256("\0".join(prompts).encode()).hexdigest(),
        "verifier": {"use": bench.verifier.use, **bench.verifier.options} if bench.verifier else None,
    }


def _chunk_seed(seed: int, bench: str, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{bench}:{number}".encode()).digest()[:7], "big")


def _whole_rows(out: Path) -> list[dict[str, Any]]:
    """Rows that are there already; a half-written last line is cut off, so that new ones do not continue it."""
    if out.exists():
        text = out.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            write_text(out, text[: text.rfind("\n") + 1])
    return list(read_rows(out))
