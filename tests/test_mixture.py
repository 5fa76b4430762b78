"""Several sources with weights: which rows an epoch has, in which order, and what is refused."""

import json
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends import stages_of
from rlsp_cli.backends.axolotl.files import AxolotlFiles
from rlsp_cli.backends.axolotl.setup import setup as axolotl_setup
from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.openrlhf.files import OpenRlhfFiles
from rlsp_cli.backends.openrlhf.setup import setup as openrlhf_setup
from rlsp_cli.data import Mixture, forget_rows, recipe_problems, recipe_traces
from rlsp_cli.data.mixture import _shares
from rlsp_cli.errors import DataError, RecipeError
from rlsp_cli.evals.overlap.training_set import from_recipe
from rlsp_cli.plan import make_plan
from rlsp_cli.preflight import inspect_recipe, read_recipe
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.manifest import manifest
from rlsp_cli.runs.paths import RunPaths
from rlsp_cli.runs.stream import append_rows


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    yield
    forget_rows()


def rows_file(folder: Path, name: str, count: int) -> str:
    path = folder / f"{name}.jsonl"
    rows = [
        {"problem": f"{name} {n}", "answer": str(n), "solution": f"It is {n}."}
        for n in range(count)
    ]
    append_rows(path, rows)
    return str(path)


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, str]:
    sizes = {"a": 100, "b": 30, "c": 10}
    return {name: rows_file(tmp_path, name, size) for name, size in sizes.items()}


def recipe(role: str, given: list[dict[str, Any]], seed: int = 0) -> Recipe:
    return resolve_recipe({"name": "x", "seed": seed, "data": {role: given}})


def names(found: Recipe) -> list[str]:
    """The source of each problem, in order."""
    return [problem.problem.split()[0] for problem in recipe_problems(found)]


@pytest.mark.parametrize(
    ("weights", "sizes", "expected"),
    [
        ((1, 1), (100, 30), [30, 30]),
        ((2, 1), (100, 30), [60, 30]),
        ((0.1, 0.2), (100, 100), [50, 100]),
        ((1, 0, 1), (3, 9, 5), [3, 0, 3]),
        # Thirds of 10 rows: 3 and 7 by largest remainders, never more than a source has.
        ((1, 2), (9, 7), [3, 7]),
        ((1, 1, 1), (4, 4, 3), [3, 3, 3]),
    ],
)
def test_weights_give_the_longest_mixture_without_a_row_twice(
    weights: tuple[float, ...], sizes: tuple[int, ...], expected: list[int]
) -> None:
    assert _shares([Fraction(str(weight)) for weight in weights], sizes) == expected


def test_an_epoch_has_the_shares_and_so_has_every_stretch_of_it(sources: dict[str, str]) -> None:
    found = names(
        recipe(
            "prompts",
            [{"source": sources["a"], "weight": 2}, {"source": sources["b"], "weight": 1}],
        )
    )
    assert Counter(found) == {"a": 60, "b": 30}
    for end in range(3, 90, 3):
        assert Counter(found[:end])["b"] == end // 3


def test_without_weights_every_row_is_used_once(sources: dict[str, str]) -> None:
    given = [{"source": source} for source in sources.values()]
    found = list(recipe_problems(recipe("prompts", given)))
    assert len({problem.problem for problem in found}) == len(found) == 140
    assert [problem.problem for problem in found if problem.problem[0] == "c"] == [
        f"c {n}" for n in range(10)
    ]


def test_the_rows_follow_from_the_seed_and_are_the_same_at_each_pass(
    sources: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [{"source": sources["a"], "weight": 1}, {"source": sources["c"], "weight": 1}]

    def texts(seed: int) -> list[str]:
        mixture = recipe_problems(recipe("prompts", given, seed))
        first = [problem.problem for problem in mixture]
        assert [problem.problem for problem in mixture] == first and len(mixture) == len(first)
        return first

    first = texts(0)
    assert texts(1) != first and Counter(texts(1))["c 3"] == 1

    # A resumed run is another process, and may read a large source from disk.
    forget_rows()
    monkeypatch.setattr("rlsp_cli.data.kept._MOST", 5)
    assert texts(0) == first


def test_ids_tell_the_sources_apart(sources: dict[str, str]) -> None:
    given = [{"source": sources["b"]}, {"source": sources["c"]}]
    ids = [problem.id for problem in recipe_problems(recipe("prompts", given))]
    assert {"0:5", "1:5"} <= set(ids) and len(set(ids)) == 40


def test_sources_have_columns_and_row_functions_of_their_own(
    tmp_path: Path, sources: dict[str, str]
) -> None:
    functions = tmp_path / "rows.py"
    functions.write_text(
        "from typing import Any\n"
        "from rlsp_cli.rewards import row_shape\n"
        "@row_shape\n"
        "def twice(row: dict[str, Any]) -> list[dict[str, Any]]:\n"
        '    """The row two times."""\n'
        "    return [row, row]\n",
        encoding="utf-8",
    )
    append_rows(tmp_path / "q.jsonl", [{"q": "Q", "a": "1"}])
    given: list[dict[str, Any]] = [
        {"source": sources["c"], "row": {"use": f"{functions}:twice"}},
        {"source": str(tmp_path / "q.jsonl"), "problem": "q", "answer": "a"},
    ]
    found = list(recipe_problems(recipe("prompts", given)))
    assert len(found) == 21 and {"0:3/1", "1:0"} <= {problem.id for problem in found}
    assert {problem.parent for problem in found if problem.id == "0:3/1"} == {"0:3"}


def test_traces_are_mixed_too_and_the_validation_rows_have_the_shares(
    sources: dict[str, str],
) -> None:
    given = [{"source": sources["a"], "weight": 1}, {"source": sources["b"], "weight": 1}]
    traces = list(recipe_traces(recipe("traces", given)))
    assert len(traces) == 60
    assert Counter(trace.prompt[0] for trace in traces[-10:]) == {"a": 5, "b": 5}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([{"weight": 0}, {"weight": 0}], r"data\.prompts: the weights are all 0"),
        ([{"weight": 1}, {}], r"data\.prompts: give each source a weight, or none"),
        ([{"weight": -1}, {"weight": 1}], r"data\.prompts\.0\.weight"),
    ],
)
def test_weights_that_make_no_mixture_are_refused(
    sources: dict[str, str], more: list[dict[str, Any]], words: str
) -> None:
    given = [{"source": sources[name], **keys} for name, keys in zip("ab", more, strict=True)]
    with pytest.raises(RecipeError, match=words):
        recipe("prompts", given)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            [{"weight": 1}, {"weight": 1, "rows": 50}],
            r"data\.prompts\.1: \S+b\.jsonl ends after 30 rows, expected 50 \(rows\); lower rows",
        ),
        (
            [{"weight": 1000}, {"weight": 1}],
            r"data\.prompts\.1: \S+b\.jsonl has no row in a mixture of 100 rows",
        ),
    ],
)
def test_a_source_that_ends_or_has_no_part_is_told(
    sources: dict[str, str], more: list[dict[str, Any]], words: str
) -> None:
    given = [{"source": sources[name], **keys} for name, keys in zip("ab", more, strict=True)]
    with pytest.raises(DataError, match=words):
        recipe_problems(recipe("prompts", given))


def test_a_source_that_shrinks_while_it_is_read_is_told(
    sources: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlsp_cli.data.kept._MOST", 5)
    mixture = recipe_problems(
        recipe("prompts", [{"source": sources["a"]}, {"source": sources["b"]}])
    )
    assert isinstance(mixture, Mixture)
    path = Path(sources["b"])
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
    with pytest.raises(DataError, match=r"b\.jsonl ended 10 rows before the mixture did"):
        list(mixture)


def quickstart(sources: dict[str, str], *more: str) -> tuple[Recipe, Path]:
    given = f"[{{source: {sources['a']}, weight: 2}}, {{source: {sources['b']}, weight: 1}}]"
    return read_recipe("quickstart", [f"data.prompts={given}", f"data.traces={given}", *more])


def test_check_says_what_the_mixture_leaves_out_and_plan_counts_it(
    sources: dict[str, str],
) -> None:
    found, path = quickstart(sources)
    notes = inspect_recipe(found, path, stages_of(found))
    said = [str(note) for note in notes]
    assert any("data.prompts: an epoch has 90 rows: 60 of 100 from" in text for text in said), said
    assert {count.rows for count in make_plan(found).counts if count.stage != "eval"} == {90}

    # The overlap with benches is looked for in all rows, whatever the mixture takes of them.
    assert len(from_recipe("prompts", found).rows) == 130
    data = [
        source["source"] for source in manifest(found, "x")["data"] if source["role"] == "prompts"
    ]
    assert data == [sources["a"], sources["b"]]


def test_a_broken_source_is_named_by_its_key(sources: dict[str, str]) -> None:
    append_rows(Path(sources["b"]), [{"question": "?"}])
    found, path = quickstart(sources)
    with pytest.raises(RecipeError, match=r"data\.prompts\.1: \S+b\.jsonl:31: no column 'problem'"):
        inspect_recipe(found, path, stages_of(found))


@pytest.mark.integration
def test_every_backend_trains_on_the_same_mixture(sources: dict[str, str], tmp_path: Path) -> None:
    found, _ = quickstart(sources, "eval=null", "sft.val_rows=30")
    run = RunPaths(tmp_path / "run")
    axolotl_setup(JobStep(found, run, {"model": None, "resume": None}))
    files = AxolotlFiles(run.stage("sft"))
    written = [*_lines(files.train), *_lines(files.val)]
    said = [row["segments"][0]["text"] for row in written]
    traces = list(recipe_traces(found))
    assert len(said) == 90 and len(_lines(files.val)) == 30
    for text, trace in zip(said, traces, strict=True):
        assert trace.prompt in text

    without, _ = quickstart(sources, "eval=null", "sft=null")
    openrlhf_setup(JobStep(without, run, {"model": None, "resume": None}))
    labels = [json.loads(row["label"]) for row in _lines(OpenRlhfFiles(run.stage("ppo")).prompts)]
    assert [label["id"] for label in labels] == [row.id for row in recipe_problems(found)]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
