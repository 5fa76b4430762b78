"""Labels by mutation: change a line of a right program, run its tests, and label the line."""

import ast
import io
import random
import tokenize
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rlsp_cli.rewards.fences import fenced_blocks
from rlsp_cli.rewards.sample import Sample, Score, is_right
from rlsp_cli.rewards.steps import Step
from rlsp_cli.traces.labels.completions import completed
from rlsp_cli.traces.labels.labelled import Labelled, until_error
from rlsp_cli.traces.labels.solution import Solution

_PYTHON = ("", "py", "python", "python3")
"""Labels of fenced blocks that may be the program."""
_OTHER = {
    **{"+": "-", "-": "+", "*": "+", "/": "*", "//": "/", "%": "//", "+=": "-=", "-=": "+="},
    **{"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="},
    **{"and": "or", "or": "and", "True": "False", "False": "True", "min": "max", "max": "min"},
}
"""What takes the place of a token; a whole number becomes the next one."""


class Mutant(NamedTuple):
    """A program in which the line `number`, from 0, was changed."""

    number: int
    program: str


@dataclass(frozen=True)
class Mutation:
    """One mutant of each line that can be changed, right if it still passes the tests.

    PRLCoder (arXiv 2502.01715) lets a model change the lines; that tokens are swapped is ours. The
    steps are the lines of the program, and those after a wrong one have no label. The program
    itself is right in every line.
    """

    verify: Callable[[Sequence[Sample]], list[Score]]

    def label(self, solutions: Sequence[Solution]) -> list[Labelled]:
        """Labels of the right programs and of their mutants."""
        found: list[Labelled] = []
        for solution in solutions:
            found += self._of_program(solution)
        return found

    def _of_program(self, solution: Solution) -> Iterator[Labelled]:
        program = _program(solution.sample.response)
        if not solution.is_right:
            yield Labelled(solution, fault="wrong, and only right programs are changed")
        elif program is None:
            yield Labelled(solution, fault="no Python program in the response")
        else:
            yield until_error(_lines(solution, program, program), None)
            yield from self._of_mutants(solution, program)

    def _of_mutants(self, solution: Solution, program: str) -> Iterator[Labelled]:
        changed = list(mutants(program))
        found = [_lines(solution, program, mutant.program) for mutant in changed]
        verdicts = self.verify([one.sample for one in found])

        for mutant, one, verdict in zip(changed, found, verdicts, strict=True):
            if verdict.value is None:
                yield Labelled(one, fault=f"a mutant without a verdict: {verdict.outcome}")
            else:
                error = None if is_right(verdict.value) else _step_of(one, mutant)
                yield until_error(one, error)


def mutants(program: str) -> Iterator[Mutant]:
    """A program for each line in which a token can be changed, always the same one."""
    lines = program.splitlines(keepends=True)
    for number, tokens in sorted(_tokens(program).items()):
        token = random.Random(lines[number]).choice(tokens)
        line, (start, end) = lines[number], (token.start[1], token.end[1])
        changed = f"{line[:start]}{_changed(token.string)}{line[end:]}"

        text = "".join([*lines[:number], changed, *lines[number + 1 :]])
        if _compiles(text):
            yield Mutant(number, text)


def _tokens(program: str) -> dict[int, list[tokenize.TokenInfo]]:
    """The tokens that can be changed, by the number of their line."""
    found: dict[int, list[tokenize.TokenInfo]] = {}
    for token in tokenize.generate_tokens(io.StringIO(program).readline):
        is_code = token.type in (tokenize.OP, tokenize.NAME, tokenize.NUMBER)
        if is_code and (token.string in _OTHER or token.string.isdecimal()):
            found.setdefault(token.start[0] - 1, []).append(token)
    return found


def _changed(token: str) -> str:
    return _OTHER[token] if token in _OTHER else str(int(token) + 1)


def _compiles(program: str) -> bool:
    try:
        ast.parse(program)
    except SyntaxError:
        return False
    return True


def _program(response: str) -> str | None:
    """The last Python block, or a response without any, if it compiles."""
    blocks = fenced_blocks(response)
    codes = [block.code for block in blocks if block.language in _PYTHON]
    if not blocks:
        codes = [response]
    return codes[-1] if codes and codes[-1] in response and _compiles(codes[-1]) else None


def _lines(solution: Solution, program: str, changed: str) -> Solution:
    """The response with a changed program, whose steps are the lines of the program."""
    head, _, tail = solution.sample.response.rpartition(program)
    response = f"{head}{changed}{tail}"

    steps, start = [], len(head)
    for line in changed.splitlines(keepends=True):
        text = line.rstrip()
        if text:
            steps.append(Step(start, start + len(text), text))
        start += len(line)
    return Solution(solution.place, completed(solution.sample, response), tuple(steps))


def _step_of(solution: Solution, mutant: Mutant) -> int:
    """The number of the step that is the changed line: blank lines are no steps."""
    before = mutant.program.splitlines()[: mutant.number]
    return sum(bool(line.strip()) for line in before)
