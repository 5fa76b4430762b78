"""`rlsp data handbook`: ask a model which behaviours traces show, and write them as a handbook."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rlsp_cli.data import Trace, trace_rows
from rlsp_cli.data.handbook import Behaviour
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.recipe.dump import dump_data
from rlsp_cli.recipe.rows import Traces
from rlsp_cli.rewards.thinking import without_thinking
from rlsp_cli.runs.lock import locked
from rlsp_cli.runs.stream import write_text
from rlsp_cli.traces.questions import draft_of, replies_to

_ASKED = """Problem:
{problem}

Solution:
{solution}

Which general steps of reasoning in this solution would help with other problems? Write one per
line as name: instruction. The name is in snake_case; the instruction is one sentence that does not
mention this problem."""
_LINE = re.compile(r"[\s\d.)*`-]*(?:behaviou?r_)?([a-z][a-z0-9_]+)[*`]*\s*:[\s*]*(\S.*)", re.I)
"""`name: instruction`, also as an item of a list or in bold."""


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
    drafts = draft_of(job.drafts, job.model, questions)
    with locked(job.drafts):
        replies = replies_to(questions, job.model, job.url, drafts)
        listed = [behaviours_in(reply) for reply in replies]
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


def _question(trace: Trace) -> str:
    # Not `format`: problems are full of LaTeX's braces.
    return _ASKED.replace("{solution}", trace.response).replace("{problem}", trace.prompt)
