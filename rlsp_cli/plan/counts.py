"""How much a stage does: rows, rollouts, responses, optimiser steps, and tokens at most."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

from rlsp_cli.backends import stages_of
from rlsp_cli.data import source_rows
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.evals.benches import Benches, find_bench
from rlsp_cli.plan.texts import Role, Texts, texts_of
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.rounds import Rounds
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft


@dataclass(frozen=True)
class Counts:
    """One stage; None is unknown or not there.

    `tokens` is the most there can be, with prompts and all epochs. `unreadable` says why rows on
    this machine could not be read.
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


@dataclass(frozen=True)
class _Reading:
    """What is known of a source's rows, or why it is not: by a `note`, or because of an error."""

    texts: Texts | None = None
    note: str | None = None
    unreadable: str | None = None

    @property
    def rows(self) -> int | None:
        """How many rows there are."""
        return self.texts.rows if self.texts else None


def count_stages(recipe: Recipe) -> Iterator[tuple[Counts, Texts | None]]:
    """Each stage in order, with what its data looks like where that can be read here."""
    for stage in stages_of(recipe):
        if recipe.sft and stage == "sft":
            yield _sft(recipe, recipe.sft)
        elif recipe.ppo and stage == "ppo":
            yield _ppo(recipe, recipe.ppo)
        elif recipe.eval:
            yield _eval(recipe, recipe.eval), None
    if recipe.rounds:
        yield _rounds(recipe, recipe.rounds), None


def _sft(recipe: Recipe, sft: Sft) -> tuple[Counts, Texts | None]:
    found = _read(recipe, sft.role)
    rows = found.rows - sft.val_rows if found.rows is not None else None
    steps = _sft_steps(rows, sft) if rows else sft.max_steps

    notes = [found.note] if found.note else []
    if sft.axolotl.packing:
        # How many examples fit into one sequence only the tokenizer knows.
        notes.append("fewer steps with packing")

    # A pair is two sequences.
    longest = _within_model(recipe, sft.max_length) * (2 if sft.kind == "dpo" else 1)
    counts = Counts(
        stage="sft",
        backend=sft.backend,
        rows=rows,
        optimizer_steps=steps,
        tokens=steps * sft.batch * longest if steps else None,
        notes=tuple(notes),
        unreadable=found.unreadable,
    )
    return counts, found.texts


def _sft_steps(rows: int, sft: Sft) -> int:
    """Optimiser steps of as many epochs as the recipe wants, and no more than `max_steps`."""
    # Axolotl ends each epoch with a step on what is left.
    steps = ceil(sft.epochs * ceil(rows / sft.batch))
    if sft.backend == "local":
        # The embedded engine goes through the data without a seam between epochs.
        steps = int(sft.epochs * rows / sft.batch)

    steps = max(1, steps)
    return min(steps, sft.max_steps or steps)


def _within_model(recipe: Recipe, length: int) -> int:
    """Tokens of a sequence, and no more than a model from scratch can read."""
    scratch = recipe.model.from_scratch
    return min(length, scratch.max_length) if scratch else length


def _ppo(recipe: Recipe, ppo: Ppo) -> tuple[Counts, Texts | None]:
    found = _read(recipe, "prompts")
    steps = ppo.num_steps(found.rows) if found.rows is not None else ppo.steps

    counts = Counts(
        stage="ppo",
        backend=ppo.backend,
        rows=found.rows,
        rollouts=steps,
        notes=(found.note,) if found.note else (),
        unreadable=found.unreadable,
    )
    if steps is None:
        return counts, found.texts

    has_critic = ppo.estimator == "gae"
    longest = _within_model(recipe, ppo.max_prompt_tokens + ppo.max_new_tokens)

    counts = replace(
        counts,
        responses=steps * ppo.responses,
        optimizer_steps=max(steps - ppo.warmup_steps, 0) * ppo.updates,
        critic_steps=steps * ppo.updates if has_critic else None,
        tokens=steps * ppo.responses * longest,
    )
    return counts, found.texts


def _eval(recipe: Recipe, settings: Eval) -> Counts:
    if settings.responses is not None:
        return Counts("eval", "local", notes=("the responses are there",))

    # The model that the recipe begins with, and one that each stage leaves.
    models = sum(map(bool, (recipe.model.path, recipe.sft, recipe.ppo)))

    rows, responses, tokens = 0, 0, 0
    for name in settings.benches:
        size = _bench_size(name, recipe, settings)
        if size is None:
            return Counts("eval", "local", notes=("a bench cannot be read here",))

        sampling = Benches.of(recipe).sampling(name)
        asked = size * models * (sampling.samples + sampling.greedy)
        searched = size * models if settings.search else 0
        rows += size
        for setting in settings.sweep.settings:
            responses += asked + searched
            tokens += asked * int(setting.get("max_new_tokens", sampling.max_new_tokens))
            if settings.search:
                tokens += searched * settings.search.budget

    return Counts("eval", "local", rows, responses=responses, tokens=tokens)


def _rounds(recipe: Recipe, rounds: Rounds) -> Counts:
    """What all rounds sample; hints and the settings that are tried come on top."""
    found = _read(recipe, "prompts")
    rows = found.rows
    if rows is not None and rounds.problems is not None:
        rows = min(rows, rounds.problems)
    problems = rows * rounds.count if rows is not None else None
    if rounds.search:
        # How many responses a tree holds is not known before.
        responses, tokens = None, rounds.search.budget
    else:
        responses = problems * rounds.samples if problems else None
        tokens = rounds.samples * _within_model(recipe, rounds.max_new_tokens)

    notes = [found.note] if found.note else []
    notes.append(
        f"round 0 is what the other lines count; each of the {rounds.count} rounds after it "
        "repeats them on the recipe's traces and its own"
    )
    return Counts(
        stage="rounds",
        backend="local",
        rows=rows,
        responses=responses,
        tokens=problems * tokens if problems else None,
        notes=tuple(notes),
        unreadable=found.unreadable,
    )


def _bench_size(name: str, recipe: Recipe, settings: Eval) -> int | None:
    try:
        prompts = Benches.of(recipe).prompts(name)
        # A plan asks no hub; the bench's own file says how many problems it has.
        in_file = find_bench(name).problems if prompts.on_hub else None
        size = in_file or len(source_rows(prompts, recipe.plugins))
    except (DataError, NotReadyError):
        return None

    return min(size, settings.limit or size)


def _read(recipe: Recipe, role: Role) -> _Reading:
    """What `data.<role>` looks like."""
    if recipe.rounds and not recipe.data.sources(role):
        return _Reading(note=f"the rounds make its {role}, so its rows are unknown")
    if any(source.on_hub for source in recipe.data.sources(role).values()):
        return _Reading(
            note=f"data.{role} is on the hub, which a plan does not ask: its rows are unknown"
        )

    try:
        return _Reading(texts_of(recipe, role))
    except (DataError, NotReadyError) as error:
        # Kept, so that all else of the plan is shown before it.
        return _Reading(unreadable=f"data.{role} cannot be read: {error}")
