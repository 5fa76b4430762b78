"""Traces that were asked for on the command line: read, filter in a fixed order, write them with their card."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rlsp_cli import __version__
from rlsp_cli.data import source_digest, source_rows
from rlsp_cli.data.demonstration import Demonstration
from rlsp_cli.data.formats import FORMATS, Columns, pick_format
from rlsp_cli.errors import UsageError
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.overlap.against import benches_of, compared_bench, index_of, whole_bench
from rlsp_cli.evals.samplers import Sampler
from rlsp_cli.evals.samplers.endpoint import EndpointSampler
from rlsp_cli.recipe.issue import did_you_mean
from rlsp_cli.recipe.load import load_recipe, resolve_recipe
from rlsp_cli.recipe.schema import Data, Model, Recipe, Reward, Rows
from rlsp_cli.recipe.shipped import find_recipe
from rlsp_cli.rewards.registry import get_plugin, resolve_options
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.token_count import token_counter
from rlsp_cli.runs.clock import now
from rlsp_cli.runs.lock import locked
from rlsp_cli.runs.stream import write_json, write_text
from rlsp_cli.terminal import print
from rlsp_cli.traces.card import Card
from rlsp_cli.traces.filters import (
    Count,
    Filter,
    Filtered,
    apart_from,
    by_length,
    closed,
    converted,
    joined,
    one_per_problem,
    refuse_nothing,
    run_filters,
    verified,
)
from rlsp_cli.traces.rejection import Drawing, draw


@dataclass(frozen=True)
class Order:
    """What was asked for; `verifier`, `drawing` and `recipe` (to decontaminate against) are None where not wanted."""

    sources: Sequence[str]
    out: Path
    command: str
    format: str | None = None
    columns: Columns = field(default_factory=Columns)
    limit: int | None = None
    drawing: Drawing | None = None
    min_tokens: int = 0
    max_tokens: int | None = None
    tokenizer: str | None = None
    verifier: str | None = None
    recipe: str | None = None
    one_per_problem: bool = False

    @property
    def card(self) -> tuple[Path, Path]:
        """The card to read and the card as JSON, beside the traces."""
        return self.out.with_suffix(".card.md"), self.out.with_suffix(".card.json")

    @property
    def drafts(self) -> Path:
        """Folder of what is drawn, until all is done."""
        return self.out.with_suffix(".drafts")


def make_traces(order: Order) -> Card:
    """Write the traces and their card; UsageError for an order that cannot be filled, DataError when no row is left."""
    _refuse(order)
    with locked(order.drafts):
        return _made(order)


def _made(order: Order) -> Card:
    recipe = load_recipe(find_recipe(order.recipe), plugins=resolve_options) if order.recipe else None
    benches = _benches(recipe) if recipe else []
    reward = _reward(order.verifier) if order.verifier else None
    read, sources = _read(order)
    with _filters(order, recipe, benches, reward) as filters:
        rows, counts = run_filters(read.rows, filters)
    counts = [count for count in counts if count.reasons or count.name not in _silent(order)]
    text = "".join(json.dumps(row.to_row(), ensure_ascii=False) + "\n" for row in rows)
    card = _card(order, text, sources, benches, reward, [read.tally, *counts], rows)
    _write(order, text, card)
    return card


def _refuse(order: Order) -> None:
    if order.out.suffix != ".jsonl":
        raise UsageError(f"{order.out}: traces are written as JSON Lines; name a file that ends in .jsonl")
    used = next((path for path in (order.out, *order.card) if path.exists()), None)
    if used:
        raise UsageError(f"{used}: exists already; name another file by --out")
    if order.tokenizer is None and (order.min_tokens or order.max_tokens):
        raise UsageError("--min-tokens and --max-tokens: tokens of which model? name its folder by --tokenizer")
    if order.format is not None and order.format not in FORMATS:
        raise UsageError(f"unknown format {order.format!r} - {did_you_mean(order.format, FORMATS)}")


def _silent(order: Order) -> set[str]:
    """Filters that run without being asked for, and are worth a line only where they leave rows out."""
    asked = order.min_tokens or order.max_tokens is not None
    return {"thinking"} if asked else {"thinking", "length"}


def _read(order: Order) -> tuple[Filtered, list[dict[str, Any]]]:
    """All sources as demonstrations, and what the card says of each source."""
    parts, facts = [], []
    for source in order.sources:
        rows = source_rows(Rows(source=source, rows=order.limit))
        place, first = rows[0]
        format = order.format or pick_format(first, place, order.columns)
        name = Path(source.removeprefix("hf:").partition("@")[0]).stem
        parts.append(converted(rows, name, format, order.columns))
        facts.append({"source": source, "format": format, "rows": len(rows), "identity": _identity(source)})
    read = joined(parts)
    refuse_nothing(read.tally)
    return read, facts


def _identity(source: str) -> str:
    """What tells that a source is still the same."""
    if source.startswith("task:"):
        return f"plugin {get_plugin('task', source.removeprefix('task:')).digest}"
    if source.startswith("hf:"):
        return f"revision {source.partition('@')[2] or 'not pinned'}"
    return f"SHA-256 {source_digest(source)}"


def _benches(recipe: Recipe) -> list[Bench]:
    return [whole_bench(name, recipe) for name in benches_of(recipe)]


def _reward(verifier: str) -> Reward:
    """A verifier with its defaults, on all cores."""
    reward = {"correctness": {"use": verifier}, "workers": os.cpu_count() or 1}
    return resolve_recipe({"name": "traces", "reward": reward}, plugins=resolve_options).reward


@contextmanager
def _filters(
    order: Order, recipe: Recipe | None, benches: Sequence[Bench], reward: Reward | None
) -> Iterator[list[Filter]]:
    """The filters that were asked for, in their order, with what they need running."""
    with ExitStack() as running:
        filters: list[Filter] = []
        if order.drawing:
            data, tick = recipe.data if recipe else Data(), partial(_tick, "sampled")
            sampler, prompt = _sampler(order.drawing, data)
            asked = partial(draw, sampler=sampler, drawing=order.drawing, prompt=prompt, drafts=order.drafts)
            filters.append(partial(asked, tick=tick, system=data.system))
        filters.append(closed)
        count = token_counter(Model(), order.tokenizer) or _words
        filters.append(partial(by_length, count=count, shortest=order.min_tokens, longest=order.max_tokens))
        if reward:
            verify = running.enter_context(Scorer(reward)).verify
            filters.append(partial(verified, verify=verify, tick=partial(_tick, "verified")))
        if benches:
            filters.append(partial(apart_from, index=index_of(benches)))
        if order.one_per_problem:
            filters.append(one_per_problem)
        yield filters


def _sampler(drawing: Drawing, data: Data) -> tuple[Sampler, Callable[[str], str]]:
    """Who draws, and how a problem is put to them: as the recipe does, where there is one."""
    if drawing.url is not None:
        return EndpointSampler(drawing.url, drawing.model), partial(_filled, data.template)
    from rlsp_cli.backends.local.sampling import local_sampler

    return local_sampler(drawing.model, data)


def _filled(template: str, problem: str) -> str:
    return template.replace("{problem}", problem)


def _words(text: str) -> int:
    return len(text.split())


def _tick(what: str, done: int, total: int) -> None:
    print(f"{what} {done} of {total}", file=sys.stderr, flush=True)


def _card(
    order: Order,
    text: str,
    sources: Sequence[dict[str, Any]],
    benches: Sequence[Bench],
    reward: Reward | None,
    counts: Sequence[Count],
    rows: Sequence[Demonstration],
) -> Card:
    return Card(
        file=order.out.name,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        created=now(),
        version=__version__,
        command=order.command,
        sources=sources,
        sampling=asdict(order.drawing) if order.drawing else None,
        verifier={**reward.correctness.model_dump(mode="json"), "timeout_s": reward.timeout_s} if reward else None,
        length_unit=f"tokens of {order.tokenizer}" if order.tokenizer else "words",
        benches=[compared_bench(bench).to_json() for bench in benches],
        filters=counts,
        rows=rows,
    )


def _write(order: Order, text: str, card: Card) -> None:
    """The traces come last: where they are, the card is."""
    readable, facts = order.card
    write_text(readable, card.to_markdown())
    write_json(facts, {"schema": "rlsp.traces/1", "data": card.to_json()})
    write_text(order.out, text)
    shutil.rmtree(order.drafts, ignore_errors=True)
