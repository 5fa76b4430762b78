"""Every built-in selector against choices written out by hand, and what a selector may return."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import PluginError
from rlsp_cli.rewards import Sample
from rlsp_cli.rewards.call import Call, Use
from rlsp_cli.rewards.conformance import check_plugin
from rlsp_cli.rewards.plugin_file import load_file
from rlsp_cli.rewards.pool import Pool
from rlsp_cli.rewards.registry import built_in, get_plugin

R, W, U = 1.0, 0.0, None
"""Right, wrong, unscored."""
NONE_OF_4 = [False] * 4


def scored(correct: Sequence[float | None], **fields: Sequence[Any]) -> list[Sample]:
    """A group with these verdicts, and other fields by name."""
    return [
        Sample(
            prompt="What?", response=f"response {row}", id="p", correct=score,
            **{name: column[row] for name, column in fields.items()},
        )
        for row, score in enumerate(correct)
    ]  # fmt: skip


def kept(name: str, group: Sequence[Sample], **options: Any) -> list[bool]:
    found: list[bool] = get_plugin("selector", name).function(group, **options)
    return found


@pytest.mark.parametrize(
    ("correct", "keeps"),
    [
        ([R, W, W, W, W], True),  # 0.2, the lower bound
        ([R, R, R, R, W], True),  # 0.8, the upper bound
        ([R, W, W, W, W, W], False),  # 1/6
        ([R, R, R, R, R, W], False),  # 5/6
        ([0.5, 0.25], True),  # 0.375
        ([U, U], False),
    ],
)
def test_pass_rate_includes_its_bounds(correct: list[float | None], keeps: bool) -> None:
    assert kept("pass_rate", scored(correct)) == [keeps] * len(correct)


def test_pass_rate_is_of_the_scored_responses_and_drops_the_others() -> None:
    # Of two scored ones, one is right: 0.5. Of all three it would be 0.33.
    assert kept("pass_rate", scored([R, U, W]), lo=0.4) == [True, False, True]


def test_zero_variance_drops_all_right_all_wrong_and_all_alike() -> None:
    assert kept("zero_variance", scored([R, R, R, R])) == NONE_OF_4
    assert kept("zero_variance", scored([W, W, W, W])) == NONE_OF_4
    assert kept("zero_variance", scored([0.5, 0.5, 0.5, 0.5])) == NONE_OF_4
    assert kept("zero_variance", scored([R, W, W, W])) == [True] * 4


def test_selectors_look_at_correctness_unless_told_otherwise() -> None:
    # The rewards differ by length, as they almost always do; the verdicts do not.
    group = scored([W, W], reward=[0.1, 0.2])
    assert kept("zero_variance", group) == [False, False]
    assert kept("zero_variance", group, by="reward") == [True, True]
    assert kept("bon", group) == [True, False]
    assert kept("bon", group, by="reward") == [False, True]


@pytest.mark.parametrize(
    ("correct", "keeps"),
    [
        ([0.5, 0.6], True),  # mean 0.55, standard deviation 0.05
        ([0.5, 0.59], False),  # 0.045
        ([R, W, W, W], True),  # sqrt(3)/4
        ([R, R, R, R], False),
    ],
)
def test_reward_std_is_the_populations(correct: list[float], keeps: bool) -> None:
    assert kept("reward_std", scored(correct), least=0.0499) == [keeps] * len(correct)


@pytest.mark.parametrize(
    ("correct", "keeps"),
    [
        ([R, W, W, W], True),  # pass@1 0.25
        ([R, R, W, W], False),  # 0.5
        ([W, W, W, W], False),  # pass@4 is 0
        ([0.4, 0.4, 0.4, 0.4], False),  # partly right is not right
    ],
)
def test_edge_wants_a_low_pass_at_1_and_one_right_response(
    correct: list[float], keeps: bool
) -> None:
    assert kept("edge", scored(correct)) == [keeps] * 4


def test_attempts_counts_until_the_first_right_response() -> None:
    third = scored([W, W, R, R])
    assert kept("attempts", third, more_than=2) == [True] * 4
    assert kept("attempts", third, more_than=3) == NONE_OF_4

    never = scored([W, W, W, W])
    assert kept("attempts", never) == [True] * 4
    assert kept("attempts", never, unsolved=False) == NONE_OF_4

    # An unscored response is no attempt: the right one is the second.
    assert kept("attempts", scored([W, U, R, R]), more_than=2) == NONE_OF_4
    assert kept("attempts", scored([U, U])) == [False, False]


def test_the_three_filters_of_pf_ppo() -> None:
    group = scored([0.2, 0.9, U, 0.9, 0.1, 0.1])
    assert kept("bon", group) == [False, True, False, False, False, False]
    assert kept("bw", group) == [False, True, False, False, False, True]

    # Where all are alike, two responses stay two.
    assert kept("bw", scored([W, W, W])) == [True, False, True]
    assert kept("bw", scored([R])) == [True]
    for name in ("bon", "br", "bw"):
        assert kept(name, scored([U, U])) == [False, False]


def test_br_keeps_the_best_and_each_other_as_often() -> None:
    chosen = [0, 0, 0, 0]
    for number in range(300):
        group = [
            Sample(prompt="What?", response="", id=str(number), correct=score)
            for score in (0.2, 0.9, 0.1, 0.5)
        ]
        first = kept("br", group)
        assert first == kept("br", group) and first[1] and sum(first) == 2
        chosen = [count + one for count, one in zip(chosen, first, strict=True)]

    # 100 each is expected, with a standard deviation of sqrt(300 * 1/3 * 2/3) = 8.2.
    assert chosen[1] == 300 and all(70 <= chosen[row] <= 130 for row in (0, 2, 3))
    assert kept("br", scored([R])) == [True]


def test_one_pair_needs_a_right_and_a_wrong_response() -> None:
    assert kept("one_pair", scored([U, W, W, R, R])) == [False, True, False, True, False]
    assert kept("one_pair", scored([R, R, U])) == [False] * 3
    assert kept("one_pair", scored([W, W, U])) == [False] * 3


def test_distinct_keeps_the_first_of_equal_ones() -> None:
    group = [
        Sample(prompt="", response=response, answer=answer)
        for response, answer in [
            ("1 + 2 = 3", "3"), ("1+2  =\n3", "3"), ("Three", " 3 "), ("four", "4"), ("Four", None),
        ]
    ]  # fmt: skip
    assert kept("distinct", group) == [True, False, True, True, False]
    assert kept("distinct", group, of="answer") == [True, False, False, True, False]


def test_behaviours_are_kept_right_or_wrong() -> None:
    group = scored([W, R, R])
    texts = [
        "This doesn't work, go back. Let me check: 2 + 2 = 4.",
        "Let me check: 2 + 2 = 4.",
        "It is 4.",
    ]
    shown = [
        Sample(prompt=one.prompt, response=text, correct=one.correct)
        for one, text in zip(group, texts, strict=True)
    ]
    assert kept("behaviours", shown) == [True, False, False]
    assert kept("behaviours", shown, shown=("verify",)) == [True, True, False]
    with pytest.raises(ValueError, match=r"no behaviour 'verfy'; the lexicon has .*verify"):
        kept("behaviours", shown, shown=("verfy",))


@pytest.mark.parametrize(
    ("reference", "keeps"),
    [("42", True), ("one two three", True), ("one two three four", False), ("", False),
     (None, False)],
)  # fmt: skip
def test_verifiable_answer_counts_words(reference: str | None, keeps: bool) -> None:
    group = [Sample(prompt="", response="", reference=reference)] * 2
    assert kept("verifiable_answer", group, most_words=3) == [keeps, keeps]


@pytest.mark.integration
def test_built_in_selectors_choose_the_same_in_a_worker_process() -> None:
    group = tuple(scored([W, R, U, 0.3], reward=[0.1, 0.2, 0.3, 0.4], answer=["1", "2", "2", None]))
    uses = [Use("selector", name, {}, takes_group=True) for name in built_in("selector")]
    with Pool(uses, 1, timeout_s=30.0, memory_gb=4.0) as pool:
        found = pool.map([Call(use, group) for use in uses])

    for use, scores in zip(uses, found, strict=True):
        assert [score.value for score in scores] == kept(use.name, group), use.name


def write(folder: Path, body: str) -> Path:
    path = folder / "mine.py"
    head = (
        "from collections.abc import Sequence\nfrom random import random\n"
        "from rlsp_cli.rewards import Sample, selector\n\n"
    )
    path.write_text(f"{head}@selector\ndef mine{body}\n")
    return path


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("(sample: Sample) -> list[bool]: ...", "expected (Sequence[Sample], *, options)"),
        ("(group: Sequence[Sample]) -> bool: ...", "must be annotated to return list"),
    ],
)
def test_the_signature_of_a_selector_is_checked(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(PluginError) as caught:
        load_file(write(tmp_path, body))
    assert words in str(caught.value)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("returned", "failed", "words"),
    [
        ("[True]", "finite, and no exception", "returned 1 items, expected a list of 8"),
        ("[1] * len(group)", "finite, and no exception", "returned 1, expected True or False"),
        ("[random() < 0.5 for _ in group]", "the same from thread", "and then"),
    ],
)
def test_a_wrong_selector_fails_its_checks(
    tmp_path: Path, returned: str, failed: str, words: str
) -> None:
    path = write(tmp_path, f"(group: Sequence[Sample]) -> list[bool]:\n    return {returned}")
    checks = check_plugin(get_plugin("selector", f"{path}:mine"))
    found = {check.name: check.detail for check in checks if not check.passed}
    assert words in found[failed]
