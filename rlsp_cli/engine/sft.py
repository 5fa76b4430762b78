"""Supervised fine-tuning: cross-entropy on the responses, prompts masked out."""

import time
from collections.abc import Collection, Sequence

import torch

from rlsp_cli.data import Trace, training_rows
from rlsp_cli.engine.batch import batch_rows, micro_batches, pad
from rlsp_cli.engine.checkpoint import newest_checkpoint, save_checkpoint, save_model
from rlsp_cli.engine.examples import Example, fitting_examples, tokenised
from rlsp_cli.engine.input_mask import InputMask, mask_token
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.model import checkpoint_layers
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.precision import autocast
from rlsp_cli.engine.roles import Roles, make_roles
from rlsp_cli.engine.seed import derive_seed
from rlsp_cli.engine.stage import Context
from rlsp_cli.recipe.schema import Sft
from rlsp_cli.runs.stream import drop_rows_from
from rlsp_cli.terminal import print


def train_sft(context: Context, settings: Sft, traces: Collection[Trace]) -> None:
    """Train the context's model in place and write `final`; goes on from a checkpoint where there is one."""
    store = tokenised(traces, context.recipe.data, context.tokenizer)
    training, validation = training_rows(len(store), settings.val_rows)
    examples = fitting_examples(store, training, settings.max_length)
    kept_out = fitting_examples(store, validation, settings.max_length) if validation else []
    total = num_steps(len(examples), settings)
    mask = _input_mask(context, settings, total)
    roles = make_roles(context.model, settings, context.recipe.seed)
    optimiser = Optimiser(roles.parameters("policy"), settings, settings.learning_rate, total)
    start = _restore(context, roles, optimiser)
    drop_rows_from(context.paths.metrics, start)
    context.model.train()
    if settings.gradient_checkpointing:
        checkpoint_layers(context.model)
    order = derive_seed(context.recipe.seed, "sft order")
    for step in range(start, total):
        rows = batch_rows(len(examples), settings.batch, step, order)
        torch.manual_seed(derive_seed(context.recipe.seed, "sft", step))
        batch = [examples[row] for row in rows]
        batch = mask.over(batch, step) if mask else batch
        metrics = train_step(context, settings, optimiser, batch)
        if mask:
            metrics["mask_input"] = mask.share_at(step)
        if kept_out and ((step + 1) % settings.val_every == 0 or step + 1 == total):
            metrics["eval_loss"] = validation_loss(context, settings, kept_out)
        epoch = round((step + 1) * settings.batch / len(examples), 4)
        context.log({"step": step, "total_steps": total, "epoch": epoch, **metrics})
        due = (step + 1) % settings.save_every == 0 and step + 1 < total
        if due or context.stop.is_set:
            state = {"optimiser": optimiser.state_dict(), "roles": roles.state()}
            save_checkpoint(
                context.paths.checkpoint(step + 1),
                context.model,
                context.tokenizer,
                step + 1,
                state,
            )
        context.stop.leave_if_set()
    keep = settings.lora is not None and settings.lora.keep_adapter
    save_model(context.paths.final, context.model, context.tokenizer, keep)


def train_step(
    context: Context, settings: Sft, optimiser: Optimiser, examples: Sequence[Example]
) -> dict[str, float | int]:
    """One optimiser step on a batch; the loss is the mean over all its response tokens."""
    began = time.perf_counter()
    lengths = torch.tensor([len(example.tokens) for example in examples])
    targets = sum(len(example.tokens) - example.start for example in examples)
    loss = 0.0
    for rows in micro_batches(lengths, torch.arange(len(examples)), settings.micro_batch):
        part = _loss_sum(context, [examples[row] for row in rows.tolist()]) / targets
        part.backward()  # type: ignore[no-untyped-call]
        loss += part.item()
    norm, rate = optimiser.step()
    speed = int(lengths.sum()) / (time.perf_counter() - began)
    return {
        "loss": loss,
        "lr": rate,
        "grad_norm": norm,
        "tokens": int(lengths.sum()),
        "time/tokens_per_s": round(speed, 1),
    }


@torch.no_grad()
def validation_loss(context: Context, settings: Sft, examples: Sequence[Example]) -> float:
    """Mean cross-entropy over all response tokens of the examples."""
    context.model.eval()
    lengths = torch.tensor([len(example.tokens) for example in examples])
    targets = sum(len(example.tokens) - example.start for example in examples)
    parts = micro_batches(lengths, torch.arange(len(examples)), settings.micro_batch)
    loss = (
        sum(_loss_sum(context, [examples[row] for row in rows.tolist()]).item() for rows in parts)
        / targets
    )
    context.model.train()
    return loss


def _loss_sum(context: Context, examples: Sequence[Example]) -> torch.Tensor:
    """Summed cross-entropy of the response tokens."""
    padding, device = context.tokenizer.pad_token_id, context.device
    tokens = pad([example.tokens for example in examples], padding, device)
    inputs = pad([example.inputs or example.tokens for example in examples], padding, device)
    mask = torch.zeros(len(examples), tokens.shape[1] - 1, device=context.device)
    for row, example in enumerate(examples):
        mask[row, max(example.start - 1, 0) : len(example.tokens) - 1] = 1
    with autocast(context.model, context.recipe.model.precision):
        states = last_states(context.model, inputs)
        return -token_logp(context.model, states, tokens, mask)[..., 0].sum()


def num_steps(rows: int, settings: Sft) -> int:
    """Optimiser steps of the whole stage."""
    steps = max(1, int(settings.epochs * rows / settings.batch))
    return min(steps, settings.max_steps or steps)


def _input_mask(context: Context, settings: Sft, total: int) -> InputMask | None:
    """What hides inputs in training; the traces are tokens already, so none holds a new mask token."""
    if not settings.mask_input:
        return None
    token = mask_token(context.model, context.tokenizer)
    return InputMask(settings.mask_input, total, token, context.recipe.seed)


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
