"""Rewards for what a response says about itself and its problem, against numbers written out by hand."""

import json
from typing import Any

import pytest

from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample

REFINE = (
    "<understanding>u</understanding><facts>f</facts><plan>p</plan><think>{}</think>"
    "<final_answer>4</final_answer><self_assessment>Confidence: 9/10</self_assessment>"
)
REFINE_TAGS = ["understanding", "facts", "plan", "think", "final_answer", "self_assessment"]


def reward(name: str, *samples: Sample, **options: Any) -> Any:
    plugin = get_plugin("exploration_reward", name)
    return plugin.function(list(samples) if plugin.takes_group else samples[0], **options)


def sample(response: str, **fields: Any) -> Sample:
    return Sample(prompt="Add 1/2 and 1/4.", response=response, **fields)


@pytest.mark.parametrize(
    ("thinking", "value"),
    [
        ("By <understanding> and <facts>, as the <plan> says.", 1.0),
        ("By <FACTS> and again <facts>.", 1 / 3),
        ("By facts, and </plan>.", 0.0),
    ],
)
def test_section_reference_is_the_share_of_sections_that_the_thinking_names(
    thinking: str, value: float
) -> None:
    text = REFINE.format(thinking)
    assert reward("section_reference", sample(text)) == pytest.approx(value)
    assert reward("section_reference", sample(text), sections=["facts"], within="plan") == 0.0


def test_thinking_that_never_closes_refers_to_nothing() -> None:
    assert reward("section_reference", sample("<plan>p</plan><think>by <plan>")) == 0.0


def test_the_format_can_let_the_thinking_name_sections() -> None:
    named = sample(REFINE.format("By <facts> and <plan>."))
    assert reward("structured_format", named, tags=REFINE_TAGS) == 0.0
    assert reward("structured_format", named, tags=REFINE_TAGS, mentions_in="think") == 1.0

    twice = sample(REFINE.format("x") + "<facts>again</facts>")
    assert reward("structured_format", twice, tags=REFINE_TAGS, mentions_in="think") == 0.0


@pytest.mark.parametrize(
    ("origin", "correct", "value"),
    [
        ("wrong", 1.0, 0.5),
        ("wrong", 0.0, 0.0),
        ("right", 1.0, 0.0),
        ("right", 0.0, -0.5),
        (None, 1.0, 0.0),
        (None, 0.0, 0.0),
        ("wrong", None, None),
    ],
)
def test_reflection_bonus_pays_for_the_way_from_wrong_to_right(
    origin: str | None, correct: float | None, value: float | None
) -> None:
    metadata = {} if origin is None else {"origin": origin}
    assert reward("reflection_bonus", sample("", correct=correct, metadata=metadata)) == value


def test_reflection_bonus_takes_its_size_and_column_and_refuses_other_words() -> None:
    restarted = sample("", correct=1.0, metadata={"begun": "wrong", "origin": "right"})
    assert reward("reflection_bonus", restarted, bonus=0.2, origin="begun") == 0.2
    with pytest.raises(ValueError, match="'origin' holds 'negative', expected right or wrong"):
        reward("reflection_bonus", sample("", metadata={"origin": "negative"}))


def labelled(label: str, correct: float | None, tokens: int) -> Sample:
    text = f"<think>Difficulty: {label}. PFRB or CFRB?</think> 4"
    return sample(text, correct=correct, num_tokens=tokens)


def test_boundary_awareness_pays_for_the_label_and_for_brevity_where_all_are_right() -> None:
    # The median is 20 tokens.
    easy = [labelled("CFRB", 1.0, 10), labelled("PFRB", 1.0, 20), labelled("CFRB", 1.0, 30)]
    assert reward("boundary_awareness", *easy) == pytest.approx([0.38, 0.18, 0.32])


def test_boundary_awareness_pays_for_length_where_the_group_fails() -> None:
    # Accuracy 1/5; the median is that of the only right response, 20 tokens. That of all is 15.
    hard = [labelled("PFRB", 1.0, 20), labelled("CFRB", 0.0, 20)]
    hard += [labelled("PFRB", 0.0, tokens) for tokens in (15, 10, 10)]
    assert reward("boundary_awareness", *hard) == pytest.approx([0.32, 0.06, *[0.32] * 3])

    # With none right, it is that of all.
    failed = [labelled("PFRB", 0.0, 10), labelled("PFRB", 0.0, 20)]
    assert reward("boundary_awareness", *failed) == pytest.approx([0.32, 0.38])


def test_boundary_awareness_between_the_limits_ignores_length_and_unscored_ones() -> None:
    # 10 of 11 right: not easy, and not below 0.9.
    group = [labelled("PFRB", 1.0, 10)] * 10 + [
        labelled("PFRB", 0.0, 10),
        labelled("PFRB", None, 1),
    ]
    assert reward("boundary_awareness", *group) == pytest.approx([0.32] * 11 + [None])
    assert reward("boundary_awareness", labelled("CFRB", None, 1)) == [None]


def test_a_label_stands_before_the_end_of_thinking_and_by_itself() -> None:
    texts = ["<think>hm</think> CFRB", "CFRBs", "easy", "so CFRB"]
    group = [sample(text, correct=1.0, num_tokens=1) for text in texts]
    assert reward("boundary_awareness", *group) == pytest.approx([0.06, 0.06, 0.06, 0.38])

    renamed = sample("easy", correct=1.0, num_tokens=1)
    assert reward("boundary_awareness", renamed, easy="easy") == pytest.approx([0.38])


def predicting(text: str, correct: float | None, tokens: int, **predicted: Any) -> Sample:
    response = f"<meta>{json.dumps(predicted)}</meta> {text}"
    return sample(response, correct=correct, num_tokens=tokens)


def test_meta_awareness_is_the_mean_of_notions_length_and_pass_rate() -> None:
    whole = {"math_notion": ["fractions", "Primes"], "solution_length": 15, "pass_rate": 4}
    group = [
        # fraction: 2 of right, 1 of wrong; prime: 1 of right, 2 of wrong. 15 is between 10 and 20.
        predicting("a fraction", 1.0, 10, **whole),
        predicting("one fraction, no prime", 1.0, 20, math_notion="fraction", pass_rate=8),
        # The length has to be between 10 and 20 without the ends.
        predicting("a prime, a fraction", 0.0, 5, solution_length=10, pass_rate=0),
        predicting("two primes", 0.0, 5, math_notion=["Add"]),
    ]
    assert reward("meta_awareness", *group) == pytest.approx(
        [(1 / 2 + 1 + 1) / 3, (1 + 0 + 0.1) / 3, (0 + 0 + 0.1) / 3, 0.0]
    )


def test_meta_awareness_does_not_find_a_notion_in_its_own_prediction() -> None:
    alone = predicting("nothing", 1.0, 10, math_notion=["lemmas"])
    assert reward("meta_awareness", alone) == [0.0]


@pytest.mark.parametrize(
    "text",
    ["", "<meta>", "<meta>[1]</meta>", '<meta>{"pass_rate": true}</meta>', "<meta>{pass}</meta>"],
)
def test_a_prediction_that_cannot_be_read_earns_nothing(text: str) -> None:
    assert reward("meta_awareness", sample(text, correct=0.0, num_tokens=1)) == [0.0]


def test_meta_awareness_abstains_in_a_group_without_verdicts() -> None:
    assert reward("meta_awareness", sample(""), sample("")) == [None, None]
