"""Dense rewards: where steps end in tokens, what they earn there, and what repeated steps are paid for."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rlsp_cli.backends.openrlhf.replies import Replies, Reply
from rlsp_cli.data import Problem
from rlsp_cli.engine import advantage
from rlsp_cli.engine.advantage import StepReward
from rlsp_cli.engine.collector import Collected
from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.ppo import PpoTrainer
from rlsp_cli.engine.prompt import decode
from rlsp_cli.engine.rollout import Rollout, as_tensors
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.step_rewards import last_tokens, step_rewards
from rlsp_cli.engine.stop import StopFlag
from rlsp_cli.engine.targets import _mixed_scores, _mixed_steps
from rlsp_cli.engine.tokenizer import word_tokenizer
from rlsp_cli.errors import RecipeError, StoppedError
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.steps import Refinement, Steps
from rlsp_cli.rewards.alarms import alarms
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.sample import Sample, SampleScore, Score, StepScore
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.steps import (
    is_bounded,
    largest_return,
    paid_steps,
    share_of_repeats,
    split_steps,
)
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import read_rows

pytestmark = pytest.mark.usefixtures("one_thread")


# Where steps end.

TEXTS = [
    "7 + 8 = 15\n7 + 3 = 10\n\nso 9 it is\n",
    "naïve café\n漢字 = 5\n😀 is a step\nlast",
    "no line ends here",
]


@pytest.fixture(scope="module")
def crossing() -> PreTrainedTokenizerFast:
    """Byte pairs whose tokens cross ends of lines, and hold parts of characters."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=290, initial_alphabet=alphabet, special_tokens=["[EOS]"], show_progress=False
    )
    tokenizer.train_from_iterator([text for text in TEXTS for _ in range(9)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="[EOS]")


@pytest.mark.parametrize("text", TEXTS)
def test_a_step_ends_at_the_token_with_its_last_character(
    text: str, crossing: PreTrainedTokenizerFast
) -> None:
    tokens = [*crossing(text)["input_ids"], crossing.eos_token_id]
    steps = split_steps(text)
    places = last_tokens([step.end for step in steps], text, tokens, crossing)

    assert len(steps) == len(places)
    for step, place in zip(steps, places, strict=True):
        before, until = decode([tokens[:place], tokens[: place + 1]], crossing)
        assert until.startswith(text[: step.end]) and not before.startswith(text[: step.end])


def test_the_tokens_of_that_test_cross_ends_of_steps_and_cut_characters(
    crossing: PreTrainedTokenizerFast,
) -> None:
    pieces = [decode([[token]], crossing)[0] for token in crossing(TEXTS[0])["input_ids"]]
    assert any("\n" in piece.strip(" ") and piece.strip() for piece in pieces)
    cut = [decode([[token]], crossing)[0] for token in crossing(TEXTS[1])["input_ids"]]
    assert "\ufffd" in cut


def test_words_and_the_tag_that_a_prompt_opened() -> None:
    tokenizer = word_tokenizer(["a b . c ? <think> </think>"], 32)
    tokens = tokenizer("a b . c ? a")["input_ids"]
    assert decode([tokens], tokenizer) == ["a b. c? a"]
    assert last_tokens([4, 7, 9], "a b. c? a", tokens, tokenizer) == [2, 4, 5]

    # The response that scorers see begins with what the prompt has opened already.
    opened = "<think>\n"
    ends = [len(opened) + end for end in (4, 7)]
    assert last_tokens(ends, f"{opened}a b. c? a", tokens, tokenizer) == [2, 4]


DENSE = Reward.model_validate(
    {
        "exploration": [
            {"use": "a", "weight": 2.0, "steps": {"dense": True}},
            {"use": "b", "steps": {"aggregate": "sum"}},
        ]
    }
)


def parts(reward: float | None) -> SampleScore:
    """The scores of "a b. c?": two steps and one without a score, and the same by a scorer that is not dense."""
    steps = [
        StepScore(0, 4, 1.0, 0.3),
        StepScore(5, 6, None, None),
        StepScore(5, 7, 0.0, -0.5),
    ]
    both = tuple(Score(name, "value", -0.2, steps=steps) for name in "ab")
    return SampleScore(Score("c", "value", 1.0), both, reward)


def test_steps_are_paid_with_their_weight_at_the_position_that_chooses_their_last_token() -> None:
    tokenizer = word_tokenizer(["a b . c ?"], 32)
    response = tokenizer("a b . c ?")["input_ids"]
    collected = Collected(
        [[3, 4, 5]] * 2, [Generated(response, False)] * 2, [Sample("", "a b. c?")] * 2
    )
    found = step_rewards(collected, [parts(None), parts(0.5)], DENSE, tokenizer)

    # A prompt of 3 tokens: its last chooses the response's first, token 3, and so does position 2.
    assert found == [StepReward(1, 2 + 2, 0.6), StepReward(1, 2 + 4, -1.0)]
    assert paid_steps(parts(None), DENSE) == []


# What they earn there.


def test_gae_with_dense_rewards_by_hand() -> None:
    # One response of 4 tokens after a prompt of 2; steps end at its tokens 1 and 3.
    mask = torch.tensor([[0.0, 1, 1, 1, 1]])
    values = torch.tensor([[9.0, 1.0, 0.5, -0.5, 2.0]]) * mask
    kl = torch.tensor([[0.0, 0.1, 0.2, 0.0, 0.3]])
    settings = Ppo(gamma=0.9, gae_lambda=0.5, whiten_advantages=False)
    steps = [StepReward(0, 2, 0.25), StepReward(0, 4, -0.5)]
    found, returns = advantage.advantages_and_returns(
        torch.tensor([1.0]), kl, values, mask, 0.5, settings, steps
    )

    # r = -0.05, -0.1 + 0.25, 0, -0.15 + 1 - 0.5; delta_t = r_t + 0.9 V_(t+1) - V_t.
    deltas = [-0.05 + 0.45 - 1, 0.15 - 0.45 - 0.5, 0 + 1.8 + 0.5, 0.35 - 2]
    by_hand = [0.0, 0, 0, 0, deltas[3]]
    for t in (3, 2, 1):
        by_hand[t] = deltas[t - 1] + 0.45 * by_hand[t + 1]
    assert found[0].tolist() == pytest.approx(by_hand)
    assert returns[0].tolist() == pytest.approx(
        [0, *(by_hand[t] + float(values[0, t]) for t in (1, 2, 3, 4))]
    )


def scored(correct: float, values: Sequence[float], alpha: float = 0.5) -> SampleScore:
    """A response whose steps end at characters 1, 2, ... and have these values."""
    steps = [StepScore(n, n + 1, None, value) for n, value in enumerate(values)]
    part = Score("p", "value", sum(values), steps=steps)
    mixed = alpha * correct + (1 - alpha) * sum(values)
    return SampleScore(Score("c", "value", correct), (part,), mixed, (correct, sum(values)))


def mixed(settings: Ppo, scores: Sequence[SampleScore]) -> list[list[float]]:
    """The rewards of each response's tokens, one of which ends each step, and one more at the end."""
    responses = [[1] * (len(score.exploration[0].steps or ()) + 1) for score in scores]
    generated = [Generated(tokens, truncated=False) for tokens in responses]
    steps = [
        StepReward(row, step.start, step.value)
        for row, score in enumerate(scores)
        for step in score.exploration[0].steps or ()
        if step.value is not None
    ]
    tensors = as_tensors([[1]] * len(scores), generated, 0, torch.device("cpu"))
    rollout = Rollout([], scores, *tensors, steps=steps)
    known = torch.ones(len(scores))
    rewards = advantage.token_rewards(
        _mixed_scores(rollout, known, settings, 0.5),
        torch.zeros_like(rollout.mask),
        0,
        rollout.mask,
        _mixed_steps(rollout, known, settings, 0.5),
    )
    return [row[mask > 0].tolist() for row, mask in zip(rewards, rollout.mask, strict=True)]


GROUP = [scored(1.0, [0.5, 0.1]), scored(0.0, [1.0])]


def test_without_a_baseline_a_response_earns_its_reward_but_in_parts() -> None:
    found = mixed(Ppo(estimator="reinforce"), GROUP)
    assert found == [pytest.approx([0.25, 0.05, 0.5]), pytest.approx([0.5, 0.0])]
    assert [sum(row) for row in found] == pytest.approx([score.reward for score in GROUP])


def test_the_baseline_of_the_mixture_is_taken_off_at_the_end() -> None:
    ppo = Ppo(estimator="rloo", samples_per_prompt=2, rollout_batch=1)
    first, second = mixed(ppo, GROUP)
    rewards = [score.reward or 0.0 for score in GROUP]
    assert first == pytest.approx([0.25, 0.05, 0.5 - rewards[1]], abs=1e-6)
    assert second == pytest.approx([0.5, 0.0 - rewards[0]], abs=1e-6)


def test_separate_streams_take_the_mean_value_of_the_others_steps_off_each_step() -> None:
    ppo = Ppo(estimator="rloo", advantages="separate", samples_per_prompt=2, rollout_batch=1)
    first, second = mixed(ppo, GROUP)
    # The others' steps have the means 1.0 and 0.3; of the outcomes, 1 and 0 are left.
    assert first == pytest.approx([0.5 * (0.5 - 1.0), 0.5 * (0.1 - 1.0), 0.5 * 1])
    assert second == pytest.approx([0.5 * (1.0 - 0.3), 0.5 * -1])


def test_group_norm_normalises_over_all_steps_of_the_group() -> None:
    ppo = Ppo(estimator="group_norm", advantages="separate", samples_per_prompt=2, rollout_batch=1)
    values = torch.tensor([0.5, 0.1, 1.0])
    normal = (0.5 * (values - values.mean()) / values.std()).tolist()
    first, second = mixed(ppo, GROUP)
    assert [*first[:2], second[0]] == pytest.approx(normal)


def test_equal_steps_teach_nothing_under_group_norm() -> None:
    ppo = Ppo(estimator="group_norm", advantages="separate", samples_per_prompt=2, rollout_batch=1)
    found = mixed(ppo, [scored(1.0, [0.9] * 7), scored(1.0, [0.9] * 3)])
    assert [abs(value) < 1e-6 for row in found for value in row] == [True] * 12


def test_what_openrlhfs_journal_keeps_of_steps_is_read_back_as_steps(tmp_path: Path) -> None:
    reply = Reply(1, Sample("p", "r"), GROUP[0], {"rewards": 0.65})
    replies = Replies(tmp_path / "replies.jsonl")
    replies.add([reply])
    replies.close()
    again = Replies(tmp_path / "replies.jsonl")
    (read,) = again.current
    again.close()
    assert read == reply and [step.value for step in read.score.exploration[0].steps or ()] == [
        0.5,
        0.1,
    ]


# The recipe.


def recipe_of(tmp_path: Path, process: dict[str, Any], /, **changes: Any) -> Recipe:
    path = tmp_path / "steps.py"
    path.write_text(FILE)
    use = {"use": f"{path}:said", "steps": {"by": "sentences", **process}}
    reward = {"alpha": 0.2, "correctness": {"use": "exact_match", "on_abstain": {"penalise": 0}}}
    settings: dict[str, Any] = {
        "steps": 14,
        "rollout_batch": 32,
        "train_batch": 32,
        "max_new_tokens": 16,
    }
    settings |= {"temperature": 1.0, "learning_rate": 0.01, "critic_warmup_steps": 0, "kl_coef": 0}
    settings |= {"estimator": "reinforce", "save_every": 100, "warmup_ratio": 0, **changes}
    data = {"template": "{problem}", "prompts": {"source": "task:pair_sum"}}
    written = {
        "name": "x",
        "model": {"from_scratch": SPEC},
        "data": data,
        "reward": {**reward, "exploration": {**use, "on_abstain": {"penalise": 0}}},
        "ppo": settings,
    }
    return resolve_recipe(written, plugins=resolve_options)


def test_dense_steps_are_guarded_unless_refine_is_given(tmp_path: Path) -> None:
    def settings(**steps: Any) -> Steps:
        found = recipe_of(tmp_path, steps).reward.exploration[0].steps
        assert found is not None
        return found

    guarded = settings(dense=True)
    assert guarded.refine == (Refinement(clip=0.5), Refinement(delta=True))
    assert guarded.aggregate == "sum"
    assert settings(dense=True, refine=[]).refine == ()
    assert settings(dense=False) == settings()
    assert settings(dense=False).aggregate == "min"


@pytest.mark.parametrize(
    ("steps", "changes", "words"),
    [
        ({"dense": True, "aggregate": "min"}, {}, "leave aggregate out"),
        (
            {"dense": True},
            {"estimator": "group_norm", "samples_per_prompt": 2},
            "set ppo.advantages: separate",
        ),
    ],
)
def test_what_dense_steps_cannot_be(
    steps: dict[str, Any], changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=words):
        recipe_of(tmp_path, steps, **changes)


# What repetition earns.


@pytest.mark.parametrize(
    ("refine", "of_three", "bounded"),
    [
        ([], 3.0, False),
        ([Refinement(clip=0.4)], 0.0, True),
        ([Refinement(delta=True)], 1.0, True),
        ([Refinement(clip=0.4), Refinement(delta=True)], 0.0, True),
        ([Refinement(span=(1, 2))], 3.0, False),
    ],
)
def test_the_largest_return(refine: list[Refinement], of_three: float, bounded: bool) -> None:
    assert largest_return(refine, 3) == pytest.approx(of_three)
    assert is_bounded(refine) is bounded


def test_what_repeated_steps_earn() -> None:
    response = "a b\nA  B.\nc"
    steps = [
        StepScore(0, 3, None, 0.5),
        StepScore(4, 9, None, 0.25),
        StepScore(10, 11, None, -0.25),
    ]
    assert share_of_repeats([(response, steps)]) == pytest.approx(0.25)
    assert share_of_repeats([(response, steps[:1]), ("x", [StepScore(0, 1, None, None)])]) == 0
    assert share_of_repeats([("x", [StepScore(0, 1, None, None)])]) is None


FILE = '''
from collections.abc import Sequence

from rlsp_cli.rewards import Sample, step_scorer


@step_scorer
def said(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    """1 for a step that says just a, whether it was said before or not; 0 for others."""
    return [float(step.strip(".") == "a") for step in steps]
'''
SPEC = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_layers": 1,
    "num_heads": 2,
    "max_length": 32,
    "init_std": 0.3,
}


def train(folder: Path, recipe: Recipe, stops: bool = False) -> list[dict[str, Any]]:
    """The metrics of PPO on a model that says words at random in the beginning."""
    assert recipe.model.from_scratch is not None and recipe.ppo is not None
    model, tokenizer = new_model(recipe.model.from_scratch, ["a b ."], seed=1)
    stop = StopFlag()
    stop.signal = signal.SIGINT if stops else None
    context = Context(recipe, StagePaths(folder), model, tokenizer, torch.device("cpu"), stop)
    problems = [Problem(str(n), "b", "none") for n in range(16)]
    with Scorer(recipe.reward, recipe.plugins) as scorer:
        PpoTrainer(context, recipe.ppo, problems, scorer).run()
    return list(read_rows(folder / "metrics.jsonl"))


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_without_the_guard_a_policy_learns_to_repeat_and_the_alarm_says_so(tmp_path: Path) -> None:
    farmed = train(tmp_path / "off", recipe_of(tmp_path, {"dense": True, "refine": []}))
    guarded = train(tmp_path / "on", recipe_of(tmp_path, {"dense": True}))

    shares = [row["exploration/said/from_repeats"] for row in farmed]
    assert shares[-1] > 0.5 > shares[0] + 0.1
    assert farmed[-1]["exploration/said/mean"] > farmed[0]["exploration/said/mean"] + 1
    assert farmed[-1]["exploration/said/largest_return"] > 4
    kinds = {alarm.kind: alarm.text for alarm in alarms(farmed)}
    assert "of what said pays is for steps that repeat an earlier one" in kinds["repeated_steps"]

    assert all(row["exploration/said/largest_return"] == 0 for row in guarded)
    assert all(row.get("exploration/said/from_repeats", 0) <= 0 for row in guarded[-5:])
    assert "repeated_steps" not in {alarm.kind for alarm in alarms(guarded)}


@pytest.mark.integration
def test_a_resumed_run_pays_its_steps_as_the_uninterrupted_one(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, {"dense": True}, **{"steps": 2, "estimator": "gae"})
    whole = train(tmp_path / "whole", recipe)
    with pytest.raises(StoppedError):
        train(tmp_path / "parts", recipe, stops=True)
    resumed = train(tmp_path / "parts", recipe)

    def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]

    assert len(whole) == 2 and timeless(resumed) == timeless(whole)
