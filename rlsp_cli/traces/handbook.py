"""`rlsp data handbook`: ask a model which behaviours traces show, and write them as a handbook."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel

from rlsp_cli.data import Trace, trace_rows
from rlsp_cli.data.handbook import Behaviour
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.evals.samplers import Decoding, Request
from rlsp_cli.recipe.dump import dump_data
from rlsp_cli.recipe.schema import Data, Traces
from rlsp_cli.rewards.thinking import without_thinking
from rlsp_cli.runs.lock import locked
from rlsp_cli.runs.stream import append_rows, read_rows, write_text
from rlsp_cli.traces.sampling import open_sampler

_ASKED = """Problem:
{problem}

Solution:
{solution}

Which general steps of reasoning in this solution would help with other problems? Write one per
line as name: instruction. The name is in snake_case; the instruction is one sentence that does not
mention this problem."""
_LINE = re.compile(r"[\s\d.)*`-]*(?:behaviou?r_)?([a-z][a-z0-9_]+)[*`]*\s*:[\s*]*(\S.*)", re.I)
"""`name: instruction`, also as an item of a list or in bold."""
_MAX_NEW_TOKENS = 512
_DIGEST_SHOWN = 16
"""Characters of a digest in the name of a drafts file."""


class _Draft(BaseModel):
    """A row of the drafts file: the reply to a question, by its number."""

    question: int
    reply: str


@dataclass(frozen=True)
class HandbookJob:
    """Traces to read, the model to ask (with a `url`, its name there), and the file to write."""

    source: Traces
    model: str
    url: str | None
    out: Path

    @property
    def drafts(self) -> Path:
        """Folder of replies so far, so that an interrupted command resumes."""
        return self.out.with_suffix(".drafts")


@dataclass(frozen=True)
class Drawn:
    """How many traces were read, how many named no behaviour, and how many behaviours there are."""

    traces: int
    without: int
    behaviours: int

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return asdict(self)


def draw_handbook(job: HandbookJob) -> Drawn:
    """Ask about every trace, and write the handbook; behaviours of more traces come first.

    UsageError if the file exists, since it may have been edited; DataError if no reply names one.
    """
    if job.out.exists():
        raise UsageError(f"{job.out} exists, and may have been edited; name another file")

    questions = [_question(trace) for trace in trace_rows(job.source)]
    drafts = job.drafts / f"{_digest([job.model, *questions])}.jsonl"
    with locked(job.drafts):
        listed = [behaviours_in(reply) for reply in _replies(job, questions, drafts)]
        found = merged(listed)
        if not found:
            lines = f"none of {len(listed)} replies has a line `name: instruction`"
            raise DataError(f"{drafts}: {lines}; ask another model")

        write_text(job.out, dump_data({"behaviours": [one.model_dump() for one in found]}))
        drafts.unlink()
    return Drawn(len(listed), sum(not several for several in listed), len(found))


def behaviours_in(reply: str) -> dict[str, str]:
    """Name -> instruction of every line that has both; of a name's lines the first."""
    found: dict[str, str] = {}
    for line in without_thinking(reply).splitlines():
        match = _LINE.fullmatch(line.strip())
        if match:
            found.setdefault(match[1].lower(), match[2].strip(" *`"))
    return found


def merged(listed: Iterable[dict[str, str]]) -> list[Behaviour]:
    """One behaviour for each name, with its first instruction; those of more traces come first."""
    seen: Counter[str] = Counter()
    instructions: dict[str, str] = {}
    for found in listed:
        seen.update(found.keys())
        instructions = found | instructions

    # Of equal counts, the one that was named first.
    return [
        Behaviour(name=name, instruction=instructions[name], seen=count)
        for name, count in seen.most_common()
    ]


def _replies(job: HandbookJob, questions: Sequence[str], drafts: Path) -> list[str]:
    """The reply to each question; those in the drafts are not asked for again."""
    drawn = {draft["question"]: draft["reply"] for draft in read_rows(drafts, _Draft)}
    sampler, render = open_sampler(job.model, job.url, Data())
    requests = [Request(str(n), render(question)) for n, question in enumerate(questions)]

    decoding = Decoding(temperature=0.0, top_p=1.0, max_new_tokens=_MAX_NEW_TOKENS, seed=0)
    for n, reply in sampler.answer(requests, decoding, drawn):
        append_rows(drafts, [{"question": n, "reply": reply.text}])
        drawn[n] = reply.text
    return [drawn[n] for n in range(len(questions))]


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:_DIGEST_SHOWN]


def _question(trace: Trace) -> str:
    # Not `format`: problems are full of LaTeX's braces.
    return _ASKED.replace("{solution}", trace.response).replace("{problem}", trace.prompt)
