"""Rewards of single steps in OpenRLHF, which pays the whole reward of a response at its last token.

The service says where in its text a response earned what (`steps.dense` of the recipe). The tokens
are found here, where they are, and the parts move to them before advantages are computed. That
happens in the process that has made the rollout, so this is for rollouts that are not asynchronous.
"""

from bisect import bisect_left
from collections import deque
from itertools import takewhile

PAID = []
"""Of each response of the rollout, in its order: (action, value), actions counted from 0."""


def keep(samples, steps, tokenizer):
    """Note the tokens at which a rollout's responses are paid.

    `steps` has for each sample `begun`, the tag that its prompt has opened, and `paid`: pairs of an
    end, in characters of the response with that tag, and a value.
    """
    PAID[:] = [
        actions_of(sample, one["begun"], one["paid"], tokenizer)
        for sample, one in zip(samples, steps, strict=True)
    ]


def actions_of(sample, begun, paid, tokenizer):
    """(action, value) of each paid step: the action with the step's last character.

    Found by decoding beginnings of the sequence, as to encode the text could give other tokens.
    """
    tokens = sample.sequences[0].tolist()
    # Position t of the mask is about the choice of token t + 1.
    chosen = [position + 1 for position in sample.action_mask[0].nonzero().flatten().tolist()]
    if not chosen or not paid:
        return []

    def text(count):
        return tokenizer.decode(tokens[:count], skip_special_tokens=False)

    full = text(len(tokens))
    first = full.find(sample.prompts[0]) + len(sample.prompts[0])
    # Some servers put the tag in front themselves.
    if begun and not full[first:].lstrip().startswith(begun.rstrip()):
        first -= len(begun)

    def characters(action):
        """Characters that are final once an action is there: half of one is not."""
        pairs = zip(text(chosen[action] + 1), full, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    found = []
    for end, value in paid:
        action = bisect_left(range(len(chosen)), first + end, key=characters)
        found.append((min(action, len(chosen) - 1), value))
    return found


def pay_steps(module, compute):
    """The computation of advantages, `compute`, with steps paid where they end."""
    at_the_end, waiting = module.compute_reward, deque()

    def compute_reward(r, kl_coef, kl, action_mask=None, reward_clip_range=None):
        rewards = at_the_end(r, kl_coef, kl, action_mask, reward_clip_range)
        return rewards + waiting.popleft().to(rewards) if waiting else rewards

    def compute_advantages_and_returns(self, experiences):
        if any(PAID):
            waiting.extend(moved(experience) for experience in experiences)
        try:
            return compute(self, experiences)
        finally:
            waiting.clear()

    module.compute_reward = compute_reward
    return compute_advantages_and_returns


def moved(experience):
    """(n, T): what the tokens of each response get more, and its last one as much less."""
    change = experience.action_mask.float() * 0
    for row, index in enumerate(experience.index):
        chosen = experience.action_mask[row].nonzero().flatten()
        for action, value in PAID[index]:
            change[row, chosen[action]] += value
            change[row, chosen[-1]] -= value
    return change
