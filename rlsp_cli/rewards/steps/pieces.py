"""A response cut at the ends of its steps, with all that stands between them."""

from collections.abc import Sequence


def step_pieces(response: str, steps: Sequence[str]) -> list[str]:
    """A piece for each step: the text after the step before it, up to the step's own end.

    Joined they are the response as far as the last step. A step that is not there, since its text
    was changed, comes on a line of its own. No piece depends on the steps after it.
    """
    pieces: list[str] = []
    end = 0
    for step in steps:
        start = response.find(step, end)
        if start < 0:
            pieces.append(f"\n{step}" if pieces else step)
        else:
            pieces.append(response[end : start + len(step)])
            end = start + len(step)
    return pieces
