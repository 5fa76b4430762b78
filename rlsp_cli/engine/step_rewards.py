"""Where the steps of responses end, in tokens: the scorer saw text, and PPO rewards tokens."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import takewhile

from transformers import PreTrainedTokenizerBase

from rlsp_cli.engine.advantage import StepReward
from rlsp_cli.engine.collector import Collected
from rlsp_cli.engine.prompt import decode
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.sample import SampleScore
from rlsp_cli.rewards.steps import paid_steps


def step_rewards(
    collected: Collected,
    scores: Sequence[SampleScore],
    reward: Reward,
    tokenizer: PreTrainedTokenizerBase,
) -> list[StepReward]:
    """What `steps.dense` pays, at the tokens that end the steps; positions are those of a `Rollout`."""
    if not reward.is_dense:
        return []

    rewards = []
    for row, score in enumerate(scores):
        sample = collected.samples[row]
        response, tokens = sample.response, collected.generated[row].tokens
        # What the response began with is no choice of the policy's: no token earns its steps.
        paid = [step for step in paid_steps(score, reward) if step.end > sample.start]
        places = last_tokens([step.end for step in paid], response, tokens, tokenizer)

        # Position t concerns the choice of token t + 1.
        before = len(collected.prompts[row]) - 1
        for step, place in zip(paid, places, strict=True):
            rewards.append(StepReward(row, before + place, step.value))
    return rewards


def last_tokens(
    ends: Sequence[int], response: str, tokens: Sequence[int], tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """For each end, in characters of a response and rising, the token with the last of them.

    Found by decoding the response's beginnings: to encode its text could give other tokens than
    those that were drawn, and a token can begin in one step and end in the next.
    """

    def text(count: int) -> str:
        return decode([tokens[:count]], tokenizer)[0]

    # A response begins with the tag that its prompt has opened, which is no token of it.
    in_prompt = len(response) - len(text(len(tokens)))
    drawn = response[in_prompt:]

    def characters(place: int) -> int:
        """Characters that are final once the token at a place is there: half of one is not."""
        begun = text(place + 1)
        if drawn.startswith(begun):
            return len(begun)
        same = takewhile(lambda pair: pair[0] == pair[1], zip(begun, drawn, strict=False))
        return sum(1 for _ in same)

    places: list[int] = []
    for end in ends:
        first = places[-1] if places else 0
        place = bisect_left(range(len(tokens)), end - in_prompt, lo=first, key=characters)
        places.append(min(place, len(tokens) - 1))
    return places
