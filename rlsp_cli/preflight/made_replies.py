r"""Replies made for a recipe's own problems, and what its reward says of them.

Each problem gets a right reply, a wrong one, and three that no verifier should accept. The right
one states the reference in each of several forms, until the verifier accepts one of them: that form
is what the prompt has to ask for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from rlsp_cli.data import audit_cases
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.audit import Case, honest
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.sample import Sample, SampleScore, is_right
from rlsp_cli.rewards.scorer import Scorer

TokenCount = Callable[[str], int]
"""Tokens of a text, as the model counts them."""

_WORK = honest("").partition(" The answer is")[0]
FORMS = {
    "\\boxed{}": _WORK + " \\boxed{X}",
    "<answer> tags": _WORK + " <answer>X</answer>",
    '"the answer is"': _WORK + " The answer is X.",
    '"####"': _WORK + "\n#### X",
    "a code block": _WORK + "\n```\nX\n```",
    "the answer alone": "X",
}
"""How a reply may state its answer, which stands for the X."""
GOLD = "the column gold"
"""The form of rows that bring a whole right reply, such as a program."""
_PROBLEMS = 8
_REPEATS = 40


@dataclass(frozen=True)
class MadeReplies:
    """Scores of made replies, by kind, in the order of `cases`.

    `accepted` has the forms in which each reference was accepted, in the order of FORMS; without one
    the first form was scored.
    """

    cases: Sequence[Case]
    accepted: Sequence[Sequence[str]]
    scores: Mapping[str, Sequence[SampleScore]]

    @property
    def right(self) -> int:
        """How many references were accepted."""
        return sum(map(bool, self.accepted))

    @property
    def forms(self) -> list[str]:
        """The forms in which every accepted reference may be stated."""
        given = [forms for forms in self.accepted if forms]
        return [form for form in (*FORMS, GOLD) if given and all(form in one for one in given)]


def score_made_replies(recipe: Recipe, count: TokenCount) -> MadeReplies:
    """Make replies to the first problems, and score them by the recipe's reward.

    DataError when the problems have no references, or all have the same.
    """
    cases = audit_cases(recipe, _PROBLEMS)
    with Scorer(recipe.reward, recipe.plugins) as scorer:
        accepted = _accepted(cases, scorer, count)
        kinds = [
            _kinds(case, forms[0] if forms else next(iter(FORMS)))
            for case, forms in zip(cases, accepted, strict=True)
        ]
        samples = [
            _sample(case, text, count, cut=kind == "repetitive")
            for case, texts in zip(cases, kinds, strict=True)
            for kind, text in texts.items()
        ]
        found = scorer.score(samples, alpha_of(recipe, 0))

    size = len(kinds[0])
    scores = {kind: found[number::size] for number, kind in enumerate(kinds[0])}
    return MadeReplies(cases, accepted, scores)


def _accepted(cases: Sequence[Case], scorer: Scorer, count: TokenCount) -> list[list[str]]:
    """For each case, the forms in which the verifier accepts its reference."""
    tried = [_stated(case, case.reference) for case in cases]
    samples = [
        _sample(case, text, count)
        for case, texts in zip(cases, tried, strict=True)
        for text in texts.values()
    ]
    verdicts = iter(scorer.verify(samples))
    return [[form for form in texts if is_right(next(verdicts).value)] for texts in tried]


def _stated(case: Case, answer: str) -> dict[str, str]:
    """An answer in every form; the column `gold` first, where a row has one."""
    gold = case.sample.metadata.get("gold")
    of_row = {GOLD: str(gold)} if gold and answer == case.reference else {}
    return {**of_row, **{form: text.replace("X", answer) for form, text in FORMS.items()}}


def _kinds(case: Case, form: str) -> dict[str, str]:
    right = _stated(case, case.reference)[form]
    wrong = _stated(case, case.wrong).get(form, _stated(case, case.wrong)["\\boxed{}"])
    return {
        "right": right,
        "wrong": wrong,
        "empty": "",
        "cut short": right[: len(right) // 2] if form == GOLD else _WORK,
        "repetitive": "Wait, let me check. " * _REPEATS,
        "in tags": f"<think>{_WORK}</think>\n<answer>{case.wrong}</answer>",
    }


def _sample(case: Case, text: str, count: TokenCount, cut: bool = False) -> Sample:
    """A reply as a sample of the recipe, no longer than its limit."""
    limit = case.sample.max_tokens
    tokens = min(count(text), limit or count(text))
    return replace(
        case.sample,
        response=text,
        num_tokens=limit if cut and limit else tokens,
        truncated=cut,
    )
