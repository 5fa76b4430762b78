"""Whether the reference answers are the answers of the solutions that stand beside them."""

from collections.abc import Iterator, Sequence
from itertools import islice

from rlsp_cli.data import Problem, recipe_problems
from rlsp_cli.preflight.checked import Check, Checked
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.answers import stated_answer
from rlsp_cli.rewards.sample import Sample, is_right
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.terminal import printable

REFERENCES = Check(
    "the column of references", "the column of answers has what a reply has to state"
)
_ROWS = 32
_ENOUGH = 8
"""Solutions from which all being wrong is no accident: some are written to give up."""
_LONG = 40
"""Words of a reference that no model would state word by word."""
_SHOWN = 60


def look_at_references_of(recipe: Recipe) -> Iterator[Checked]:
    """The check above, on the first rows of `data.prompts` and their other columns."""
    rows = list(islice(recipe_problems(recipe), _ROWS))
    long = [row for row in rows if _is_text(row.answer or "")]
    if long:
        shown = printable(long[0].answer or "", _SHOWN)
        found = f"{len(long)} of {len(rows)} are whole texts, such as {shown!r}"
        yield REFERENCES.failed(found, _cause(recipe))
        return

    solved = [(row, text) for row in rows for text in _solutions(row)]
    if len(solved) < _ENOUGH:
        found = f"{len(rows)} short references; no column has solutions to compare them with"
        yield REFERENCES.passed(found)
        return
    yield _compared(recipe, solved)


def _is_text(reference: str) -> bool:
    """Whether a reference is a text without a stated answer."""
    return len(reference.split()) > _LONG and stated_answer(reference) is None


def _solutions(row: Problem) -> Iterator[str]:
    """The other columns of a row that state an answer."""
    for value in row.metadata.values():
        if isinstance(value, str) and stated_answer(value) is not None:
            yield value


def _compared(recipe: Recipe, solved: Sequence[tuple[Problem, str]]) -> Checked:
    samples = [Sample(row.problem, text, row.answer, row.id, row.metadata) for row, text in solved]
    reward = recipe.reward.model_copy(update={"exploration": (), "workers": 1, "cache": None})
    with Scorer(reward, recipe.plugins) as scorer:
        verdicts = scorer.verify(samples)

    right = sum(is_right(verdict.value) for verdict in verdicts)
    found = f"{right} of {len(solved)} solutions in other columns state the reference"
    if right:
        return REFERENCES.passed(found)
    (row, text), reference = solved[0], printable(solved[0][0].answer or "", _SHOWN)
    stated = printable(stated_answer(text) or "", _SHOWN)
    found = f"{found}; row {row.id} states {stated!r}, and its reference is {reference!r}"
    return REFERENCES.failed(found, _cause(recipe))


def _cause(recipe: Recipe) -> str:
    columns = ", ".join(source.answer for source in recipe.data.prompt_sources)
    return f"data.prompts.answer ({columns}) names the wrong column"
