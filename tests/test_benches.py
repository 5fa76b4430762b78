"""Benches as files: every shipped one reads, golds verify, and what is not the bench is told."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import Problem
from rlsp_cli.errors import DataError, NotReadyError, RecipeError
from rlsp_cli.evals.benches import Bench, Benches, check_benches, find_bench, shipped_benches
from rlsp_cli.evals.benches.bench import content_digest
from rlsp_cli.evals.benches.bench_file import completed
from rlsp_cli.evals.scorer_benches import shipped_scorer_benches
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import get_plugin, resolve_options
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.runs.stream import read_rows
from tests.conftest import ROOT, rlsp
from tests.optional import present

TASKS = ("countdown", "cryptarithm", "knights_knaves", "mini_sudoku")
MINE = """\
name: sums
description: Two sums.
problems: 2
source: ./sums.jsonl
columns: {problem: sum, answer: total}
prompt: {template: "What is {problem}?", origin: mine}
verifier: {use: exact_match}
sampling: {samples: 3, temperature: 0.5, top_p: 0.9, max_new_tokens: 16, origin: mine}
"""
SUMS = '{"id": "a", "sum": "1+1", "total": 2}\n{"id": "b", "sum": "2+2", "total": 4}\n'
RAW: dict[str, list[dict[str, Any]]] = {
    "gsm8k": [{"question": "How many?", "answer": "20 * 60 = 1200\n#### 1,200"}],
    "olympiadbench": [
        {"id": 1, "question": "Roots?", "final_answer": ["$-1$", "3"]},
        {"id": 2, "question": "Sum?", "final_answer": "['7']"},
    ],
    "gpqa_diamond": [
        {"Record ID": "r", "Question": "Q?", "Correct Answer": "right\n"}
        | {f"Incorrect Answer {n}": f"wrong {n}" for n in (1, 2, 3)}
    ],
    "mmlu_pro": [
        {
            "question_id": 70,
            "question": "Q?",
            "options": ["C", "B", "A"],
            "answer": "C",
            "answer_index": 2,
        }
    ],
    "humaneval": [
        {
            "task_id": "HumanEval/0",
            "prompt": "from typing import List\n\n\ndef double(n: int) -> List[int]:\n",
            "canonical_solution": "    return [n, n]\n",
            "test": "def check(candidate):\n    assert candidate(2) == [2, 2]\n",
            "entry_point": "double",
        }
    ],
    "mbpp": [
        {
            "task_id": 11,
            "text": "Write a function to add.",
            "code": "def add(a, b):\n    return a + b",
            "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == ZERO"],
            "test_setup_code": "ZERO = 0",
        }
    ],
}
"""Rows in the shape of the hub's data sets, made up."""


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load(
    name: str, data: Path | None = None, recipe_data: Data | None = None, **settings: Any
) -> Bench:
    return Benches(Eval(data=str(data) if data else None, **settings), recipe_data or Data()).load(
        name
    )


def values(bench: Bench, responses: list[str]) -> list[float | None]:
    """What the bench's verifier gives a response to each problem, in its own processes."""
    problems = zip(bench.problems, responses, strict=True)
    samples = [Sample(p.problem, r, p.answer, p.id, p.metadata) for p, r in problems]
    assert bench.verifier is not None
    with Scorer(Reward(correctness=bench.verifier)) as scorer:
        return [score.value for score in scorer.verify(samples)]


def gold(problem: Problem) -> str:
    return str(problem.metadata.get("gold", f"\\boxed{{{problem.answer}}}"))


@pytest.mark.parametrize("name", shipped_benches())
def test_every_shipped_file_says_what_it_is_and_names_plugins_that_exist(name: str) -> None:
    file = find_bench(name)
    assert file.name == name and file.prompt.origin and file.sampling.origin
    assert file.revision or not file.source.startswith("hf:"), "a hub data set without a commit"
    assert file.sha256 or not file.source.startswith("task:"), (
        "a task's problems can be counted here"
    )
    recipe = resolve_recipe(
        {"name": "r", "model": {"path": "m"}, "eval": {"benches": [name]}}, plugins=resolve_options
    )
    assert [*check_benches(recipe)] == []
    assert completed(file).verifier.options.keys() >= file.verifier.options.keys()


@pytest.mark.integration
@pytest.mark.parametrize(("name", "count"), [("aime24", 30), ("math500", 500)])
def test_the_data_that_goes_around_is_the_benchs_and_all_its_references_verify(
    name: str, count: int, shared_data: Path, tmp_path: Path
) -> None:
    bench = load(name, shared_data)
    assert len(bench.problems) == count and bench.changed is False
    rlsp(
        "eval",
        "--bench",
        name,
        "--gold",
        "--data",
        shared_data,
        "--out",
        tmp_path / "run",
        cwd=tmp_path,
    )
    results = json.loads((tmp_path / "run" / "eval" / "results.json").read_text())["data"]["models"]
    greedy = results["responses"]["benches"][name]["greedy"]
    assert greedy["accuracy"]["value"] == 1.0 and greedy["unscored"] == {}


@pytest.mark.integration
@pytest.mark.parametrize("name", TASKS)
def test_benches_of_tasks_are_made_offline_are_always_the_same_and_their_golds_verify(
    name: str,
) -> None:
    bench = load(name, limit=20)
    assert bench.changed is False and bench.source == "task:reasoning_gym"
    assert set(values(bench, [gold(problem) for problem in bench.problems])) == {1.0}
    assert set(values(bench, ["\\boxed{nothing}"] * 20)) == {0.0}


@pytest.mark.integration
@pytest.mark.parametrize("name", RAW)
def test_rows_as_the_hub_has_them_become_problems_whose_golds_verify(
    name: str, tmp_path: Path
) -> None:
    bench = load(name, lines(tmp_path / f"{name}.jsonl", RAW[name]))
    assert bench.changed is True and len(bench.problems) == len(RAW[name])
    assert values(bench, [gold(problem) for problem in bench.problems]) == [1.0] * len(RAW[name])
    assert values(bench, ["I give up: \\boxed{Z}"] * len(RAW[name])) == [0.0] * len(RAW[name])


def test_shapes_make_of_a_row_what_they_say(tmp_path: Path) -> None:
    made = {
        name: load(name, lines(tmp_path / f"{name}.jsonl", rows)).problems
        for name, rows in RAW.items()
    }
    assert made["gsm8k"][0].answer == "1200"
    assert [(p.id, p.answer) for p in made["olympiadbench"]] == [("1", "-1, 3"), ("2", "7")]
    assert (
        made["mmlu_pro"][0].problem == "Q?\n\nA. C\nB. B\nC. A"
        and made["mmlu_pro"][0].answer == "C"
    )
    (question,) = made["gpqa_diamond"]
    assert f"{question.answer}. right" in question.problem and question.id == "r"
    assert json.loads(present(made["mbpp"][0].answer))[1] == "ZERO = 0\nassert add(0, 0) == ZERO"


def test_shuffled_choices_depend_on_the_question_alone(tmp_path: Path) -> None:
    (row,) = RAW["gpqa_diamond"]
    rows = [{**row, "Record ID": str(n), "Question": f"Question {n}?"} for n in range(40)]
    problems = load("gpqa_diamond", lines(tmp_path / "one.jsonl", rows)).problems
    turned = load("gpqa_diamond", lines(tmp_path / "two.jsonl", rows[::-1])).problems
    assert {p.answer for p in problems} == set("ABCD")
    assert {p.problem for p in problems} == {p.problem for p in turned}


def test_of_choices_with_one_text_the_key_is_right_and_after_a_shuffle_each() -> None:
    row = {"question": "Q?", "options": ["5 m", "7 m", "5 m", "9 m"], "answer": "C"}
    shape = get_plugin("row_shape", "choices").function
    assert shape(dict(row))["answer"] == "C"

    shuffled = shape(dict(row), seed=0)
    twins = [line[0] for line in shuffled["problem"].splitlines() if line.endswith(" 5 m")]
    assert len(twins) == 2 and shuffled["answer"] == " or ".join(twins)

    verifier = get_plugin("verifier", "multiple_choice").function
    verdicts = [
        verifier(Sample("", rf"\boxed{{{letter}}}", shuffled["answer"])).correct
        for letter in "ABCD"
    ]
    assert verdicts == [letter in twins for letter in "ABCD"]


def test_a_row_that_no_shape_fits_is_told_with_its_columns(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"x.jsonl:1: final_number makes no row .* columns: question, answer"
    ):
        load("gsm8k", lines(tmp_path / "x.jsonl", [{"question": "Q", "answer": "no mark"}]))


def test_rows_that_have_problem_and_answer_already_are_left_as_they_are(tmp_path: Path) -> None:
    bench = load(
        "gsm8k", lines(tmp_path / "x.jsonl", [{"id": "a", "problem": "Q", "answer": "42"}])
    )
    assert [(p.id, p.problem, p.answer) for p in bench.problems] == [("a", "Q", "42")]


@pytest.mark.parametrize("keys", [("Problem", "Answer", "ID"), ("question", "answer", "unique_id")])
def test_usual_spellings_of_columns_are_read(keys: tuple[str, str, str], tmp_path: Path) -> None:
    bench = load(
        "aime24", lines(tmp_path / "x.jsonl", [dict(zip(keys, ("Q", 7, "I-1"), strict=True))])
    )
    assert [(p.id, p.problem, p.answer) for p in bench.problems] == [("I-1", "Q", "7")]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "sums.jsonl").write_text(SUMS)
    (tmp_path / "mine.yaml").write_text(MINE)
    return tmp_path / "mine.yaml"


def test_a_users_file_brings_its_data_prompt_verifier_and_protocol(mine: Path) -> None:
    bench = load(str(mine))
    assert bench.name == "sums" and [p.answer for p in bench.problems] == ["2", "4"]
    assert bench.ask(bench.problems[0].problem) == "What is 1+1?" and bench.prompt_from == "bench"
    assert bench.verifier is not None and bench.verifier.use == "exact_match"
    assert (bench.sampling.samples, bench.sampling.temperature) == (3, 0.5)
    said = load(str(mine), recipe_data=Data(template="Sum: {problem}"), samples=1, temperature=0.1)
    assert said.ask("x") == "Sum: x" and said.prompt_from == "recipe"
    assert (said.sampling.samples, said.sampling.temperature, said.sampling.top_p) == (1, 0.1, 0.9)


def test_columns_of_a_benchs_own_source_are_taken_by_their_word(mine: Path, tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text(SUMS.replace("total", "answer"))
    with pytest.raises(DataError, match=r"sums.jsonl:1: no column 'total'"):
        load(str(mine))


@pytest.mark.integration
def test_the_score_card_of_a_users_bench_says_what_was_asked_and_who_judged(
    mine: Path, tmp_path: Path
) -> None:
    rows = [{"id": "a", "response": "\\boxed{2}"}, {"id": "b", "response": "\\boxed{04}"}]
    lines(tmp_path / "r.jsonl", rows)
    rlsp("eval", "--bench", "./mine.yaml", "--responses", "r.jsonl", "--out", "run", cwd=tmp_path)
    data = json.loads((tmp_path / "run" / "eval" / "results.json").read_text())["data"]
    assert "else the last <answer> tags" in data["benches"]["sums"]["answer_rule"]
    bench = data["models"]["responses"]["benches"]["sums"]
    assert bench["greedy"]["accuracy"]["value"] == 0.5, "letter by letter, as the file says"
    card = bench["protocol"]
    assert card["verifier"]["use"] == "exact_match" and card["prompt_from"] == "responses"
    assert (
        card["samples"] == 0
        and card["first_prompt"] is None
        and card["bench_changed"] is None
        and card["revision"] is None
    )


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "columns:",
            "colums:",
            r'mine.yaml:5:1: unknown key "colums" in the bench file - did you mean "columns"?',
        ),
        (
            "answer: total",
            "anser: total",
            r'mine.yaml:5:25: unknown key "anser" in columns - did you mean "answer"?',
        ),
        ("use: exact_match", "uses: exact_match", '"use" is missing in verifier'),
        ("What is {problem}?", "What?", "the template must hold {problem}"),
        ("name: sums", "name: heldout", "the name heldout is taken"),
        ("source: ./sums.jsonl", "source: hf:me/sums@main", "names its commit by the key revision"),
        ("problems: 2", "problems: 2\nrevision: " + "a" * 40, "only a source on the hub"),
        ("samples: 3", "samples: -3", "greater than or equal to 0"),
        (MINE, "- a list", "expected a mapping of keys to values"),
    ],
)
def test_a_wrong_bench_file_is_told_with_its_place(
    mine: Path, old: str, new: str, words: str
) -> None:
    mine.write_text(MINE.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        find_bench(str(mine))
    assert words in str(caught.value) and "mine.yaml:" in str(caught.value)


def recipe_of(*benches: str, data: Path | None = None) -> Recipe:
    settings = {"benches": list(benches), **({"data": str(data)} if data else {})}
    return resolve_recipe(
        {"name": "r", "model": {"path": "m"}, "eval": settings}, plugins=resolve_options
    )


@pytest.mark.integration
def test_check_tells_unknown_benches_and_wrong_plugins_with_their_place(
    mine: Path, tmp_path: Path
) -> None:
    mine.write_text(MINE.replace("exact_match", "exact_mach"))
    recipe = "name: r\nmodel: {path: m}\neval:\n  benches:\n  - math50\n  - ./mine.yaml\n"
    (tmp_path / "r.yaml").write_text(recipe)
    done = rlsp("check", "r.yaml", cwd=tmp_path, check=False)
    assert done.returncode == 3
    first, second = done.stderr.splitlines()
    assert first == "r.yaml:5:5: unknown bench 'math50' - did you mean \"math500\"?"
    assert second.startswith("r.yaml:6:5: ") and 'did you mean "exact_match"?' in second
    done = rlsp("eval", "m", "--bench", "aime24,math50", cwd=tmp_path, check=False)
    assert done.returncode == 3 and 'did you mean "math500"?' in done.stderr
    (tmp_path / "rows.jsonl").write_text(SUMS)
    done = rlsp("benches", "show", "./rows.jsonl", cwd=tmp_path, check=False)
    assert (
        done.returncode == 3
        and "rows.jsonl: a bench is a YAML file, or one of aime24, " in done.stderr
    )


def test_benches_of_one_name_and_a_file_for_two_benches_are_refused(
    mine: Path, tmp_path: Path
) -> None:
    (tmp_path / "twin.yaml").write_text(MINE)
    (twice,) = check_benches(recipe_of(str(mine), str(tmp_path / "twin.yaml")))
    assert "two benches are called 'sums'" in str(twice)
    (shared,) = check_benches(recipe_of("aime24", "math500", data=tmp_path / "sums.jsonl"))
    assert "cannot hold the problems of aime24 and math500" in str(shared)


def test_data_that_is_not_the_benchs_is_refused_from_its_source_and_said_of_a_given_file(
    mine: Path, tmp_path: Path
) -> None:
    mine.write_text(f"{MINE}sha256: {content_digest(load(str(mine)).problems)}\n")
    assert load(str(mine)).changed is False
    assert load(str(mine), limit=1).changed is False
    other = tmp_path / "other.jsonl"
    other.write_text("".join(SUMS.replace('"a"', "60").splitlines(keepends=True)[::-1]))
    assert load(str(mine), other).changed is False, "ids and order are nobody's content"
    other.write_text(SUMS.replace("2+2", "1+3"))
    assert load(str(mine), other).changed is True
    (tmp_path / "sums.jsonl").write_text(SUMS.replace("2+2", "1+3"))
    with pytest.raises(
        DataError, match=r"bench sums: .*sums.jsonl is not what the bench's file says: 2 problems"
    ):
        load(str(mine))

    mine.write_text(MINE.replace("problems: 2", "problems: 3"))
    with pytest.raises(DataError, match="2 problems, expected 3;"):
        load(str(mine))


@pytest.mark.integration
def test_changed_data_is_noted_in_results_and_report(shared_data: Path, tmp_path: Path) -> None:
    rows = [{**row, "answer": "0"} for row in read_rows(shared_data / "aime24.jsonl")]
    lines(tmp_path / "aime24.jsonl", rows)
    done = rlsp(
        "eval",
        "--bench",
        "aime24",
        "--data",
        "aime24.jsonl",
        "--gold",
        "--out",
        "run",
        "--json",
        cwd=tmp_path,
    )
    report = json.loads(done.stdout)["data"]
    card = report["evaluation"]["models"]["responses"]["benches"]["aime24"]["protocol"]
    assert card["bench_changed"] is True
    assert any("holds other problems than the bench" in note for note in report["notes"])
    assert "does not hold the problems of this bench" in done.stderr


def test_missing_data_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLSP_DATA_DIR", str(tmp_path))
    with pytest.raises(
        NotReadyError, match=r"bench gsm8k: .*--data FILE, or a folder with gsm8k.jsonl"
    ):
        load("gsm8k")
    with pytest.raises(NotReadyError, match=r"gsm8k.jsonl does not exist"):
        load("gsm8k", tmp_path)
    (tmp_path / "gsm8k.csv").write_text("question,answer\nHow many?,#### 3\n")
    assert load("gsm8k").problems[0].answer == "3"


@pytest.mark.integration
def test_benches_are_listed_and_shown(mine: Path, shared_data: Path, tmp_path: Path) -> None:
    listed = json.loads(rlsp("benches", "list", "--data", shared_data, "--json").stdout)["data"]
    where = {row["name"]: row["where"] for row in listed}
    assert where.keys() == {*shipped_benches(), *shipped_scorer_benches()}
    assert where["processbench"].startswith("none: ")
    assert {row.get("kind") for row in listed} == {None, "scorer"}
    assert (
        where["aime24"] == str(shared_data / "aime24.jsonl")
        and where["countdown"] == "task:reasoning_gym"
    )
    assert where["gsm8k"].startswith("none: ") and "gsm8k.jsonl" in where["gsm8k"]
    seen = json.loads(rlsp("benches", "show", "./mine.yaml", "--json", cwd=tmp_path).stdout)["data"]
    assert (
        seen["first_prompt"] == "What is 1+1?"
        and seen["changed"] is None
        and seen["prompt"]["origin"] == "mine"
    )
    text = rlsp("benches", "show", "aime24", "--data", shared_data).stdout
    assert "as the file says" in text and "put your final answer within \\boxed{}." in text
    assert rlsp("benches", "show", "aime42", check=False).returncode == 3


def test_the_docs_list_every_bench_and_their_example_is_one(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "benches.md").read_text()
    for name, count in ((name, find_bench(name).problems) for name in shipped_benches()):
        assert re.search(rf"^\|.*`{name}`.*\| {count}( each)? \|", page, re.MULTILINE), name
    own = (ROOT / "docs" / "own_bench.md").read_text()
    block = present(re.search(r"```yaml.*?\n(.*?)```", own, re.DOTALL))
    (tmp_path / "sums.yaml").write_text(block[1])
    (tmp_path / "sums.jsonl").write_text(SUMS)
    assert load(str(tmp_path / "sums.yaml")).ask("1+1").endswith("within \\boxed{}.")


IFEVAL = {
    "key": 1,
    "prompt": "Write.",
    "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
    "kwargs": [{"num_words": None}, {"num_words": 4, "relation": "at least"}],
}


@pytest.mark.integration
def test_ifeval_wants_all_instructions_kept_and_leaves_no_prompt_out(tmp_path: Path) -> None:
    german = {
        **IFEVAL,
        "key": 2,
        "instruction_id_list": ["language:response_language"],
        "kwargs": [{"language": "de"}],
    }
    rows = [IFEVAL, IFEVAL | {"key": 3}, IFEVAL | {"key": 4}, german, german | {"key": 5}]
    bench = load("ifeval", lines(tmp_path / "x.jsonl", rows))
    said = ["one two three four", "one, two three four", "<think>a b c d</think>one two"]
    said += [
        "Heute ist das Wetter schön, und wir gehen spazieren.",
        "The weather is fine today, so we go for a walk.",
    ]
    assert values(bench, said) == [1.0, 0.0, 0.0, 1.0, 0.0]


@pytest.mark.integration
def test_ifevals_four_numbers_are_in_the_results_and_in_the_report(tmp_path: Path) -> None:
    """Two prompts, two instructions each. The loose rule forgives a first line, so that the second one has no comma."""
    data = lines(tmp_path / "x.jsonl", [IFEVAL, IFEVAL | {"key": 2}])
    said = [
        {"id": "1", "response": "one two three four"},
        {"id": "2", "response": "Sure, here:\none two three"},
    ]
    responses, out = lines(tmp_path / "r.jsonl", said), tmp_path / "run"
    shown = rlsp(
        "eval",
        "--bench",
        "ifeval",
        "--responses",
        responses,
        "--data",
        data,
        "--out",
        out,
        cwd=tmp_path,
    )
    greedy = json.loads((out / "eval" / "results.json").read_text())["data"]["benches"]["ifeval"]
    levels = {
        rule: [found[level]["value"] for level in found] for rule, found in greedy["checks"].items()
    }
    assert levels == {"strict": [0.5, 0.75], "loose": [1.0, 1.0]} and greedy["avg"] == 0.5
    assert re.search(r"ifeval +\w+ +responses +strict +50\.0 .* 75\.0 ", shown.stdout)
    assert re.search(r"ifeval +\w+ +responses +loose +100\.0 .* 100\.0 ", shown.stdout)


@pytest.mark.parametrize(
    ("id", "given", "kept", "broken"),
    [
        ("keywords:existence", {"keywords": ["tea", "milk"]}, "Tea with milk", "tea"),
        (
            "keywords:frequency",
            {"keyword": "a", "frequency": 2, "relation": "at least"},
            "a a",
            "a",
        ),
        ("keywords:forbidden_words", {"forbidden_words": ["tea"]}, "steam", "no Tea."),
        (
            "keywords:letter_frequency",
            {"letter": "x", "let_frequency": 2, "let_relation": "less than"},
            "x",
            "xX",
        ),
        (
            "length_constraints:number_sentences",
            {"num_sentences": 2, "relation": "less than"},
            "One.",
            "One. Two!",
        ),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n\nb"),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
            "First.\n\nThen, so.",
            "Then.\n\nFirst.",
        ),
        (
            "detectable_content:number_placeholders",
            {"num_placeholders": 2},
            "[name] of [place]",
            "[name]",
        ),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP.S. More", "Bye."),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "**bold**\n* a"),
        ("detectable_format:constrained_response", {}, "My answer is maybe.", "Perhaps"),
        (
            "detectable_format:number_highlighted_sections",
            {"num_highlights": 2},
            "*a* and **b**",
            "*a* and **",
        ),
        (
            "detectable_format:multiple_sections",
            {"section_spliter": "Part", "num_sections": 2},
            "Part 1\nPart 2",
            "Part 1",
        ),
        ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
        ("detectable_format:title", {}, "<<tea>>\nGood.", "<< >>"),
        ("combination:two_responses", {}, "a\n******\nb", "a\n******\na"),
        ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "Say it. Done", "Done"),
        (
            "startend:end_checker",
            {"end_phrase": "The end."},
            'It is. "The end."',
            "The end. Or not",
        ),
        ("startend:quotation", {}, '"a"', '"a'),
        (
            "change_case:capital_word_frequency",
            {"capital_frequency": 2, "capital_relation": "less than"},
            "A b",
            "A B",
        ),
        ("change_case:english_capital", {}, "THE TEA IS HOT, AND SO IS THE DAY", "The tea is hot"),
        (
            "change_case:english_lowercase",
            {},
            "the tea is hot, and so is the day",
            "der tee ist heiß und der tag auch",
        ),
        # where IFEval's own code is stricter, or laxer, than one would think
        (
            "detectable_content:postscript",
            {"postscript_marker": "P.S."},
            "so\np. s. bye",
            "The ships passed. PS: bye",
        ),
        (
            "detectable_content:postscript",
            {"postscript_marker": "P.P.S"},
            "P.P.S bye",
            "It slips, and appsec too. PPS",
        ),
        (
            "detectable_format:number_highlighted_sections",
            {"num_highlights": 2},
            "***a***",
            "**a**",
        ),
        ("detectable_format:number_bullet_lists", {"num_bullets": 1}, "*\n* a", "* a\n\n  - b"),
        ("detectable_format:title", {}, "<a <<<tea>>>", "<<<>>> <<\na>>"),
        (
            "detectable_content:number_placeholders",
            {"num_placeholders": 2},
            "[a] [[b]",
            "[a [b] c] [d\n]",
        ),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***a***b***", "a*** ***b"),
        ("combination:two_responses", {}, "******a******b", "a************b"),
        ("startend:end_checker", {"end_phrase": "so"}, 'Be it "so"', 'Be it so "" .'),
        (
            "change_case:capital_word_frequency",
            {"capital_frequency": 2, "capital_relation": "at least"},
            "CANNOT",
            "A-B",
        ),
        (
            "length_constraints:number_sentences",
            {"num_sentences": 3, "relation": "at least"},
            "He left. She stayed. They met.",
            "Dr. Smith paid $3.50 to Mr. Lee. He left.",
        ),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "second"},
            "First.\n\n\"Second's here\n\n\n\n",
            "First.\n\n \n\nSecond.",
        ),
    ],
)
def test_each_instruction_of_ifeval_is_judged_as_by_its_own_code(
    id: str, given: dict[str, Any], kept: str, broken: str
) -> None:
    function = get_plugin("verifier", "ifeval").function
    metadata = {"instructions": [{"id": id, **given}]}
    assert function(Sample("", kept, metadata=metadata)).correct == 1
    assert function(Sample("", broken, metadata=metadata)).correct == 0
