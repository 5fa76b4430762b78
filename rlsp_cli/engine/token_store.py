"""Token sequences on disk: written one by one, and read through a memory map in any order."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_TOKEN = np.dtype(np.uint32)


class TokenStore:
    """Prompts and responses as token ids, in a folder.

    `tokens.bin` holds the ids of all sequences, one after another. `lengths.npy` has a row for each
    sequence: (tokens of the prompt, tokens of the response). `notes` is what was found on the way.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = json.loads((folder / "notes.json").read_text(encoding="utf-8"))

        lengths = np.load(folder / "lengths.npy")
        self.prompts, self.lengths = lengths[:, 0], lengths.sum(axis=1)
        self._ends = np.cumsum(self.lengths)
        self._tokens = np.memmap(folder / "tokens.bin", dtype=_TOKEN, mode="r")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> list[int]:
        """The ids of a prompt and its response."""
        end = int(self._ends[row])
        ids: list[int] = self._tokens[end - int(self.lengths[row]) : end].tolist()
        return ids


def write_tokens(
    folder: Path, sequences: Iterable[tuple[list[int], list[int]]], notes: list[str]
) -> None:
    """Write prompts and responses, and then `notes`, which may grow until all are written."""
    lengths = []
    with (folder / "tokens.bin").open("wb") as stream:
        for prompt, response in sequences:
            stream.write(np.array(prompt + response, dtype=_TOKEN).tobytes())
            lengths.append((len(prompt), len(response)))

        # The folder must not get its name before its content is on the disk.
        stream.flush()
        os.fsync(stream.fileno())

    np.save(folder / "lengths.npy", np.array(lengths, dtype=np.int64))
    (folder / "notes.json").write_text(json.dumps(notes), encoding="utf-8")
