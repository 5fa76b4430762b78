"""Right responses, pairs and values, as a tree has them."""

from collections.abc import Iterator
from dataclasses import fields, replace
from itertools import product
from typing import Any

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.traces.trees.ends import Ends, Steps
from rlsp_cli.traces.trees.rows import PairTrace, StepTrace

_OF_EACH = 2
"""Siblings of each kind that are paired, as in rStar-Math (arXiv 2501.04519)."""


def paths(row: RawTrace, ends: Ends) -> list[RawTrace]:
    """Every right response."""
    return [
        replace(row, id=f"{row.id}-{number}", solution=end.text)
        for number, end in enumerate(ends.right)
    ]


def pairs(row: RawTrace, ends: Ends) -> list[PairTrace]:
    """Of each place where branches part, pairs of a right response and a wrong one.

    Of the next steps there, the two with the largest share of right responses are paired with the
    two that most responses show to be wrong, none of theirs being right. Both responses are whole:
    what they share up to this place adds nothing to their difference.
    """
    found = dict.fromkeys(pair for steps in ends.beginnings for pair in _parting(ends, steps))
    return [
        PairTrace(**_columns(row, f"{row.id}-{number}", chosen), rejected=rejected)
        for number, (chosen, rejected) in enumerate(found)
    ]


def values(row: RawTrace, ends: Ends, prompt: str, backup: str) -> list[StepTrace]:
    """Each whole response, with a value after each step: the share of right responses from there.

    With `backup` max a value is 1 if any response from there is right, else 0.
    """
    found = []
    for number, end in enumerate([*ends.right, *ends.wrong]):
        labelled = [
            (step.strip(), ends.after(end.steps[:length]).value(backup))
            for length, step in enumerate(end.steps, 1)
            if step.strip()
        ]
        if labelled:
            steps, labels = zip(*labelled, strict=True)
            columns = _columns(row, f"{row.id}-{number}", end.text)
            found.append(StepTrace(**columns, prompt=prompt, steps=steps, labels=labels))
    return found


def _parting(ends: Ends, steps: Steps) -> Iterator[tuple[str, str]]:
    """The pairs of responses of which both begin with these steps, and part after them."""
    siblings = [ends.after(longer) for longer in ends.next_steps(steps)]
    good = [one for one in siblings if one.right]
    bad = [one for one in siblings if not one.right]

    good.sort(key=lambda one: -one.value("mean"))
    bad.sort(key=lambda one: -len(one.ends))
    for better, worse in product(good[:_OF_EACH], bad[:_OF_EACH]):
        yield better.right[0].text, worse.wrong[0].text


def _columns(row: RawTrace, id: str, solution: str) -> dict[str, Any]:
    own = {field.name: getattr(row, field.name) for field in fields(RawTrace)}
    return {**own, "id": id, "solution": solution}
