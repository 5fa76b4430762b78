"""Training in OpenRLHF as the recipe says: how many rollouts, and what is measured when.

The reward service has the plan and keeps the journal (rlsp_cli/backends/openrlhf/journal.py). This
file reports to it when training begins, what makes up a rollout, and what a step measured, with the
evaluation that belongs to it; the service replies whether to save and end.
"""

import functools
import json
import math
import shutil
from pathlib import Path

import rlsp_dense
from rlsp_prompts import FilteredError, Prompts


class StoppedError(Exception):
    """Training was asked to end, and has saved."""


def tell(event, **what):
    """Report an event to the service; its reply."""
    from rlsp_reward import ask

    return ask("/event", {"event": event, **what})


@functools.cache
def plan():
    """The service's plan: `steps`, `eval_every`, `export_every` and the folder for `exports`."""
    return tell("plan")


def change_trainer(module):
    """Make all changes to OpenRLHF's trainer."""
    take_our_prompts(module)
    follow_steps(module)
    warm_up_apart(module)


def take_our_prompts(module):
    """Put our endless prompts and our evaluation in the place of OpenRLHF's.

    OpenRLHF would count its steps by epochs, in which filtered prompts leave fewer rollouts.
    """

    def prepare_datasets(strategy, tokenizer):
        args, steps = strategy.args, plan()["steps"]
        rows = read_prompts(module, args.data.prompt_dataset, strategy, tokenizer)
        prompts = Prompts(rows, args.train.seed, steps, args.rollout.batch_size)

        # Without a data set for it OpenRLHF does not evaluate; the last number is the length
        # of the learning rates' schedules.
        return prompts, None, steps * updates(args)

    module.prepare_datasets = prepare_datasets


def read_prompts(module, path, strategy, tokenizer):
    """The rows of a file as OpenRLHF's own data set, which needs them in memory anyway."""
    with Path(path).open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    return module.PromptDataset(
        rows, tokenizer, strategy, input_template=strategy.args.data.input_template
    )


def updates(args):
    """Optimiser steps of one rollout."""
    responses = args.rollout.batch_size * args.rollout.n_samples_per_prompt
    return responses // args.train.batch_size * args.train.max_epochs


def follow_rollouts(module):
    """Report which samples make up a rollout, and end after the last one.

    `generate_samples` returns (samples, pass rate of the filter, prompts taken, whether none are
    left). Training ends when none are left.
    """
    generator = module.SamplesGenerator
    generate = generator.generate_samples

    def generate_samples(self, **generate_kwargs):
        if not self.prompts_dataloader.begin():
            return [], None, 0, True
        try:
            samples, pass_rate, consumed, _ = generate(self, **generate_kwargs)
        except FilteredError as error:
            tell("failed", message=str(error))
            raise

        # The number has done its work: as a metric it would be averaged.
        step, last = self.prompts_dataloader.end()
        requests = [int(sample.info.pop("rlsp_request")) for sample in samples]
        reply = tell("rollout", step=step, requests=requests)
        if "steps" in reply:
            rlsp_dense.keep(samples, reply["steps"], self.tokenizer)
        return samples, pass_rate, consumed, last

    generator.generate_samples = generate_samples
    count_own_tokens(generator)


def count_own_tokens(generator):
    """Let the length of a response be that of the model's words, without what others say."""
    process = generator._process_response_into_experience

    def _process_response_into_experience(self, response, **generate_kwargs):
        experience = process(self, response, **generate_kwargs)
        experience.response_length = experience.action_mask.sum(-1)
        return experience

    generator._process_response_into_experience = _process_response_into_experience


def follow_steps(module):
    """Report the beginning and each step; evaluate, export, save and end when it is time."""
    trainer = module.BasePPOTrainer
    begin, save = trainer.init_checkpoint_states, trainer.save_logs_and_checkpoints

    def init_checkpoint_states(self):
        states = begin(self)
        tell("begin", step=states["global_step"])
        return states

    def save_logs_and_checkpoints(self, global_step, logs_dict=None, client_states=None):
        measured = dict(logs_dict or {})
        if due(global_step, "eval_every"):
            measured |= evaluate(module, self, global_step)
        if due(global_step, "export_every"):
            export_policy(module, self, global_step)

        # OpenRLHF counts steps that are done, rlsp numbers them from 0.
        reply = tell("step", step=global_step - 1, numbers=numbers(measured))
        if reply["stop"]:
            self.args.ckpt.save_steps = 1
        save(self, global_step, logs_dict, client_states)
        if reply["stop"]:
            tell("stopped", step=global_step)
            raise StoppedError(f"stopped after step {global_step}, with a checkpoint")

    trainer.init_checkpoint_states = init_checkpoint_states
    trainer.save_logs_and_checkpoints = save_logs_and_checkpoints


def due(step, what):
    """Whether the plan has `what`, such as `eval_every`, after so many steps."""
    every = plan()[what]
    return bool(every) and step % every == 0


def numbers(logs):
    """The finite numbers among logs, in which there are tensors and texts as well."""
    found = {}
    for name, value in logs.items():
        if hasattr(value, "numel") and value.numel() != 1:
            continue
        number = value.item() if hasattr(value, "item") else value
        if isinstance(number, int | float) and math.isfinite(number):
            found[name] = number
    return found


def evaluate(module, trainer, step):
    """Metrics of OpenRLHF's own evaluation on held-out problems, with the weights of this step."""
    args = trainer.args
    rows = read_prompts(module, args.eval.dataset, trainer.strategy, trainer.tokenizer)
    heldout = [rows.collate_fn([rows[row]]) for row in range(len(rows))]
    generator = module.SamplesGenerator(
        trainer.strategy, None, heldout, trainer.tokenizer, trainer.vllm_engines
    )

    samples = generator.generate_eval_samples(
        max_len=args.data.max_len,
        max_new_tokens=args.rollout.max_new_tokens,
        temperature=args.eval.temperature,
        top_p=args.rollout.top_p,
        n_samples_per_prompt=args.eval.n_samples_per_prompt,
    )
    logs = module.compute_eval_metrics(heldout, samples, args.eval.n_samples_per_prompt)

    for tracker in (trainer.wandb_logger, trainer.tensorboard_logger):
        if tracker:
            tracker.log_eval(step, logs)
    return logs


def export_policy(module, trainer, step):
    """Let all processes of the policy save it together: each may have a shard of it."""
    folder = f"{plan()['exports']}/step-{step:06d}"

    # `execute_batch` calls a method with each value between two indices: here once.
    batch = ("execute_batch", "export", {"folder": [folder]}, 0, 1)
    module.ray.get(trainer.actor_model_group.async_run_method(*batch))


def export(self, folder):
    """Save the model, all processes together, in the Hugging Face layout; `folder` is whole."""
    draft = f"{folder}.draft"
    self.strategy.save_model(self.actor, self.tokenizer, draft)

    if self.strategy.is_rank_0():
        shutil.rmtree(folder, ignore_errors=True)  # of the same step, before a resume
        Path(draft).rename(folder)


def warm_up_apart(module):
    """Keep rollouts of the critic's warm-up from the policy.

    OpenRLHF hands every rollout to both models, lets the policy train after the warm-up, and
    forgets only what it has trained on: the policy's first update would learn from all rollouts of
    the warm-up at once.
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
    """A group of models to which no rollouts are handed; it does everything else."""

    def __init__(self, group):
        self.group = group

    def async_run_method_batch(self, method_name, **columns):
        """Call the group's method, unless it is `append`, which hands over a rollout."""
        if method_name == "append":
            return []
        return self.group.async_run_method_batch(method_name, **columns)

    def __getattr__(self, name):
        return getattr(self.group, name)


def warm_up(args):
    """Rollouts that train only the critic: the policy waits while `global_step <= freezing_steps`."""
    return args.critic.freezing_steps + 1


def shorten_schedule(module):
    """Let the policy's schedule end with its last update: in the critic's warm-up it has none."""
    strategy = module.DeepspeedStrategy
    prepare = strategy._ds_init_train_model

    def _ds_init_train_model(self, model, cfg):
        if isinstance(model, module.Actor):
            frozen = warm_up(self.args) * updates(self.args)
            cfg = {**cfg, "scheduler_steps": max(cfg["scheduler_steps"] - frozen, 1)}
        return prepare(self, model, cfg)

    strategy._ds_init_train_model = _ds_init_train_model
