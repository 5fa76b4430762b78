"""Advantages in OpenRLHF: numbers of responses are kept, and two streams of rewards mixed.

What others say between the turns of a response takes no time: returns and advantages are those of
the model's own tokens alone.

With RLSP_ADVANTAGES=separate, correctness and exploration each lose their group's baseline before
alpha mixes them. Otherwise the reward is one number already, and nothing is changed.
"""

import os
from itertools import chain

import rlsp_dense

SMALLEST_STD = 1e-9
"""As in OpenRLHF's group_norm."""


def follow_experience(module):
    """Wrap the computation of advantages, which sees every experience before the trainers do."""
    maker = module.RemoteExperienceMaker
    compute = rlsp_dense.pay_steps(module, maker.compute_advantages_and_returns)
    if os.environ.get("RLSP_ADVANTAGES") == "separate":
        compute = with_separate_streams(compute)

    def compute_advantages_and_returns(self, experiences):
        for experience in experiences:
            experience.info.update(measured(experience))
        return compute(self, experiences)

    maker.compute_advantages_and_returns = compute_advantages_and_returns
    skip_others(maker)


def measured(experience):
    """Of each response, (n,): its KL to the reference, and minus its tokens' mean log-probability.

    The second estimates the entropy without keeping a distribution for each token, as OpenRLHF's
    own number does.
    """
    mask, logp = experience.action_mask.float(), experience.action_log_probs.float()

    # Where the KL is a loss, OpenRLHF keeps the reference's log-probabilities in its place.
    reference = experience.base_action_log_probs
    kl = experience.kl if reference is None else logp - reference.float()
    return {
        "kl_response": (kl * mask).sum(-1),
        "sampled_entropy": -(logp * mask).sum(-1) / mask.sum(-1),
    }


def skip_others(maker):
    """Let returns and advantages pass over what others say between the model's own tokens.

    OpenRLHF counts these tokens as steps of value 0: a value would not be carried over them.
    """
    gae, cumulate = maker.get_advantages_and_returns, maker.get_cumulative_returns

    def get_advantages_and_returns(self, values, rewards, action_mask, gamma, lambd):
        order, back = own_first(action_mask)
        packed = [one.gather(1, order) for one in (values, rewards, action_mask)]
        return tuple(one.gather(1, back) for one in gae(self, *packed, gamma, lambd))

    def get_cumulative_returns(self, rewards, action_mask, gamma):
        order, back = own_first(action_mask)
        packed = [one.gather(1, order) for one in (rewards, action_mask)]
        return cumulate(self, *packed, gamma).gather(1, back)

    maker.get_advantages_and_returns = get_advantages_and_returns
    maker.get_cumulative_returns = get_cumulative_returns


def own_first(mask):
    """(n, T): the order in which the model's own tokens come first, and the way back from it."""
    order = mask.int().argsort(dim=1, descending=True, stable=True)
    return order, order.argsort(dim=1)


def with_separate_streams(compute):
    """The computation of advantages for streams that have lost their baselines apart."""

    def compute_advantages_and_returns(self, experiences):
        advantage = self.strategy.args.algo.advantage
        estimator, size = advantage.estimator, self.strategy.args.rollout.n_samples_per_prompt
        mix_streams(experiences, estimator, size)

        # What is left to do is what an estimator without groups does. `reinforce` whitens, as
        # reinforce_baseline does; a name that OpenRLHF does not know whitens nothing.
        advantage.estimator = "reinforce" if estimator == "reinforce_baseline" else "mixed by rlsp"
        try:
            return compute(self, experiences)
        finally:
            advantage.estimator = estimator

    return compute_advantages_and_returns


def mix_streams(experiences, estimator, size):
    """Set rewards, (n,), to alpha * A(correctness) + (1 - alpha) * A(exploration)."""
    import torch

    # Micro-batches are made by length; by `index` the samples of a group are neighbours.
    sizes = [len(experience.index) for experience in experiences]
    order = torch.tensor(list(chain.from_iterable(one.index for one in experiences)))

    def column(name):
        values = torch.cat([experience.info[name].double() for experience in experiences])
        by_group = torch.empty_like(values)
        by_group[order] = values
        return by_group

    alpha = column("rlsp_alpha")
    correctness = centred(column("rlsp_correctness").view(-1, size), estimator)
    exploration = centred(column("rlsp_exploration").view(-1, size), estimator)

    mixed = (alpha * correctness + (1 - alpha) * exploration)[order].float()
    for experience, rewards in zip(experiences, mixed.split(sizes), strict=True):
        experience.rewards = rewards
        experience.info["separate_advantage"] = rewards.abs()


def centred(groups, estimator):
    """Scores (groups, n) without their group's baseline, (groups * n,).

    In float64: group_norm would divide the rounding of equal scores by their standard deviation,
    which is as small.
    """
    n = groups.shape[1]
    centred = groups - groups.mean(1, keepdim=True)

    # x - mean of the others = (x - mean of all) * n / (n - 1)
    if estimator == "rloo":
        centred = centred * n / (n - 1)
    if estimator == "group_norm":
        centred = centred / (groups.std(1, keepdim=True) + SMALLEST_STD)
    return centred.flatten()
