"""Streams that one process writes and another reads, where either may be killed at any byte."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlsp_cli.errors import DataError
from rlsp_cli.runs.stream import Tail, append_rows, drop_rows_from, read_rows, write_lines

ROWS = [{"step": step, "text": "é" * step} for step in range(5)]


def steps(path: Path) -> list[int]:
    return [row["step"] for row in read_rows(path)]


def test_a_stream_cut_off_at_any_byte_is_read_and_written_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_rows(path, ROWS)
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        kept = list(range(whole[:size].count(b"\n")))
        assert steps(path) == [row["step"] for row in Tail(path).rows()] == kept
        append_rows(path, [{"step": 9}])
        assert steps(path) == [*kept, 9]


def test_dropping_rows_removes_a_half_written_line_and_leaves_the_rest_as_it_was(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metrics.jsonl"
    append_rows(path, ROWS)
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        drop_rows_from(path, 3)
        assert steps(path) == [step for step in range(whole[:size].count(b"\n")) if step < 3]
    assert path.read_bytes() == b"".join(whole.splitlines(keepends=True)[:3])


def test_rows_that_stay_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    path.write_bytes(b"no row\n" + b"".join(b'{"step": %d}\n' % n for n in (1, 2, 2, 3)))
    drop_rows_from(path, 2)
    assert path.read_bytes() == b'no row\n{"step": 1}\n'
    with pytest.raises(DataError, match=r"rollouts\.jsonl:1: damaged: not JSON: b'no row"):
        drop_rows_from(path, 1)
    assert path.read_bytes() == b'no row\n{"step": 1}\n'


def test_a_row_without_a_step_is_named_by_its_line(tmp_path: Path) -> None:
    append_rows(tmp_path / "metrics.jsonl", [{"step": 0}, {"loss": 1.0}, {"step": 2}])
    with pytest.raises(DataError, match=r"metrics\.jsonl:2: damaged: step: field required"):
        drop_rows_from(tmp_path / "metrics.jsonl", 0)


def test_a_kill_while_rows_are_dropped_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, read = tmp_path / "rollouts.jsonl", json.loads
    append_rows(path, ROWS)

    def killed(line: bytes) -> object:
        if b'"step": 3' in line:
            raise KeyboardInterrupt
        return read(line)

    monkeypatch.setattr(json, "loads", killed)
    with pytest.raises(KeyboardInterrupt):
        drop_rows_from(path, 4)
    monkeypatch.undo()
    assert list(read_rows(path)) == ROWS


def test_dropping_rows_holds_a_small_part_of_the_file_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    append_rows(path, [{"step": step, "response": "x" * 10_000} for step in range(500)])
    tracemalloc.start()
    drop_rows_from(path, 400)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < path.stat().st_size / 100
    assert steps(path) == list(range(400))


@pytest.mark.parametrize("seen", range(6))
@pytest.mark.parametrize("start", range(6))
@pytest.mark.parametrize("again", [1, 2, 10])
def test_a_tail_finds_its_way_in_a_file_that_was_written_anew_however_long_it_is(
    tmp_path: Path, seen: int, start: int, again: int
) -> None:
    """A resumed stage drops rows and writes new ones, of another length, before the next look."""
    path = tmp_path / "metrics.jsonl"
    append_rows(path, ROWS[:seen])
    tail = Tail(path)
    assert tail.rows() == ROWS[:seen]
    append_rows(path, ROWS[seen:])
    drop_rows_from(path, start)
    append_rows(path, [{"step": start + n, "text": "new" * again} for n in range(again)])
    got, kept = [row["step"] for row in tail.rows()], list(range(min(start, 5)))
    assert (
        got
        in (
            [*kept, *range(start, start + again)],  # from the beginning
            [
                *kept[seen:],
                *range(start, start + again),
            ],  # what it had read was kept: only what is new
        )
    )
    append_rows(path, [{"step": 99}])
    assert tail.rows() == [{"step": 99}]


def test_a_tail_starts_again_when_the_file_was_removed_and_is_short_of_a_whole_line(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metrics.jsonl"
    append_rows(path, ROWS)
    tail = Tail(path)
    tail.rows()
    path.unlink()
    assert tail.rows() == []
    path.write_bytes(b'{"step": 0')
    assert tail.rows() == [] == tail.rows()
    append_rows(path, [{"step": 0}, {"step": 1}])
    assert [row["step"] for row in tail.rows()] == [0, 1]


def test_a_document_whose_lines_fail_halfway_leaves_nothing(tmp_path: Path) -> None:
    def lines() -> Iterator[str]:
        yield "one\n"
        raise DataError("the second row is damaged")

    with pytest.raises(DataError, match="the second row"):
        write_lines(tmp_path / "rows.jsonl", lines())
    assert list(tmp_path.iterdir()) == []
