"""The states of a procedure, as ProcBench (arXiv 2410.03117) compares them."""

import json
import re
from typing import Any

from rlsp_cli.rewards import CheckedVerdict, Sample, verifier, without_thinking

_OBJECT = re.compile(r'\{\s*"(?:intermediate|final)"\s*:')
"""The beginning of a result."""


@verifier
def procbench(sample: Sample, *, partial: bool = False) -> CheckedVerdict:
    """All states of a procedure are right (sequential match); with `partial`, the share until then.

    `reference` is a list of states in JSON, the final one last. The response gives its own as a
    JSON object with `intermediate`, a list, and `final`. With `partial` the value is the prefix
    accuracy: how many states are right before the first that is not, divided by the longer list.
    `checks` has `final`, and `states` with that prefix. States are compared as in the authors'
    code: whole numbers by value, other states as text, lists item by item.
    """
    wanted = json.loads(sample.reference or "[]")
    found = _states(without_thinking(sample.response))
    if not wanted or found is None:
        checks = {"final": [False], "states": [False] * max(len(wanted), 1)}
        return CheckedVerdict(0.0, None, checks)

    right = _prefix(wanted, found)
    longest = max(len(wanted), len(found))
    states = [number < right for number in range(longest)]
    correct = right / longest if partial else float(right == longest)
    checks = {"final": [_is_same(wanted[-1], found[-1])], "states": states}
    return CheckedVerdict(correct, json.dumps(found), checks)


def _states(answer: str) -> list[Any] | None:
    """The states of the last result in an answer, the final one last; None if there is none."""
    starts = [match.start() for match in _OBJECT.finditer(answer)]
    try:
        given, _ = json.JSONDecoder().raw_decode(answer, starts[-1])
    except (ValueError, IndexError, RecursionError):
        return None
    if not isinstance(given.get("intermediate"), list) or "final" not in given:
        return None

    # Some models end the list with the final state.
    states = given["intermediate"]
    if states and _is_same(given["final"], states[-1]):
        states = states[:-1]
    return [*states, given["final"]]


def _prefix(wanted: list[Any], found: list[Any]) -> int:
    """How many states are right before the first that is not."""
    for number, (one, other) in enumerate(zip(wanted, found, strict=False)):
        if not _is_same(one, other):
            return number
    return min(len(wanted), len(found))


def _is_same(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, list):
        if not wanted or not isinstance(found, list) or len(wanted) != len(found):
            return False
        return all(str(one) == str(other) for one, other in zip(wanted, found, strict=True))
    if not isinstance(wanted, int):
        return str(wanted) == str(found)

    try:
        return int(found) == wanted
    except (TypeError, ValueError, OverflowError):
        return False
