"""`row:` of a recipe's data: what a row function makes of a row, and what is said when it makes nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends import stages_of
from rlsp_cli.data import Streamed, prompt_rows, trace_rows
from rlsp_cli.engine.examples import tokenised
from rlsp_cli.errors import DataError, RecipeError
from rlsp_cli.evals.benches import Benches
from rlsp_cli.plan import make_plan
from rlsp_cli.preflight import inspect_recipe, read_recipe
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.rows import Prompts, Traces
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.manifest import manifest
from rlsp_cli.runs.stream import append_rows
from tests.byte_model import byte_tokenizer

FUNCTIONS = '''
from typing import Any
from rlsp_cli.rewards import row_shape

@row_shape
def hinted(row: dict[str, Any], *, hint: str = "Think.") -> dict[str, Any]:
    """A hint before the problem."""
    return {**row, "problem": f"{hint} {row['problem']}"}

@row_shape
def renamed(row: dict[str, Any]) -> dict[str, Any]:
    """Another form, without an id."""
    return {"problem": row["problem"], "answer": row["answer"]}

@row_shape
def each_way(row: dict[str, Any], *, ways: tuple[str, ...] = ("a", "b")) -> list[dict[str, Any]]:
    """A row for each way."""
    return [{**row, "problem": f"{way}: {row['problem']}"} for way in ways]

@row_shape
def some(row: dict[str, Any], *, nothing: str = "none") -> dict[str, Any] | list[dict[str, Any]]:
    """Nothing for problem 2."""
    made: Any = {"none": None, "empty": [], "text": "x", "holes": [{}], "raises": 0}[nothing]
    if row["problem"] == "2":
        return 1 / made if made == 0 else made
    return row
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.py"
    path.write_text(FUNCTIONS, encoding="utf-8")
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three rows, the second without an id."""
    path = tmp_path / "p.jsonl"
    ids: list[Mapping[str, Any]] = [{"id": "x"}, {}, {"id": "z"}]
    append_rows(
        path,
        [
            {**id, "problem": str(n), "answer": str(n), "solution": f"It is {n}."}
            for n, id in enumerate(ids, 1)
        ],
    )
    return path


def row(file: Path, function: str, **options: Any) -> dict[str, Any]:
    return {"use": f"{file}:{function}", **options}


def problems(source: Path, row: Mapping[str, Any], **keys: Any) -> list[tuple[str, str, str]]:
    found = prompt_rows(Prompts.model_validate({"source": str(source), "row": row, **keys}))
    return [(one.id, one.parent, one.problem) for one in found]


def test_one_row_keeps_its_id_and_its_options_are_the_recipes(file: Path, source: Path) -> None:
    assert problems(source, row(file, "hinted", hint="Hm.")) == [
        ("x", "", "Hm. 1"),
        ("1", "", "Hm. 2"),
        ("z", "", "Hm. 3"),
    ]
    assert [id for id, _, _ in problems(source, row(file, "renamed"))] == ["x", "1", "z"]


def test_the_rows_of_a_list_have_their_parents_id_and_a_number(file: Path, source: Path) -> None:
    assert problems(source, row(file, "each_way")) == [
        ("x/0", "x", "a: 1"),
        ("x/1", "x", "b: 1"),
        ("1/0", "1", "a: 2"),
        ("1/1", "1", "b: 2"),
        ("z/0", "z", "a: 3"),
        ("z/1", "z", "b: 3"),
    ]
    # `rows` counts those of the source.
    assert len(problems(source, row(file, "each_way", ways=["a", "b", "c"]), rows=2)) == 6


def test_a_problem_is_asked_once_for_each_strategy(source: Path) -> None:
    asked = Prompts.model_validate(
        {"source": str(source), "row": {"use": "each_strategy", "strategies": ["Guess.", "Try."]}}
    )
    made = [(one.id, one.problem, one.metadata["strategy"]) for one in prompt_rows(asked)]
    assert made[:3] == [
        ("x/0", "1\n\nGuess.", "Guess."),
        ("x/1", "1\n\nTry.", "Try."),
        ("1/0", "2\n\nGuess.", "Guess."),
    ]
    with pytest.raises(DataError, match="no column 'question'; its columns: id, problem"):
        problems(source, {"use": "each_strategy", "problem": "question"})


@pytest.mark.parametrize(
    ("nothing", "words"),
    [
        ("none", r"p\.jsonl:2: \S+:some returned nothing \(None\) .* take the row out"),
        ("empty", r"p\.jsonl:2: \S+:some returned nothing \(\[\]\) for this row; let it return"),
        ("text", r"p\.jsonl:2: \S+:some returned 'x' for this row; expected a dict with columns"),
        ("holes", r"p\.jsonl:2: \S+:some returned \{\} for this row; expected a dict"),
        ("raises", r"p\.jsonl:2: \S+:some makes no row of this row: ZeroDivisionError: .*columns"),
    ],
)
def test_a_function_that_makes_nothing_of_a_row_says_which(
    file: Path, source: Path, nothing: str, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        problems(source, row(file, "some", nothing=nothing))


def test_traces_pass_the_function_too_and_large_sources_stay_on_disk(
    file: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlsp_cli.data.kept._MOST", 4)
    use = row(file, "each_way")
    traces = trace_rows(Traces.model_validate({"source": str(source), "row": use}))
    assert isinstance(traces, Streamed) and len(traces) == 6
    assert [(trace.prompt, trace.response) for trace in traces][:3] == [
        ("a: 1", "It is 1."),
        ("b: 1", "It is 1."),
        ("a: 2", "It is 2."),
    ]


def test_tokens_are_made_anew_when_options_or_code_change_what_is_learned(
    file: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLSP_CACHE_DIR", str(tmp_path / "cache"))
    other = tmp_path / "other.py"
    other.write_text(FUNCTIONS.replace("{hint} {row", "{hint}! {row"), encoding="utf-8")

    def folder(row: dict[str, Any]) -> Path:
        traces = trace_rows(Traces.model_validate({"source": str(source), "row": row}))
        return tokenised(traces, Data(), byte_tokenizer()).folder

    first = folder(row(file, "hinted"))
    assert folder(row(file, "hinted", hint="Think.")) == first
    assert len({first, folder(row(file, "hinted", hint="Hm.")), folder(row(other, "hinted"))}) == 3


def recipe(*overrides: str) -> tuple[Recipe, Path]:
    return read_recipe("quickstart", overrides)


@pytest.mark.integration
def test_a_recipe_fills_in_options_and_keeps_the_functions_digest(file: Path) -> None:
    use = f"{{use: '{file}:each_way'}}"
    found, path = recipe(f"data.prompts.row={use}", f"data.heldout.row={use}")
    (source,) = found.data.prompt_sources
    assert source.row and source.row.options == {"ways": ["a", "b"]}
    inspect_recipe(found, path, stages_of(found))

    kept = [plugin for plugin in manifest(found, "x")["plugins"] if plugin["kind"] == "row_shape"]
    assert [plugin["name"] for plugin in kept] == [f"{file}:each_way"] and kept[0]["digest"]

    plain, _ = recipe()
    rows = {count.stage: count.rows for count in make_plan(found).counts}
    twice = {count.stage: count.rows for count in make_plan(plain).counts}
    assert rows["ppo"] == 2 * (twice["ppo"] or 0) and rows["sft"] == twice["sft"]

    bench = Benches.of(found).load("heldout")
    assert {problem.parent for problem in bench.problems} > {"test-0", "test-1"}


def test_a_wrong_name_or_option_is_an_issue_with_its_place(file: Path) -> None:
    with pytest.raises(RecipeError, match=r"unknown row shape 'finalnumber' - did you mean"):
        recipe("data.prompts.row={use: finalnumber}")
    with pytest.raises(RecipeError, match=r"way.*ways"):
        recipe(f"data.prompts.row={{use: '{file}:each_way', way: [a]}}")


def test_a_row_that_becomes_nothing_is_found_by_the_check(file: Path, source: Path) -> None:
    use = f"{{source: {source}, row: {{use: '{file}:some'}}}}"
    found, path = recipe(f"data.prompts={use}")
    with pytest.raises(RecipeError, match=r"data\.prompts: .*p\.jsonl:2: .*returned nothing"):
        inspect_recipe(found, path, stages_of(found))


def test_a_bench_may_make_several_problems_of_a_row(file: Path, tmp_path: Path) -> None:
    rows = tmp_path / "sums.jsonl"
    append_rows(rows, [{"id": "s", "problem": "1+1", "solution": "2"}])
    bench = tmp_path / "sums.yaml"
    bench.write_text(
        f"""\
name: sums
description: Sums.
problems: 2
source: {rows}
row: {{use: '{file}:each_way'}}
columns: {{answer: solution}}
prompt: {{origin: ours}}
verifier: {{use: exact_match}}
sampling: {{samples: 1}}
""",
        encoding="utf-8",
    )
    found = Benches(Eval(benches=(str(bench),))).load(str(bench))
    assert [(one.id, one.parent) for one in found.problems] == [("s/0", "s"), ("s/1", "s")]
