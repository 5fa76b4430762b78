"""What rlsp adds to OpenRLHF's workers; Ray calls `install` in each of them before it does anything else.

The trainer tells the reward service when training begins, what each step measured and what an evaluation found, and
saves and ends when the service asks for it. The critic's warm-up leaves nothing for the policy to learn from later, and
the policy's schedule is as long as its own updates. Many samples can wait for their reward at once, and models meet on
ports that nobody else is given. With RLSP_ADVANTAGES=separate, correctness and exploration each get their group's
baseline before they are mixed. OpenRLHF's own files stay as they are: its functions are changed when it is loaded.
"""

import asyncio
import importlib.abc
import importlib.machinery
import math
import os
import random
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

THREADS = 1024
"""Samples of one engine that wait for their reward at the same time."""
PORTS = range(20_000, 30_000)
"""Above those that Ray gives its workers, below those that Linux gives to whoever asks."""


class StoppedError(Exception):
    """Training was asked to end, and has saved."""


def install():
    """Wrap OpenRLHF's modules as soon as this process imports them."""
    sys.meta_path.insert(0, Finder())


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of `CHANGES` and changes them after they have run."""

    def find_spec(self, name, path=None, target=None):
        """The usual spec, with our loader around its own."""
        if name not in CHANGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader, CHANGES[name])
        return spec


class Loader(importlib.abc.Loader):
    """Runs a module, then a change."""

    def __init__(self, inner, change):
        self.inner, self.change = inner, change

    def create_module(self, spec):
        """As the module's own loader."""
        return self.inner.create_module(spec)

    def exec_module(self, module):
        """As the module's own loader, and then the change."""
        self.inner.exec_module(module)
        self.change(module)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def tell(event, **what):
    """Tell the service; its answer."""
    from rlsp_reward import ask

    return ask("/event", {"event": event, **what})


def change_trainer(module):
    """All that the trainer does otherwise."""
    follow_trainer(module)
    warm_up_apart(module)


def follow_trainer(module):
    """Wrap the trainer's beginning, the end of each step, and its evaluation."""
    trainer = module.BasePPOTrainer
    begin, save, evaluate = (
        trainer.init_checkpoint_states,
        trainer.save_logs_and_checkpoints,
        module.compute_eval_metrics,
    )

    def init_checkpoint_states(self):
        states = begin(self)
        tell("begin", step=states["global_step"])
        return states

    def save_logs_and_checkpoints(self, global_step, logs_dict=None, client_states=None):
        stop = tell("step", step=global_step - 1, numbers=numbers(logs_dict or {}))["stop"]
        if stop:
            getattr(self.args, "ckpt", self.args).save_steps = 1
        save(self, global_step, logs_dict, client_states)
        if stop:
            tell("stopped", step=global_step)
            raise StoppedError(f"stopped after step {global_step}, with a checkpoint")

    def compute_eval_metrics(*args, **kwargs):
        logs = evaluate(*args, **kwargs)
        tell("eval", numbers=numbers(logs))
        return logs

    trainer.init_checkpoint_states = init_checkpoint_states
    trainer.save_logs_and_checkpoints = save_logs_and_checkpoints
    module.compute_eval_metrics = compute_eval_metrics


def warm_up_apart(module):
    """Rollouts of the critic's warm-up do not wait for the policy.

    OpenRLHF hands every rollout to both models, lets the policy train after the warm-up, and forgets only what it has
    trained on: its first update would learn from all rollouts of the warm-up at once.
    """
    trainer = module.BasePPOTrainer
    step = trainer.train_step

    def train_step(self, rollout_samples, global_step):
        policy = self.actor_model_group
        if global_step < warm_up(self.args):
            self.actor_model_group = Unfed(policy)
        try:
            return step(self, rollout_samples, global_step)
        finally:
            self.actor_model_group = policy

    trainer.train_step = train_step


class Unfed:
    """A group of models that is handed no rollouts; everything else it does."""

    def __init__(self, group):
        self.group = group

    def async_run_method_batch(self, method_name, **columns):
        """As the group, but for `append`."""
        return [] if method_name == "append" else self.group.async_run_method_batch(method_name, **columns)

    def __getattr__(self, name):
        return getattr(self.group, name)


def warm_up(args):
    """Rollouts that train only the critic: OpenRLHF freezes the policy while `global_step <= freezing_steps`."""
    return args.critic.freezing_steps + 1


def shorten_schedule(module):
    """The policy's learning rate ends with the policy's last update, which the critic's warm-up brings nearer."""
    strategy = module.DeepspeedStrategy
    prepare = strategy._ds_init_train_model

    def _ds_init_train_model(self, model, cfg):
        if isinstance(model, module.Actor):
            frozen = warm_up(self.args) * updates(self.args)
            cfg = {**cfg, "scheduler_steps": max(cfg["scheduler_steps"] - frozen, 1)}
        return prepare(self, model, cfg)

    strategy._ds_init_train_model = _ds_init_train_model


def updates(args):
    """Optimiser steps of a rollout."""
    responses = args.rollout.batch_size * args.rollout.n_samples_per_prompt
    return responses // args.train.batch_size * args.train.max_epochs


def numbers(logs):
    """What is a finite number among logs."""
    single = {name: value for name, value in logs.items() if getattr(value, "numel", lambda: 1)() == 1}
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in single.items()}
    return {name: v for name, v in plain.items() if isinstance(v, int | float) and math.isfinite(v)}


def widen(module):
    """Ask for rewards in threads of our own, one for each sample that waits.

    asyncio has at most 32 by itself. They could all hold samples of different prompts, and wait for a reward that
    compares samples of the same one.
    """
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="rlsp-reward")

    async def fetch(self, queries, prompts, labels):
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(threads, self.reward_func, queries, prompts, labels)]

    module.SingleTurnAgentExecutor._fetch_rewards_via_func = fetch


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

    The second estimates the entropy without keeping a distribution for each token, as OpenRLHF's own number does. Where
    the KL is a loss, OpenRLHF keeps the reference's log-probabilities instead of it.
    """
    mask, logp = experience.action_mask.float(), experience.action_log_probs.float()
    reference = experience.base_action_log_probs
    kl = experience.kl if reference is None else logp - reference.float()
    return {"kl_response": (kl * mask).sum(-1), "sampled_entropy": -(logp * mask).sum(-1) / mask.sum(-1)}


def with_separate_streams(compute):
    """Baselines are taken off correctness and exploration apart, then alpha mixes them."""

    def compute_advantages_and_returns(self, experiences):
        advantage = self.strategy.args.algo.advantage
        estimator, size = advantage.estimator, self.strategy.args.rollout.n_samples_per_prompt
        mix_streams(experiences, estimator, size)
        # What is left to do is what an estimator without groups does; whitening only where this one has it.
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
    streams = [centred(column(f"rlsp_{name}").view(-1, size), estimator) for name in ("correctness", "exploration")]
    mixed = (alpha * streams[0] + (1 - alpha) * streams[1])[order].float()
    for experience, rewards in zip(experiences, mixed.split([len(e.index) for e in experiences]), strict=True):
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


def steady_ports(module):
    """Let a model's processes meet where nobody else comes: the system may give OpenRLHF's port away once more."""
    module.BaseDistributedActor._get_free_port = staticmethod(free_port)


def free_port():
    """A free port of `PORTS`, drawn at random."""
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError(f"all ports from {PORTS.start} to {PORTS.stop} are taken")


CHANGES = {
    "openrlhf.trainer.ray.launcher": steady_ports,
    "openrlhf.utils.agent": widen,
    "openrlhf.utils.deepspeed.deepspeed": shorten_schedule,
    "openrlhf.trainer.ppo_trainer": change_trainer,
    "openrlhf.trainer.ppo_utils.experience_maker": follow_experience,
}
