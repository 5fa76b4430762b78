"""Behaviours of the responses of a run or a file: by model, bench and step, with excerpts."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlsp_cli.data import jsonl_rows
from rlsp_cli.errors import UsageError
from rlsp_cli.evals.behaviour import Excerpt, Facts, Row, behaviour, excerpts, facts
from rlsp_cli.report.table import Table, span
from rlsp_cli.rewards.lexicon import Lexicon
from rlsp_cli.rewards.plain import as_sample
from rlsp_cli.runs.run import Run, open_run
from rlsp_cli.runs.shapes import Said
from rlsp_cli.runs.stream import read_rows

CAVEAT = (
    "The counts are of words, not of thoughts. Longer responses, or more of these words, are no success by themselves: "
    "a model can write them without searching, and a reward that pays for them teaches it to. Growth that comes with "
    "more repetition, a higher compression ratio or fewer right answers is padding. Of 24 marks in the reasoning of "
    "other models 21 were right, 88% (69 to 96); docs/behaviour.md has it by behaviour, and how much is missed."
)
_STRETCHES = 8
_DECODING = {"greedy": "greedy", "sample": "sampled", "forced": "forced"}


@dataclass(frozen=True)
class Group:
    """Responses of one model to one bench, decoded in one way; `found` is what `evals.behaviour` says of them."""

    model: str
    bench: str
    decoding: str
    found: dict[str, Any]
    excerpts: list[Excerpt] = field(default_factory=list)


def read_responses(target: Path) -> Iterator[tuple[tuple[str, str, str], list[Row]]]:
    """Pairs ((model, bench, decoding), rows) of a run's evaluations, or of a file of responses."""
    if not target.is_dir():
        yield from _by_kind(target.stem, "-", _given(target))
        return
    for samples in _samples(open_run(target)):
        yield from _by_kind(samples.parent.parent.name, samples.parent.name, read_rows(samples, Said))


def behaviour_groups(target: Path, lexicon: Lexicon, shown: int = 3, most: int | None = None) -> list[Group]:
    """What is counted, with `shown` excerpts each; of groups with more than `most` responses a random part."""
    groups = []
    for key, rows in read_responses(target):
        part = random.Random(0).sample(rows, most) if most and len(rows) > most else rows
        found = behaviour([facts(row, lexicon) for row in part])
        groups.append(Group(*key, found, excerpts(part, lexicon, shown)))
    return groups


def behaviour_steps(target: Path, lexicon: Lexicon) -> list[dict[str, Any]]:
    """The same over rollout steps, in some equal stretches; empty without rollouts."""
    rows = read_rows(open_run(target).paths.stage("ppo").rollouts, Said) if target.is_dir() else _given(target)
    steps: dict[int, list[Facts]] = defaultdict(list)
    for row in rows:
        if row.get("step") is not None:
            steps[row["step"]].append(facts(row, lexicon))
    numbers = sorted(steps)
    size = max(1, -(-len(numbers) // _STRETCHES))
    stretches = [numbers[i : i + size] for i in range(0, len(numbers), size)]
    return [
        {"first": part[0], "last": part[-1], "found": behaviour([f for number in part for f in steps[number]])}
        for part in stretches
    ]


def group_table(groups: Sequence[Group]) -> Table:
    """A row for each group's responses, and for the right and the wrong ones apart."""
    columns, rows = ["model", "bench", "decoding"], []
    for group in groups:
        rows += [[group.model, group.bench, group.decoding, *_cells(part, group.found[part])] for part in group.found]
    names = [*columns, *_columns(groups[0].found)]
    return Table("Behaviours per response (share of responses with any)", names, rows, keys=4)


def step_table(steps: Sequence[dict[str, Any]]) -> Table:
    """A row for each stretch of steps, over all of its responses."""
    rows = [[span(s["first"], s["last"]), *_cells("all", s["found"]["all"])] for s in steps]
    return Table("Behaviours over rollout steps", ["steps", *_columns(steps[0]["found"])], rows, keys=2)


def _columns(found: dict[str, Any]) -> list[str]:
    names = [name.replace("_", " ") for name in found["all"]["behaviour"]]
    return ["of", "responses", "accuracy %", "tokens", "repetition", "compression", "answers", "any", *names]


def _cells(name: str, part: dict[str, Any]) -> list[str]:
    return [
        name,
        str(part["responses"]),
        "-" if part["accuracy"] is None else f"{100 * part['accuracy']:.1f}",
        "-" if part["tokens"] is None else f"{part['tokens']:.1f}",
        f"{part['repetition']:.3f}",
        f"{part['compression']:.2f}",
        f"{part['candidates']:.2f}",
        f"{100 * part['share_any']:.0f}%",
        *(f"{value:.2f} ({100 * part['share'][key]:.0f}%)" for key, value in part["behaviour"].items()),
    ]


def _samples(run: Run) -> list[Path]:
    """Every model's samples, in the order in which they were made."""
    return sorted(run.paths.stage("eval").root.glob("*/*/samples.jsonl"), key=lambda path: path.stat().st_mtime)


def _by_kind(model: str, bench: str, rows: Iterator[Row]) -> Iterator[tuple[tuple[str, str, str], list[Row]]]:
    kinds: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        kinds[_DECODING.get(str(row.get("kind")), "given")].append(row)
    yield from (((model, bench, kind), kinds[kind]) for kind in (*_DECODING.values(), "given") if kinds[kind])


def _given(file: Path) -> Iterator[Row]:
    if not file.is_file():
        raise UsageError(f"{file}: neither a run folder nor a file of responses")
    for row in jsonl_rows(file):
        as_sample(row.columns, row.place)  # its checks of the fields
        yield dict(row.columns)
