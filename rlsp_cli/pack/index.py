"""archive.json: what an archive holds, read before anything else of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

Role = Literal["run", "recipe", "plugin", "shipped", "installed", "file", "data", "lock"]
"""`plugin`: the user's code; `shipped`: that of rlsp; `installed`: that of another package."""
_NO_MORE = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Packed:
    """A file of an archive: its name there, and the path that the run's recipe has for it."""

    name: str
    role: Role
    content: bytes = field(repr=False)
    was: str | None = None

    @property
    def entry(self) -> "Entry":
        """Its line in the index."""
        return Entry(self.name, self.role, digest(self.content), len(self.content), self.was)


@checked(frozen=True, config=_NO_MORE)
class Entry:
    """A file as the index has it; `digest` is SHA-256, `size` in bytes."""

    name: str
    role: Role
    digest: str
    size: int
    was: str | None = None


@checked(frozen=True, config=_NO_MORE)
class BackendFact:
    """A backend as it was installed where the run was packed; None where it was not found."""

    name: str
    version: str | None
    lock: str | None


@checked(frozen=True, config=_NO_MORE)
class Index:
    """The document archive.json.

    `name` is the recipe's, and becomes a folder's. `model` is its `model.path`, and `fingerprint`
    that of its files, or its commit on the hub; None where there was none.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    rlsp: str
    model: str | None
    fingerprint: str | None
    backends: Sequence[BackendFact]
    files: Sequence[Entry]

    def to_json(self) -> dict[str, Any]:
        """The whole document."""
        return {"schema": "rlsp.archive/1", "data": asdict(self)}


_INDEX = TypeAdapter(Index)


def read_index(document: Any) -> Index:
    """An index from JSON; ValueError says what is wrong."""
    if not isinstance(document, dict) or document.get("schema") != "rlsp.archive/1":
        raise ValueError("expected an object of the schema rlsp.archive/1")
    try:
        return _INDEX.validate_python(document.get("data"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}") from error


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
