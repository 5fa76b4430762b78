"""The words of going back, from a file with one phrase a line."""

from pathlib import Path
from random import Random

from rlsp_cli.errors import DataError
from rlsp_cli.share import share

_STEP = "{step}"
"""Stands for the step to which a chain goes back."""


class Returns:
    """The phrases of a file; by default those that ship with rlsp.

    Lines that begin with # are comments. A phrase with `{step}` names the step to go back to, and is
    not used for the beginning. DataError if the file cannot be read or has no phrase without.
    """

    def __init__(self, file: str | None = None) -> None:
        path = Path(file) if file else share("plugins") / "searches" / "returns.txt"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise DataError(f"{path}: cannot read the words of going back: {reason}") from error

        kept = (line.strip() for line in lines)
        self.phrases = [line for line in kept if line and not line.startswith("#")]
        self._plain = [phrase for phrase in self.phrases if _STEP not in phrase]
        if not self._plain:
            raise DataError(f"{path}: no phrase without {_STEP}; add a line for the beginning")

    def words(self, random: Random, step: str) -> str:
        """A phrase for going back to a step, drawn at random; an empty one is the beginning."""
        return random.choice(self.phrases if step else self._plain).replace(_STEP, step)
