"""Rejection sampling: several solutions for each problem, of which filters keep the right ones."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rlsp_cli.data.problem import start_in
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.errors import DataError
from rlsp_cli.evals.samplers import Request, Response, Sampler
from rlsp_cli.recipe.data import Data
from rlsp_cli.rewards.thinking import whole
from rlsp_cli.rewards.turns import MODEL, Turns
from rlsp_cli.runs.stream import append_rows, read_rows
from rlsp_cli.traces.filters import Tick
from rlsp_cli.traces.keys import RejectionSampling
from rlsp_cli.traces.tally import Filtered, tally

_TICK = 128
"""Responses between two calls of a tick."""
_SEED = 0
_DIGEST_SHOWN = 16
"""Characters of a digest in the name of a drafts file."""


class _Drawn(BaseModel):
    """A row of the drafts file."""

    step: int
    response: dict[str, Any]


@dataclass(frozen=True)
class RejectionSampler:
    """A sampler with its settings, the prompt for a problem, and a folder for responses so far.

    `prompt` asks a problem by the recipe's `data`.
    """

    sampler: Sampler
    sampling: RejectionSampling
    prompt: Callable[[str], str]
    drafts: Path
    data: Data
    tick: Tick = lambda done, total: None
    seed: int = _SEED

    def sample(self, rows: Sequence[RawTrace]) -> Filtered:
        """The rows with sampled solutions, without truncated and empty ones; nothing is verified.

        Responses are written into the folder `drafts` as they come, in a file for these rows and
        settings, so that an interrupted call resumes.
        """
        self._refuse_unknown_column(rows)
        # Without a reference nothing can be rejected, so sampling would be wasted.
        asked = [row for row in rows if row.answer is not None]
        faults = [("no reference answer", row.place) for row in rows if row.answer is None]

        sampled = []
        for row, responses in zip(asked, self._responses(asked), strict=True):
            for number, response in enumerate(responses):
                if fault := self._fault(response):
                    faults.append((fault, row.place))
                    continue

                sampled.append(self._trace(row, number, response))

        name = f"sample {self.sampling.samples} for each"
        return Filtered(sampled, tally(name, len(rows), len(sampled), faults))

    def _trace(self, row: RawTrace, number: int, response: Response) -> RawTrace:
        """The row with a response as its solution, which in turns is a conversation too."""
        columns = dict(row.metadata)
        if response.turns is not None:
            question = self.data.ask(row.problem)
            columns["messages"] = _messages(question, self.prompt(row.problem), response.turns)
        begun = self._start(row)
        text = whole(self.prompt(row.problem), begun) + response.text if begun else response.text
        text, length = text.strip(), response.num_tokens or 0
        return replace(row, id=f"{row.id}-{number}", solution=text, length=length, metadata=columns)

    def _fault(self, response: Response) -> str | None:
        turns = response.turns
        if turns is not None and turns.outcome not in ("whole", "length"):
            return f"continuation: {turns.outcome}"
        if turns is not None and not all(turn.text.strip() for turn in turns.said):
            return "a turn is empty"
        if response.truncated:
            return f"response cut off at {self.sampling.max_new_tokens} tokens"
        return None if response.text.strip() else "response is empty"

    def _responses(self, rows: Sequence[RawTrace]) -> list[list[Response]]:
        """The responses to each row: those in the drafts file, and new ones for the others."""
        n, total = self.sampling.samples, len(rows) * self.sampling.samples
        if not rows:
            return []

        file = self._draft_file(rows)
        found = {
            row["step"]: Response.from_json(row["response"]) for row in read_rows(file, _Drawn)
        }

        requests = []
        for row in rows:
            prompt = self.prompt(row.problem)
            requests += [self._request(row, prompt, index) for index in range(n)]

        decoding = self.sampling.decoding(self.seed)
        for number, response in self.sampler.answer(requests, decoding, set(found)):
            # Written as they come: a kill loses at most what is being decoded.
            append_rows(file, [{"step": number, "response": asdict(response)}])
            found[number] = response
            if len(found) % _TICK == 0 or len(found) == total:
                self.tick(len(found) // n, len(rows))

        numbers = [range(start, start + n) for start in range(0, total, n)]
        return [list(map(found.__getitem__, several)) for several in numbers]

    def _request(self, row: RawTrace, prompt: str, index: int) -> Request:
        system, columns = self.data.system, row.metadata
        return Request(row.id, prompt, index, self._start(row), system, metadata=columns)

    def _refuse_unknown_column(self, rows: Sequence[RawTrace]) -> None:
        """DataError for a column of starts that no row has."""
        column = self.sampling.start
        if column is not None and not any(column in row.metadata for row in rows):
            raise DataError(
                f"sample.start: no row has the column {column!r}; name one that rows have"
            )

    def _start(self, row: RawTrace) -> str:
        return start_in(row.metadata, self.sampling.start, row.place)

    def _draft_file(self, rows: Sequence[RawTrace]) -> Path:
        prompts = [[row.id, self.prompt(row.problem), self._start(row)] for row in rows]
        asked = json.dumps([self.sampling.model_dump(), prompts, self.seed])
        digest = hashlib.sha256(asked.encode()).hexdigest()
        return self.drafts / f"drawn-{digest[:_DIGEST_SHOWN]}.jsonl"


def _messages(question: str, prompt: str, turns: Turns) -> list[dict[str, str]]:
    """The response as a conversation: the model is the assistant, and others are the user."""
    first, *rest = turns.said
    said = [("user", question), ("assistant", whole(prompt, first.text))]
    said += [("assistant" if turn.by == MODEL else "user", turn.text) for turn in rest]
    return [{"role": role, "content": text} for role, text in said]


def count_tokens(drafts: Path) -> int:
    """The tokens of all responses in a folder of drafts, as far as they are known."""
    total = 0
    for file in drafts.glob("drawn-*.jsonl"):
        total += sum(row["response"].get("num_tokens") or 0 for row in read_rows(file, _Drawn))
    return total
