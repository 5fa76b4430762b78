"""The partial rewards of text-to-SQL: that the query compiles, what it reads, and its tokens."""

from collections.abc import Callable

import pytest

from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample

SETUP = "CREATE TABLE t (a INT, b TEXT); CREATE TABLE u (a INT, c INT);"


def sql(query: str, reference: str = "SELECT a FROM t") -> Sample:
    response = f"<think>\n```sql\nSELECT 1\n```\n</think>\n```sql\n{query}\n```"
    return Sample("", response, reference, metadata={"setup": SETUP})


def plugin(name: str) -> Callable[..., float]:
    return get_plugin("exploration_reward", name).function


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("SELECT a FROM t;", 1.0),
        ("WITH x AS (SELECT a FROM t) SELECT count(*) FROM x -- all", 1.0),
        ("SELECT a FROM t WHERE a > (SELECT max(c) FROM u)", 1.0),
        ("SELEC a FROM t", 0.0),
        ("SELECT a FROM t WHERE", 0.0),
        ("SELECT d FROM t", 0.0),
        ("SELECT a FROM v", 0.0),
        ("SELECT a FROM t, u", 0.0),  # of which table?
        ("SELECT a FROM t; SELECT b FROM t", 0.0),
        ("DROP TABLE t", 0.0),
        ("ATTACH DATABASE 'other.db' AS o", 0.0),
        ("SELECT '\0'", 0.0),
    ],
)
def test_sql_syntax_is_whether_sqlite_can_compile_the_query(query: str, value: float) -> None:
    assert plugin("sql_syntax")(sql(query)) == value


def test_sql_syntax_compiles_and_does_not_run() -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
    assert plugin("sql_syntax")(sql(endless)) == 1.0


@pytest.mark.parametrize(
    ("query", "reference", "value"),
    [
        ("SELECT x.A FROM T AS x", "SELECT a FROM t", 1.0),
        # t, a and b against t and a
        ("SELECT a, b FROM t", "SELECT a FROM t", 2 / 3),
        # t, u, a and c against t and b
        ("SELECT t.a FROM t JOIN u ON t.a = u.c", "SELECT b FROM t", 1 / 5),
        ("SELECT made_up FROM t", "SELECT a FROM t", 1 / 3),
        # what a subquery computes, an alias and a text are no columns
        ("WITH s AS (SELECT sum(a) AS n FROM t) SELECT n FROM s", "SELECT a FROM t", 1.0),
        ("SELECT sum(a) AS n FROM t ORDER BY n", "SELECT a FROM t", 1.0),
        ("SELECT a FROM t WHERE 'b' = 'c'", "SELECT a FROM t", 1.0),
        ("SELECT a FROM t WHERE", "SELECT a FROM t", 0.0),
        ("SELECT 1", "SELECT a FROM t", 0.0),
        ("(" * 5000, "SELECT a FROM t", 0.0),
    ],
)
def test_sql_schema_compares_the_tables_and_columns_that_are_read(
    query: str, reference: str, value: float
) -> None:
    assert plugin("sql_schema")(sql(query, reference)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("query", "n", "value"),
    [
        ("select  A\nfrom T;", 2, 1.0),
        # select a, a from, from t against select b, b from, from t
        ("SELECT b FROM t", 2, 1 / 5),
        ("SELECT b FROM t", 1, 3 / 5),
        # select a, a from, from t; t where, where a, a =, = 4
        ("SELECT a FROM t WHERE a = 4", 2, 3 / 7),
        ("SELECT 'a' FROM t", 2, 1 / 5),
        ("SELECT 'a", 2, 0.0),
        ("", 2, 0.0),
    ],
)
def test_sql_ngrams_compares_tokens(query: str, n: int, value: float) -> None:
    assert plugin("sql_ngrams")(sql(query), n=n) == pytest.approx(value)


@pytest.mark.parametrize("name", ["sql_syntax", "sql_schema", "sql_ngrams"])
def test_a_response_without_a_query_earns_nothing(name: str) -> None:
    response = Sample("", "SELECT a FROM t", "SELECT a FROM t", metadata={"setup": SETUP})
    assert plugin(name)(response) == 0.0


@pytest.mark.parametrize("name", ["sql_schema", "sql_ngrams"])
def test_a_reference_that_is_no_query_is_an_error(name: str) -> None:
    for query in ("SELECT a FROM t", ""):
        with pytest.raises(ValueError, match="the reference is no"):
            plugin(name)(sql(query, "'"))


def test_a_row_without_a_database_is_an_error_even_without_a_query() -> None:
    with pytest.raises(ValueError, match="no column 'setup', expected the script"):
        plugin("sql_syntax")(Sample("", "no query", "SELECT a FROM t"))
