"""How much a stage does: rows, rollouts, responses, optimiser steps, and the most tokens that this can be."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

from rlsp_cli.backends import stages_of
from rlsp_cli.data import prompt_rows, source_rows, trace_rows
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.evals.benches import Benches, find_bench
from rlsp_cli.recipe.schema import Eval, Ppo, Prompts, Recipe, Rows, Sft

Row = TypeVar("Row")
_CHARACTERS_PER_TOKEN = 4
"""Of English text, roughly, in the tokenizers of today's models."""


@dataclass(frozen=True)
class Texts:
    """Rows of data, and mean tokens of their prompts and responses, estimated from the number of characters."""

    rows: int
    prompt_tokens: float
    response_tokens: float = 0


@dataclass(frozen=True)
class Counts:
    """One stage; None is unknown or not there. `tokens` is the most there can be, with prompts and all epochs.

    `unreadable` says why rows on this machine could not be read.
    """

    stage: str
    backend: str
    rows: int | None = None
    rollouts: int | None = None
    responses: int | None = None
    optimizer_steps: int | None = None
    critic_steps: int | None = None
    tokens: int | None = None
    notes: tuple[str, ...] = ()
    unreadable: str | None = None


def count_stages(recipe: Recipe) -> Iterator[tuple[Counts, Texts | None]]:
    """Each stage in order, with what its data looks like where that can be read here."""
    for stage in stages_of(recipe):
        if recipe.sft and stage == "sft":
            yield _sft(recipe, recipe.sft)
        elif recipe.ppo and stage == "ppo":
            yield _ppo(recipe, recipe.ppo)
        elif recipe.eval:
            yield _eval(recipe, recipe.eval), None


def _sft(recipe: Recipe, sft: Sft) -> tuple[Counts, Texts | None]:
    texts, note, wrong = _read(recipe, "traces")
    backend, rows = sft.backend, texts.rows - sft.val_rows if texts else None
    steps = _sft_steps(rows, sft, backend) if rows else sft.max_steps
    notes = [note, "fewer steps with packing" if sft.axolotl.packing else None]
    return Counts(
        *("sft", backend, rows),
        optimizer_steps=steps,
        tokens=steps * sft.batch * _within_model(recipe, sft.max_length) if steps else None,
        notes=tuple(filter(None, notes)),
        unreadable=wrong,
    ), texts


def _sft_steps(rows: int, sft: Sft, backend: str) -> int:
    """Our engine goes through the data without a seam; Axolotl ends each epoch with a step on what is left."""
    whole = (
        int(sft.epochs * rows / sft.batch)
        if backend == "local"
        else ceil(sft.epochs * ceil(rows / sft.batch))
    )
    return min(max(1, whole), sft.max_steps or max(1, whole))


def _within_model(recipe: Recipe, length: int) -> int:
    """Tokens of a sequence, and no more than a model from scratch can read."""
    return (
        min(length, recipe.model.from_scratch.max_length) if recipe.model.from_scratch else length
    )


def _ppo(recipe: Recipe, ppo: Ppo) -> tuple[Counts, Texts | None]:
    texts, note, wrong = _read(recipe, "prompts")
    steps = ppo.num_steps(texts.rows) if texts else ppo.steps
    size = ppo.responses
    updates, critic = ppo.epochs * max(1, size // ppo.train_batch), ppo.estimator == "gae"
    longest = _within_model(recipe, ppo.max_prompt_tokens + ppo.max_new_tokens)
    known = {} if steps is None else {
        "responses": steps * size,
        "optimizer_steps": max(steps - (ppo.critic_warmup_steps if critic else 0), 0) * updates,
        "critic_steps": steps * updates if critic else None,
        "tokens": steps * size * longest,
    }  # fmt: skip
    rows, notes = texts.rows if texts else None, (note,) if note else ()
    return Counts(
        "ppo", ppo.backend, rows, rollouts=steps, notes=notes, unreadable=wrong, **known
    ), texts


def _eval(recipe: Recipe, settings: Eval) -> Counts:
    if settings.responses is not None:
        return Counts("eval", "local", notes=("the responses are there",))
    sizes = [_bench_size(name, recipe, settings) for name in settings.benches]
    models = sum(map(bool, (recipe.model.path, recipe.sft, recipe.ppo)))
    if any(size is None for size in sizes):
        return Counts("eval", "local", notes=("a bench cannot be read here",))
    rows, responses, tokens = 0, 0, 0
    for name, size in zip(settings.benches, sizes, strict=True):
        drawn = Benches.of(recipe).sampling(name)
        many = (size or 0) * models * (drawn.samples + drawn.greedy)
        rows, responses, tokens = (
            rows + (size or 0),
            responses + many,
            tokens + many * drawn.max_new_tokens,
        )
    return Counts("eval", "local", rows, responses=responses, tokens=tokens)


def _bench_size(name: str, recipe: Recipe, settings: Eval) -> int | None:
    try:
        prompts = Benches.of(recipe).prompts(name)
        size = (
            find_bench(name).problems
            if prompts.on_hub
            else len(source_rows(prompts, recipe.plugins))
        )
    except (DataError, NotReadyError):
        return None
    return min(size, settings.limit or size)


def _read(recipe: Recipe, role: str) -> tuple[Texts | None, str | None, str | None]:
    """What `data.<role>` looks like, or why a plan does not know, or what is wrong with it."""
    rows: Rows | None = getattr(recipe.data, role)
    assert rows, "checked by the recipe"
    if rows.on_hub:
        return (
            None,
            f"data.{role} is on the hub, which a plan does not ask: its rows are unknown",
            None,
        )
    try:
        return (_of_prompts if isinstance(rows, Prompts) else _of_traces)(recipe), None, None
    except (DataError, NotReadyError) as error:
        return None, None, f"data.{role} cannot be read: {error}"


def _of_prompts(recipe: Recipe) -> Texts:
    assert recipe.data.prompts
    found = prompt_rows(recipe.data.prompts, recipe.plugins)
    around = len(recipe.data.template) + len(recipe.data.system or "")
    return Texts(len(found), _mean_tokens(found, lambda row: around + len(row.problem)))


def _of_traces(recipe: Recipe) -> Texts:
    assert recipe.data.traces
    found = trace_rows(recipe.data.traces, recipe.plugins)
    prompts = _mean_tokens(
        found, lambda row: sum(len(turn.content) for turn in row.turns) or len(row.prompt)
    )
    return Texts(len(found), prompts, _mean_tokens(found, lambda row: len(row.response)))


def _mean_tokens(rows: Sequence[Row], characters: Callable[[Row], int]) -> float:
    return sum(map(characters, rows)) / len(rows) / _CHARACTERS_PER_TOKEN
