"""Reward a query that the database understands, whatever its rows are."""

import sqlite3

from rlsp_cli.rewards import Sample, exploration_reward, last_fenced, read_only_database


@exploration_reward
def sql_syntax(sample: Sample) -> float:
    """1 if SQLite can compile the last fenced SQL block, else 0.

    The query is compiled and not run, on a database in memory that the script `metadata["setup"]`
    makes. Every table and column has to exist, and a statement that writes earns 0. The syntax
    check of Reasoning-SQL (2503.23157); its form is ours.
    """
    setup = sample.metadata.get("setup")
    if setup is None:
        raise ValueError("no column 'setup', expected the script that makes the database")

    query = last_fenced(sample.response, "sql", "sqlite")
    if query is None:
        return 0.0

    with read_only_database(setup) as database:
        try:
            # EXPLAIN compiles the query and lists its program instead of running it.
            database.execute(f"EXPLAIN {query}")
        except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError):
            return 0.0
    return 1.0
