"""A teacher that sees a student's wrong solution and writes a right one (arXiv 2310.13332)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.errors import NotReadyError
from rlsp_cli.rewards.models import Address, ServedModel, UnansweredError
from rlsp_cli.runs.stream import Row, append_rows, read_rows

_REQUEST = (
    "This solution is wrong; the answer is {answer}. Find the mistake. Then write only a whole "
    "solution that is right, without a word about the mistake or about knowing the answer."
)
"""Our own words: the paper's prompts were not at hand."""


class _Lesson(BaseModel):
    """A row of the file of lessons; `tokens` is what the teacher read and wrote."""

    problem: str
    wrong: str
    reply: str
    tokens: int


@dataclass(frozen=True)
class Teacher:
    """A named model that is served, and the file in which its replies are kept."""

    name: str
    address: Address
    file: Path
    max_tokens: int
    system: str | None = None

    def correct(self, wrong: Sequence[RawTrace]) -> list[RawTrace]:
        """A solution instead of each wrong one; what is in the file is not asked for again.

        NotReadyError if the teacher gives no answer.
        """
        known = {(row["problem"], row["wrong"]): row["reply"] for row in self._lessons()}
        with ServedModel(self.name, self.address) as model:
            for row in wrong:
                key = row.problem, row.solution
                if key not in known:
                    known[key] = self._ask(model, row)

        replies = [(row, known[row.problem, row.solution].strip()) for row in wrong]
        return [replace(row, solution=reply) for row, reply in replies if reply]

    @property
    def tokens(self) -> int:
        """What the teacher has read and written."""
        return sum(row["tokens"] for row in self._lessons())

    def _lessons(self) -> Iterator[Row]:
        return read_rows(self.file, _Lesson)

    def _ask(self, model: ServedModel, row: RawTrace) -> str:
        before = model.tokens_used
        try:
            reply = model.chat(self._messages(row), max_tokens=self.max_tokens)
        except UnansweredError as error:
            raise NotReadyError(f"{error}; --resume asks only for what is missing") from error

        tokens = model.tokens_used - before
        lesson = _Lesson(problem=row.problem, wrong=row.solution, reply=reply, tokens=tokens)
        append_rows(self.file, [lesson.model_dump()])
        return reply

    def _messages(self, row: RawTrace) -> list[dict[str, str]]:
        turns = [
            ("user", row.problem),
            ("assistant", row.solution),
            ("user", _REQUEST.replace("{answer}", row.answer or "")),
        ]
        if self.system:
            turns.insert(0, ("system", self.system))
        return [{"role": role, "content": content} for role, content in turns]
