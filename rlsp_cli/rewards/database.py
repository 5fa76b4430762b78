"""A database in memory for queries that a model wrote."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

_ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
"""What SQLite may do for a query: nothing that writes, or attaches a file."""


@contextmanager
def read_only_database(setup: str) -> Iterator[sqlite3.Connection]:
    """A new SQLite database in memory that the script `setup` made and that may only be read."""
    database = sqlite3.connect(":memory:")
    try:
        database.executescript(setup)

        # After the setup, which has to write.
        database.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
        )
        yield database
    finally:
        database.close()
