"""Compare the rows of a query with those of the reference query."""

import re
import sqlite3
from collections import Counter

from rlsp_cli.rewards import Sample, Verdict, last_fenced, read_only_database, verifier

_MOST_ROWS = 100_000


@verifier
def sql_result(sample: Sample) -> Verdict:
    """The last fenced SQL block returns the same rows as the query in `reference`, in SQLite.

    Each runs on a new database in memory, made by the script `metadata["setup"]`, and may only
    read. The order of rows counts if the reference has an ORDER BY. A reference that returns more
    than 100,000 rows is an error.
    """
    query = last_fenced(sample.response, "sql", "sqlite")
    if query is None:
        return Verdict(False, None)

    query, gold = query.rstrip(";"), (sample.reference or "").strip().rstrip(";")
    wanted = _rows(sample.metadata["setup"], gold, _MOST_ROWS + 1)
    if len(wanted) > _MOST_ROWS:
        raise ValueError(f"the reference gives more than {_MOST_ROWS:,} rows")

    # One row more than wanted is wrong, however many follow: a join may return billions.
    try:
        found = _rows(sample.metadata["setup"], query, len(wanted) + 1)
    except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError):
        return Verdict(False, query)

    ordered = re.search(r"\border\s+by\b", gold, re.IGNORECASE)
    return Verdict(found == wanted if ordered else Counter(found) == Counter(wanted), query)


def _rows(setup: str, query: str, most: int) -> list[tuple[object, ...]]:
    with read_only_database(setup) as database:
        return database.execute(query).fetchmany(most)
