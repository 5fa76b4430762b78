"""Compare the answer with a reference text or patch, character by character."""

from collections import defaultdict
from difflib import SequenceMatcher
from statistics import fmean
from typing import Literal

from rlsp_cli.rewards import Sample, Verdict, last_fenced, verifier, without_thinking


@verifier
def sequence_similarity(sample: Sample, *, mode: Literal["text", "patch"] = "text") -> Verdict:
    """The similarity of answer and reference as texts or as patches, 0 to 1 (difflib's ratio).

    The answer is what follows the thinking. With `mode: patch`, answer and reference are unified
    diffs; that of the answer may stand in a fenced block, the last one. The value is then the mean
    over all files that either of them changes, and 0 for a file that only one of them changes: the
    reward of SWE-RL (2502.18449). A broken diff is a wrong response without an answer. SWE-RL gives
    it -1: set `reward.unanswered: -1`. The time grows with the product of both lengths: give long
    texts a longer `timeout_s`.
    """
    answer = without_thinking(sample.response).strip()
    reference = (sample.reference or "").strip()
    if mode == "patch":
        return _compare_patches(last_fenced(sample.response, "diff", "patch") or answer, reference)
    return Verdict(_ratio(answer, reference) if answer else 0.0, answer or None)


def _compare_patches(answer: str, reference: str) -> Verdict:
    wanted, changes = _changes(reference), _changes(answer)
    if not wanted:
        raise ValueError("the reference is no unified diff")
    if not changes:
        return Verdict(0.0, None)

    paths = wanted.keys() | changes.keys()
    both = wanted.keys() & changes.keys()
    ratios = [_ratio(changes[path], wanted[path]) if path in both else 0.0 for path in paths]
    return Verdict(fmean(ratios), answer)


def _changes(patch: str) -> dict[str, str]:
    """The hunks of each file by its path before the patch; empty for a broken patch."""
    from unidiff.errors import UnidiffParseError
    from unidiff.patch import PatchSet

    changes: dict[str, str] = defaultdict(str)
    try:
        for file in PatchSet(patch):
            path = file.source_file.removeprefix("a/") if file.is_rename else file.path
            changes[path] += f"rename to {file.path}\n" if file.is_rename else ""
            changes[path] += "\n".join(str(hunk).strip() for hunk in file)
    # A line number of more than 4,300 digits is a ValueError.
    except (UnidiffParseError, ValueError):
        return {}
    return {path: change for path, change in changes.items() if change}


def _ratio(answer: str, reference: str) -> float:
    # autojunk would drop the frequent characters of any text of 200 or more.
    return SequenceMatcher(None, answer, reference, autojunk=False).ratio()
