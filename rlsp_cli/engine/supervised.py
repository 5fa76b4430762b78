"""The loop of supervised training: batches, optimiser steps, validation, checkpoints."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

import torch

from rlsp_cli.engine.batch import batch_rows, micro_batches
from rlsp_cli.engine.checkpoint import newest_checkpoint, save_checkpoint, save_model
from rlsp_cli.engine.model import checkpoint_layers
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.roles import Roles, make_roles
from rlsp_cli.engine.seed import derive_seed
from rlsp_cli.engine.stage import Context
from rlsp_cli.recipe.sft import Sft
from rlsp_cli.runs.stream import drop_rows_from
from rlsp_cli.terminal import print

Sums = dict[str, torch.Tensor]


class Tokens(Protocol):
    """An example, as far as the loop knows it."""

    @property
    def tokens(self) -> Sequence[int]:
        """What the model reads."""
        ...


Item = TypeVar("Item", bound=Tokens)


class Objective(ABC, Generic[Item]):
    """What is learned from examples, each of which has one or more targets.

    It gives sums over targets and the loop divides by their number, so that a gradient does not
    depend on how a batch is cut into micro-batches.
    """

    def prepared(self, batch: list[Item], step: int) -> list[Item]:
        """The batch as this step learns it."""
        return batch

    def settings_at(self, step: int) -> dict[str, float]:
        """What changes from step to step, for the metrics."""
        return {}

    @abstractmethod
    def targets(self, example: Item) -> int:
        """How many targets an example has."""

    @abstractmethod
    def sums(self, examples: Sequence[Item]) -> Sums:
        """Sums over all targets: `loss`, which is minimised, and what the metrics need."""

    def metrics(self, sums: Mapping[str, float], targets: int) -> dict[str, float]:
        """The metrics of so many targets, from the sums over them."""
        return {"loss": sums["loss"] / targets}


def train(
    context: Context,
    settings: Sft,
    objective: Objective[Item],
    training: Sequence[Item],
    kept_out: Sequence[Item],
) -> None:
    """Train the context's model in place and write `final`; goes on from a checkpoint where there is one."""
    total = num_steps(len(training), settings)
    roles = make_roles(context.model, settings, context.recipe.seed)
    optimiser = Optimiser(roles.parameters("policy"), settings, settings.learning_rate, total)
    start = _restore(context, roles, optimiser)
    drop_rows_from(context.paths.metrics, start)
    context.model.train()
    if settings.gradient_checkpointing:
        checkpoint_layers(context.model)

    order = derive_seed(context.recipe.seed, "sft order")
    for step in range(start, total):
        rows = batch_rows(len(training), settings.batch, step, order)
        torch.manual_seed(derive_seed(context.recipe.seed, "sft", step))
        batch = objective.prepared([training[row] for row in rows], step)
        metrics = train_step(settings, optimiser, objective, batch) | objective.settings_at(step)
        if kept_out and ((step + 1) % settings.val_every == 0 or step + 1 == total):
            found = measure(context, settings, objective, kept_out)
            metrics |= {f"eval_{name}": value for name, value in found.items()}

        epoch = round((step + 1) * settings.batch / len(training), 4)
        context.log({"step": step, "total_steps": total, "epoch": epoch, **metrics})
        due = (step + 1) % settings.save_every == 0 and step + 1 < total
        if due or context.stop.is_set:
            _save(context, step + 1, roles, optimiser)
        context.stop.leave_if_set()

    keep = settings.lora is not None and settings.lora.keep_adapter
    save_model(context.paths.final, context.model, context.tokenizer, keep)


def train_step(
    settings: Sft, optimiser: Optimiser, objective: Objective[Item], batch: Sequence[Item]
) -> dict[str, float]:
    """One optimiser step on a batch; the loss is the mean over all its targets."""
    began = time.perf_counter()
    targets = sum(map(objective.targets, batch))
    total: dict[str, float] = {}
    for part in _parts(batch, settings.micro_batch):
        sums = objective.sums(part)
        (sums["loss"] / targets).backward()  # type: ignore[no-untyped-call]
        _add(total, sums)

    norm, rate = optimiser.step()
    tokens = sum(len(example.tokens) for example in batch)
    return {
        **objective.metrics(total, targets),
        "lr": rate,
        "grad_norm": norm,
        "tokens": tokens,
        "time/tokens_per_s": round(tokens / (time.perf_counter() - began), 1),
    }


@torch.no_grad()
def measure(
    context: Context, settings: Sft, objective: Objective[Item], examples: Sequence[Item]
) -> dict[str, float]:
    """The metrics over all targets of the examples, without learning from them."""
    context.model.eval()
    targets = sum(map(objective.targets, examples))
    total: dict[str, float] = {}
    for part in _parts(examples, settings.micro_batch):
        _add(total, objective.sums(part))

    context.model.train()
    return objective.metrics(total, targets)


def num_steps(rows: int, settings: Sft) -> int:
    """Optimiser steps of the whole stage."""
    steps = max(1, int(settings.epochs * rows / settings.batch))
    return min(steps, settings.max_steps or steps)


def _parts(examples: Sequence[Item], size: int) -> list[list[Item]]:
    """Micro-batches of examples of similar length."""
    lengths = torch.tensor([len(example.tokens) for example in examples])
    parts = micro_batches(lengths, torch.arange(len(examples)), size)
    return [[examples[row] for row in rows.tolist()] for rows in parts]


def _add(total: dict[str, float], sums: Sums) -> None:
    for name, value in sums.items():
        total[name] = total.get(name, 0.0) + value.item()


def _save(context: Context, done: int, roles: Roles, optimiser: Optimiser) -> None:
    state = {"optimiser": optimiser.state_dict(), "roles": roles.state()}
    folder = context.paths.checkpoint(done)
    save_checkpoint(folder, context.model, context.tokenizer, done, state)


def _restore(context: Context, roles: Roles, optimiser: Optimiser) -> int:
    """Load the newest checkpoint's weights and optimiser; returns the steps done."""
    checkpoint = newest_checkpoint(context.paths.checkpoints)
    if checkpoint is None:
        return 0
    roles.restore(checkpoint.folder, checkpoint.trainer["roles"])
    optimiser.load_state_dict(checkpoint.trainer["optimiser"])
    print(
        f"sft: resumed after step {checkpoint.step}: weights, optimiser, schedule, data position, random numbers"
    )
    return checkpoint.step
