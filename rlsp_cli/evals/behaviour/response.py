"""Read the responses whose behaviours are counted: of a run, or of a file."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rlsp_cli.data import jsonl_rows
from rlsp_cli.errors import UsageError
from rlsp_cli.rewards.plain import as_sample
from rlsp_cli.runs.run import open_run
from rlsp_cli.runs.shapes import ResponseRow
from rlsp_cli.runs.stream import read_rows

_DECODING = {"greedy": "greedy", "sample": "sampled", "forced": "forced", "search": "searched"}
"""Kind of a row in samples.jsonl -> how it was decoded."""
_GIVEN = "given"


@dataclass(frozen=True)
class SavedResponse:
    """A response in a file; only its text is always known. `value` is the verifier's."""

    text: str
    id: str = ""
    decoding: str = _GIVEN
    step: int | None = None
    tokens: int | None = None
    value: float | None = None


class Origin(NamedTuple):
    """Where responses come from: one model on one bench, decoded in one way."""

    model: str
    bench: str
    decoding: str


def read_responses(target: Path) -> Iterator[tuple[Origin, list[SavedResponse]]]:
    """The responses of a run's evaluations, the oldest first, or of a file of responses."""
    if not target.is_dir():
        yield from _by_decoding(target.stem, "-", _read_file(target))
        return

    # By time, because that is the order of training: base, sft, ppo. Their names do not sort so.
    samples = open_run(target).paths.stage("eval").root.glob("*/*/samples.jsonl")
    for file in sorted(samples, key=lambda path: path.stat().st_mtime):
        model, bench = file.parent.parent.name, file.parent.name
        yield from _by_decoding(model, bench, map(_response, read_rows(file, ResponseRow)))


def read_rollouts(target: Path) -> Iterator[SavedResponse]:
    """The responses of a run's PPO rollouts, or those of a file that have a step."""
    if not target.is_dir():
        return (response for response in _read_file(target) if response.step is not None)
    return map(_response, read_rows(open_run(target).paths.stage("ppo").rollouts, ResponseRow))


def _by_decoding(
    model: str, bench: str, responses: Iterable[SavedResponse]
) -> Iterator[tuple[Origin, list[SavedResponse]]]:
    """The responses by how they were decoded, since greedy and sampled ones do not compare."""
    groups: dict[str, list[SavedResponse]] = defaultdict(list)
    for response in responses:
        groups[response.decoding].append(response)

    for decoding in (*_DECODING.values(), _GIVEN):
        if groups[decoding]:
            yield Origin(model, bench, decoding), groups[decoding]


def _read_file(file: Path) -> Iterator[SavedResponse]:
    if not file.is_file():
        raise UsageError(f"{file}: neither a run folder nor a file of responses")
    for row in jsonl_rows(file):
        # For its errors: it names the place and the field of a wrong value.
        as_sample(row.columns, row.place)
        yield _response(row.columns)


def _response(row: Mapping[str, Any]) -> SavedResponse:
    """The response in a row of samples.jsonl, rollouts.jsonl or a user's file."""
    # In a user's file `correctness` may be anything, such as a plain number.
    score = row.get("correctness")
    return SavedResponse(
        text=row["response"],
        id=str(row.get("id", "")),
        decoding=_DECODING.get(str(row.get("kind")), _GIVEN),
        step=row.get("step"),
        tokens=row.get("num_tokens"),
        value=score.get("value") if isinstance(score, dict) else None,
    )
