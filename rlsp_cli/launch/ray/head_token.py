"""The token of a head that we start: a variable of its processes, a file for other machines."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlsp_cli.errors import NotReadyError

_FILE = "ray_token"


def with_token(token: str) -> dict[str, str]:
    """Variables of Ray's processes that answer to this token alone."""
    # Ray asks this variable before RAY_AUTH_TOKEN_PATH and before ~/.ray/auth_token.
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


def given_token() -> dict[str, str]:
    """What makes Ray use the token that our environment names; nothing where it names none."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return {"RAY_AUTH_MODE": "token"} if named else {}


@contextmanager
def shared_token(token: str, stage: Path) -> Iterator[None]:
    """A file in the stage's folder that only its owner can read, for as long as the block runs."""
    path = stage / _FILE
    path.unlink(missing_ok=True)  # of a run that was killed

    # Created with its permissions, so that there is no moment in which others can read it. O_EXCL
    # refuses a file, or a link to one, that another user has put in its place.
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(token)

    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read_token(stage: Path) -> str:
    """The token that the head's machine has written; NotReadyError when there is none."""
    path = stage / _FILE
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise NotReadyError(
            f"{path}: {error.strerror}; the head writes it while it waits for machines, "
            "which must all see this folder"
        ) from error
