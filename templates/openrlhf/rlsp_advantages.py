"""Advantages in OpenRLHF: what whole responses tell is noted, and the two streams of rewards are mixed here.

With RLSP_ADVANTAGES=separate, correctness and exploration each get their group's baseline before
they are mixed.
"""

import os


def follow_experience(module):
    """Wrap the advantages: what responses tell is noted, and streams are mixed here if the recipe says so."""
    maker = module.RemoteExperienceMaker
    compute = maker.compute_advantages_and_returns
    if os.environ.get("RLSP_ADVANTAGES") == "separate":
        compute = with_separate_streams(compute)

    def compute_advantages_and_returns(self, experiences):
        for experience in experiences:
            experience.info.update(measured(experience))
        return compute(self, experiences)

    maker.compute_advantages_and_returns = compute_advantages_and_returns


def measured(experience):
    """Of each response: its KL to the reference, and minus the mean log-probability of its tokens.

    The second estimates the entropy without keeping a distribution for each token, as OpenRLHF's
    own number does. Where the KL is a loss, OpenRLHF keeps the reference's log-probabilities
    instead of it.
    """
    mask, logp = experience.action_mask.float(), experience.action_log_probs.float()
    reference = experience.base_action_log_probs
    kl = experience.kl if reference is None else logp - reference.float()
    return {
        "kl_response": (kl * mask).sum(-1),
        "sampled_entropy": -(logp * mask).sum(-1) / mask.sum(-1),
    }


def with_separate_streams(compute):
    """Baselines are taken off correctness and exploration apart, then alpha mixes them."""

    def compute_advantages_and_returns(self, experiences):
        advantage = self.strategy.args.algo.advantage
        estimator, size = advantage.estimator, self.strategy.args.rollout.n_samples_per_prompt
        mix_streams(experiences, estimator, size)
        # What is left to do is what an estimator without groups does; whitening only where this one
        # has it.
        advantage.estimator = "reinforce" if estimator == "reinforce_baseline" else "mixed by rlsp"
        try:
            return compute(self, experiences)
        finally:
            advantage.estimator = estimator

    return compute_advantages_and_returns


def mix_streams(experiences, estimator, size):
    """Set each experience's rewards (n,) to alpha * A(correctness) + (1 - alpha) * A(exploration)."""
    import torch

    order = torch.tensor([index for experience in experiences for index in experience.index])

    def column(name):
        found = torch.cat([experience.info[name].double() for experience in experiences])
        ordered = torch.empty_like(found)
        ordered[order] = found
        return ordered

    alpha = column("rlsp_alpha")
    streams = [
        centred(column(f"rlsp_{name}").view(-1, size), estimator)
        for name in ("correctness", "exploration")
    ]
    mixed = (alpha * streams[0] + (1 - alpha) * streams[1])[order].float()
    for experience, rewards in zip(
        experiences, mixed.split([len(e.index) for e in experiences]), strict=True
    ):
        experience.rewards = rewards
        experience.info["separate_advantage"] = rewards.abs()


def centred(groups, estimator):
    """(groups, n) scores without their group's baseline, flat; float64, or group_norm makes much of rounding."""
    centred = groups - groups.mean(1, keepdim=True)
    if estimator == "rloo":  # the mean of the others
        centred = centred * groups.shape[1] / (groups.shape[1] - 1)
    if estimator == "group_norm":
        centred = centred / (groups.std(1, keepdim=True) + 1e-9)
    return centred.flatten()
