"""`rlsp data criteria`: ask a model what is wrong with wrong responses, and how to tell (AutoRace).

After arXiv 2404.05221, whose prompts are not used: mistakes are found with the right answer at
hand, and summed up as criteria for any response to such problems.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from rlsp_cli.data.source import jsonl_rows
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.rewards.plain import as_sample
from rlsp_cli.rewards.sample import Sample, is_right
from rlsp_cli.rewards.thinking import without_thinking
from rlsp_cli.runs.lock import locked
from rlsp_cli.runs.stream import write_text
from rlsp_cli.traces.questions import draft_of, replies_to
from rlsp_cli.traces.verdict import verdict_of

_MISTAKE = """Problem:
{problem}

The right answer: {answer}

A wrong solution:
{solution}

What is the first mistake in this solution? Say in one sentence what kind of mistake it is."""
_CRITERIA = """These mistakes were found in solutions to problems of one kind:

{mistakes}

Write criteria by which anybody can check a solution to such a problem, without knowing its answer,
so that none of these mistakes passes. One criterion per line, each a single sentence, at most {most}
lines, and nothing else."""


@dataclass(frozen=True)
class CriteriaJob:
    """Responses with verdicts, the model to ask (with a `url`, its name there), the file to write.

    Of the wrong responses the first `responses` are asked about; `criteria` is the most to write.
    """

    samples: Path
    model: str
    url: str | None
    out: Path
    responses: int = 20
    criteria: int = 10

    @property
    def drafts(self) -> Path:
        """Folder of replies so far, so that an interrupted command resumes."""
        return self.out.with_suffix(".drafts")


@dataclass(frozen=True)
class Written:
    """How many wrong responses were asked about, and how many criteria there are."""

    responses: int
    criteria: int

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return asdict(self)


def write_criteria(job: CriteriaJob) -> Written:
    """Ask about wrong responses, and write the criteria, one per line.

    UsageError if the file exists, since it may have been edited; DataError if there is no wrong
    response with a reference, or no criterion in the reply.
    """
    if job.out.exists():
        raise UsageError(f"{job.out} exists, and may have been edited; name another file")

    wrong = list(islice(_wrong(job.samples), job.responses))
    if not wrong:
        needs = "rows need `response`, `reference`, and `correctness` or `correct`"
        raise DataError(f"{job.samples}: no wrong response with a reference; {needs}")

    with locked(job.drafts):
        mistakes = _ask(job, [_question(sample) for sample in wrong])
        listed = "\n".join(f"- {_one_line(mistake)}" for mistake in mistakes)
        asked = _CRITERIA.replace("{most}", str(job.criteria)).replace("{mistakes}", listed)
        (reply,) = _ask(job, [asked])

        found = _lines(reply)[: job.criteria]
        if not found:
            raise DataError(f"{job.drafts}: the reply has no criteria; ask another model")
        write_text(job.out, "".join(f"{line}\n" for line in found))
        for draft in job.drafts.glob("*.jsonl"):
            draft.unlink()
    return Written(len(wrong), len(found))


def _ask(job: CriteriaJob, questions: Sequence[str]) -> list[str]:
    drafts = draft_of(job.drafts, job.model, questions)
    return replies_to(questions, job.model, job.url, drafts)


def _wrong(path: Path) -> Iterator[Sample]:
    """The responses whose verdict is wrong, and that have a reference."""
    for row in jsonl_rows(path):
        sample, value = as_sample(row.columns, row.place), verdict_of(row.columns)
        if value is not None and not is_right(value) and sample.reference is not None:
            yield sample


def _question(sample: Sample) -> str:
    # Not `format`: problems are full of LaTeX's braces.
    asked = _MISTAKE.replace("{solution}", sample.response)
    return asked.replace("{answer}", str(sample.reference)).replace("{problem}", sample.prompt)


def _one_line(reply: str) -> str:
    return " ".join(without_thinking(reply).split())


def _lines(reply: str) -> list[str]:
    """The lines of a list, without numbers and marks before them."""
    lines = [
        line.strip().lstrip("-*0123456789.) ") for line in without_thinking(reply).splitlines()
    ]
    return [line for line in lines if line]
