"""Rejection sampling: responses are drawn for each problem; what the verifier does not hold for right is left out."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rlsp_cli.data.demonstration import Demonstration
from rlsp_cli.data.traces import Filtered, Tick, count_reasons
from rlsp_cli.evals.sampler import Request, Response, Sampler
from rlsp_cli.runs.stream import append_rows, drop_rows_from, read_rows

_BATCH = 128
"""Responses drawn at once."""


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
) -> Filtered:
    """Demonstrations with drawn solutions, still to be verified; those that the length limit cut off are left out.

    What is drawn is kept in the folder `drafts`, in a file for this drawing, from which an interrupted one goes on.
    """
    asked = [row for row in rows if row.answer is not None]
    faults = [("no reference answer", row.place) for row in rows if row.answer is None]
    drawn = []
    for row, responses in zip(asked, _responses(asked, sampler, drawing, prompt, drafts, tick), strict=True):
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
) -> list[list[Response]]:
    """For each row its responses; each chunk has a seed of its own, so a new start ends with the same ones."""
    file = draft_file(drafts, rows, drawing, prompt)
    size = max(1, _BATCH // drawing.samples)
    starts = range(0, len(rows), size)
    drop_rows_from(file, len(rows))
    done = len(list(read_rows(file)))
    for start in starts[done:]:
        requests = [Request(row.id, prompt(row.problem)) for row in rows[start : start + size]]
        found = sampler.sample(
            requests,
            drawing.samples,
            temperature=drawing.temperature,
            top_p=1.0,
            max_new_tokens=drawing.max_new_tokens,
            seed=start,
        )
        append_rows(file, [{"step": start, "responses": [[asdict(one) for one in several] for several in found]}])
        tick(min(start + size, len(rows)), len(rows))
    chunks = [chunk["responses"] for chunk in read_rows(file)]
    return [[Response(**one) for one in several] for chunk in chunks for several in chunk]
