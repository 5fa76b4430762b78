"""Rejection sampling: responses are drawn for each problem; what the verifier does not hold for right is left out."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rlsp_cli.data.demonstration import Demonstration
from rlsp_cli.evals.samplers import Decoding, Request, Response, Sampler
from rlsp_cli.runs.stream import append_rows, drop_rows_from, read_rows
from rlsp_cli.traces.filters import Filtered, Tick, count_reasons

_TICK = 128
"""Responses between two words on how far it is."""


@dataclass(frozen=True)
class Drawing:
    """How responses are drawn: from a model folder or hub id, or from the model of that name at `url`."""

    model: str
    url: str | None = None
    samples: int = 8
    temperature: float = 0.7
    max_new_tokens: int = 4096


def draw(
    rows: Sequence[Demonstration],
    sampler: Sampler,
    drawing: Drawing,
    prompt: Callable[[str], str],
    drafts: Path,
    tick: Tick = lambda done, total: None,
    system: str | None = None,
) -> Filtered:
    """Demonstrations with drawn solutions, still to be verified; those that the length limit cut off are left out.

    What is drawn is kept in the folder `drafts`, in a file for this drawing, from which an interrupted one goes on.
    """
    asked = [row for row in rows if row.answer is not None]
    faults = [("no reference answer", row.place) for row in rows if row.answer is None]
    drawn = []
    for row, responses in zip(asked, _responses(asked, sampler, drawing, prompt, drafts, tick, system), strict=True):
        for number, response in enumerate(responses):
            if response.truncated:
                faults.append((f"response cut off at {drawing.max_new_tokens} tokens", row.place))
            elif not response.text.strip():
                faults.append(("response is empty", row.place))
            else:
                drawn.append(replace(row, id=f"{row.id}-{number}", solution=response.text.strip()))
    return Filtered(drawn, count_reasons(f"sample {drawing.samples} for each", len(rows), len(drawn), faults))


def draft_file(drafts: Path, rows: Sequence[Demonstration], drawing: Drawing, prompt: Callable[[str], str]) -> Path:
    """Where the responses of this drawing are kept until it is done."""
    prompts = [[row.id, prompt(row.problem)] for row in rows]
    digest = hashlib.sha256(json.dumps([asdict(drawing), prompts]).encode()).hexdigest()
    return drafts / f"drawn-{digest[:16]}.jsonl"


def _responses(
    rows: Sequence[Demonstration],
    sampler: Sampler,
    drawing: Drawing,
    prompt: Callable[[str], str],
    drafts: Path,
    tick: Tick,
    system: str | None,
) -> list[list[Response]]:
    """For each row its responses; each is kept as it comes, and a new start asks only for the others."""
    file, n = draft_file(drafts, rows, drawing, prompt), drawing.samples
    drop_rows_from(file, len(rows) * n)
    found = {row["step"]: Response(**row["response"]) for row in read_rows(file)}
    requests = [Request(row.id, prompt(row.problem), index, system=system) for row in rows for index in range(n)]
    decoding = Decoding(drawing.temperature, 1.0, drawing.max_new_tokens, seed=0)
    for number, response in sampler.answer(requests, decoding, set(found)):
        append_rows(file, [{"step": number, "response": asdict(response)}])
        found[number] = response
        if not len(found) % _TICK or len(found) == len(requests):
            tick(len(found) // n, len(rows))
    return [[found[row * n + index] for index in range(n)] for row in range(len(rows))]
