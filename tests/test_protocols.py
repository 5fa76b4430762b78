"""Protocols: how others run benches. Every shipped one reads, and what is not as in it is on the score card."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.errors import RecipeError
from rlsp_cli.evals.benches import Bench, Benches, check_benches, shipped_benches
from rlsp_cli.evals.benches.protocol_file import find_protocol, shipped_protocols
from rlsp_cli.launch.evaluation import evaluation_recipe
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.rewards.registry import get_plugin, resolve_options
from rlsp_cli.rewards.sample import Sample
from tests.conftest import ROOT, TINY, rlsp
from tests.test_benches import MINE, SUMS, lines

THEIRS = """\
name: theirs
description: Somebody's.
source: [a paper]
differs: [their seed is not published]
benches:
  sums:
    template: "Sum: {problem}"
    system: Be brief.
    samples: 1
    greedy: false
    temperature: 0.3
    verifier: {use: math_verify, extract: boxed}
    differs: [they show an example first]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bench, a protocol for it, and responses."""
    (tmp_path / "sums.jsonl").write_text(SUMS)
    (tmp_path / "mine.yaml").write_text(MINE)
    (tmp_path / "theirs.yaml").write_text(THEIRS)
    lines(
        tmp_path / "r.jsonl",
        [{"id": "a", "response": "\\boxed{2}"}, {"id": "b", "response": "\\boxed{4.0}"}],
    )
    return tmp_path


def load(folder: Path, data: Data | None = None, **settings: Any) -> Bench:
    asked = Eval(**{"protocol": str(folder / "theirs.yaml"), **settings})
    return Benches(asked, data or Data()).load(str(folder / "mine.yaml"))


def cards(run: Path) -> Any:
    return json.loads((run / "eval" / "results.json").read_text())["data"]["benches"]


@pytest.mark.parametrize("name", shipped_protocols())
def test_every_shipped_protocol_says_where_it_is_from_and_can_be_run_on_its_benches(
    name: str,
) -> None:
    file = find_protocol(name)
    assert file.name == name and file.source and set(file.benches) <= set(shipped_benches())
    benches = list(shipped_benches()) if file.every_bench else list(file.benches)
    settings = {"benches": benches, "protocol": name}
    recipe = resolve_recipe(
        {"name": "r", "model": {"path": "m"}, "eval": settings}, plugins=resolve_options
    )
    assert [*check_benches(recipe)] == []
    assert file.differs or name == "rlsp", "nobody's numbers can be reproduced in all"


def test_a_protocol_comes_before_the_bench_and_after_recipe_and_command_line(folder: Path) -> None:
    bench = load(folder)
    assert (bench.ask("1+1"), bench.system, bench.prompt_from) == (
        "Sum: 1+1",
        "Be brief.",
        "protocol",
    )
    assert bench.verifier is not None and bench.verifier.use == "math_verify"
    drawn = bench.sampling
    assert (drawn.samples, drawn.greedy, drawn.temperature, drawn.top_p) == (1, False, 0.3, 0.9), (
        "top_p is the bench's"
    )
    assert bench.like == "theirs"
    assert bench.differs == ("their seed is not published", "they show an example first")
    said = load(
        folder,
        Data(template="Q: {problem}", system="Think."),
        samples=3,
        greedy=True,
        temperature=0.3,
    )
    assert (said.ask("1+1"), said.system, said.prompt_from) == ("Q: 1+1", "Think.", "recipe")
    assert said.differs[2:] == (
        "the prompt is the recipe's",
        "the system message is the recipe's",
        "samples is 3, theirs 1",
        "greedy is True, theirs False",
    )


def test_rlsps_own_protocol_is_what_is_run_without_one(shared_data: Path) -> None:
    plain, named = (
        Benches(Eval(data=str(shared_data), protocol=p)).load("aime24") for p in (None, "rlsp")
    )
    assert (named.like, plain.like, named.differs) == ("rlsp", None, ())
    same = ("template", "system", "verifier", "prompt_from")
    assert all(getattr(plain, key) == getattr(named, key) for key in same)
    assert plain.sampling.model_dump(exclude={"origin"}) == named.sampling.model_dump(
        exclude={"origin"}
    )


def test_what_lm_eval_and_qwen_do_with_aime(shared_data: Path) -> None:
    asked = {
        name: Benches(Eval(data=str(shared_data), protocol=name)).load("aime24")
        for name in ("lm_eval", "qwen25_math", "deepseek_r1", "rlsp_paper")
    }
    assert (
        asked["lm_eval"].ask("P") == "Question: P\nAnswer:"
        and asked["rlsp_paper"].ask("P") == "Problem: P"
    )
    assert (
        asked["qwen25_math"].system
        == "Please reason step by step, and put your final answer within \\boxed{}."
    )
    drawn = {
        name: (
            b.sampling.samples,
            b.sampling.greedy,
            b.sampling.temperature,
            b.sampling.max_new_tokens,
        )
        for name, b in asked.items()
    }
    assert drawn["lm_eval"][:2] == drawn["qwen25_math"][:2] == (0, True)
    assert drawn["deepseek_r1"] == (64, False, 0.6, 32768) and drawn["rlsp_paper"] == (
        1,
        False,
        0.7,
        8192,
    )


@pytest.mark.parametrize(
    ("response", "reference", "is_right"),
    [
        ("\\boxed{33}", "033", True),
        ("\\boxed{033}", "033", False),
        ("\\boxed{0}", "000", True),
        ("\\boxed{n = 33^\\circ}", "033", True),
        ("\\boxed{33.0}", "033", False),
        ("The answer is 33.", "033", False),
        ("33", "033", True),
        ("so $x = 1$ and $33$", "033", False),
        ("it is $33$", "033", True),
        ("<think>\\boxed{33}</think> as I said", "033", True),
        ("\\boxed{33} or \\boxed{34}", "033", False),
        ("", "033", False),
    ],
)
def test_lm_evals_rule_for_aime_is_about_text(
    response: str, reference: str, is_right: bool
) -> None:
    rule = get_plugin("verifier", "lm_eval_aime").function
    assert rule(Sample(prompt="", response=response, reference=reference)).correct == is_right


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "template:",
            "templte:",
            r'theirs.yaml:7:5: unknown key "templte" in benches.sums - did you mean "template"?',
        ),
        ("Sum: {problem}", "Sum", "the template must hold {problem}"),
        ("temperature: 0.3", "temperature: 0", "greater than 0"),
        ("source: [a paper]\n", "", '"source" is missing in the protocol file'),
    ],
)
def test_a_wrong_protocol_is_told_with_its_place(
    folder: Path, old: str, new: str, words: str
) -> None:
    (folder / "theirs.yaml").write_text(THEIRS.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        find_protocol(str(folder / "theirs.yaml"))
    assert words in str(caught.value)


@pytest.mark.integration
def test_check_tells_unknown_protocols_and_benches_that_one_says_nothing_of(folder: Path) -> None:
    recipe = "name: r\nmodel: {path: m}\neval:\n  benches: [./mine.yaml]\n  protocol: %s\n"
    for protocol, words in (
        ("lm_evl", "r.yaml:5:3: unknown protocol 'lm_evl' - did you mean \"lm_eval\"?"),
        (
            "lm_eval",
            "r.yaml:4:13: protocol lm_eval says nothing of sums; it knows aime24, aime25, math500, ifeval",
        ),
    ):
        (folder / "r.yaml").write_text(recipe % protocol)
        done = rlsp("check", "r.yaml", cwd=folder, check=False)
        assert done.returncode == 3 and words in done.stderr
    (folder / "r.yaml").write_text(recipe % "./theirs.yaml")
    done = rlsp("check", "r.yaml", "eval.samples=0", cwd=folder, check=False)
    assert done.returncode == 3 and "nothing to decode for sums" in done.stderr
    rlsp("check", "r.yaml", cwd=folder)


@pytest.mark.integration
def test_the_command_line_runs_like_somebody_else_and_says_what_differs(folder: Path) -> None:
    arguments = ("eval", "--bench", "./mine.yaml", "--responses", "r.jsonl", "--out", "run")
    done = rlsp(*arguments, "eval.protocol=./theirs.yaml", "--fail-below", "sums=0.9", cwd=folder)
    note = "sums is not quite as theirs has it: they show an example first"
    assert note in done.stderr and note in done.stdout
    card = cards(folder / "run")["sums"]["protocol"]
    assert (
        card["like"] == "theirs"
        and card["verifier"]["use"] == "math_verify"
        and card["verifier"]["extract"] == "boxed"
    )
    assert (
        card["differs"][-1]
        == "the responses were given: how they were asked for and drawn is not known"
    )


@pytest.mark.integration
def test_a_floor_is_for_the_name_of_a_users_bench(folder: Path) -> None:
    arguments = ("eval", "--bench", "./mine.yaml", "--responses", "r.jsonl", "--out", "run")
    done = rlsp(
        *arguments, "--fail-below", "0.9", "--fail-below", "sums=0.95", cwd=folder, check=False
    )
    assert (
        done.returncode == 6
        and "sums: accuracy 0.5000" in done.stderr
        and "below 0.95" in done.stderr
    )


@pytest.mark.integration
def test_protocols_are_listed_and_shown(folder: Path) -> None:
    listed = rlsp("benches", "protocols", "--json").stdout
    assert {p["name"] for p in json.loads(listed)["data"]} == set(shipped_protocols())
    assert "Maxwell-Jia/AIME_2024" in rlsp("benches", "protocols", "lm_eval").stdout
    assert rlsp("benches", "protocols", "theirs.yaml", cwd=folder).stdout == THEIRS


def table(page: str, columns: int) -> list[list[str]]:
    """The cells of a page's tables with so many columns, without heads."""
    rows = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows if len(row) == columns]


def test_the_page_tells_what_each_rule_makes_of_a_response() -> None:
    rules = {
        "math_verify": ("math_verify", {"extract": "anywhere"}),
        "boxed": ("math_verify", {"extract": "boxed"}),
        "lm_eval_aime": ("lm_eval_aime", {}),
    }
    head, *rows = table((ROOT / "docs" / "reproduction.md").read_text(), 4)
    assert head[1:] == [f"`{rule}`" for rule in rules] and len(rows) == 14
    for form, *verdicts in rows:
        for (name, options), verdict in zip(rules.values(), verdicts, strict=True):
            rule = get_plugin("verifier", name).function
            for reference in ("204", "025", "080"):
                response = re.sub("(?<![A-Z])N(?![A-Z])", str(int(reference)), form.strip("`"))
                given = rule(
                    Sample(prompt="", response=response, reference=reference), **options
                ).correct
                assert given == (verdict == "right"), (form, name, reference)


def test_the_page_has_every_protocol_with_its_numbers(shared_data: Path) -> None:
    page = (ROOT / "docs" / "reproduction.md").read_text()
    for bench in ("aime24", "math500"):
        section = page.split("## AIME 2024")[1].split("## MATH-500")[bench == "math500"]
        rows = {row[0].strip("`"): row for row in table(section, 7)[1:]}
        assert set(rows) == set(shipped_protocols())
        for name, row in rows.items():
            drawn = Benches(Eval(data=str(shared_data), protocol=name)).load(bench).sampling
            assert (f"{drawn.samples} sampled" in row[2]) == (drawn.samples > 0) and (
                "greedy" in row[2]
            ) == drawn.greedy
            if drawn.samples:
                assert row[3] == f"{drawn.temperature:g}, {drawn.top_p:g}" and row[4] == str(
                    drawn.max_new_tokens
                )


def test_the_protocol_of_the_page_works(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "reproduction.md").read_text().split('"ours.yaml"\n')[1].split("```")[0]
    (tmp_path / "ours.yaml").write_text(text)
    file = find_protocol(str(tmp_path / "ours.yaml"))
    assert file.rules("aime24").samples == file.rules("math500").samples == 32
    assert (
        file.rules("aime24").max_new_tokens == 16384
        and file.rules("math500").max_new_tokens is None
    )


@pytest.mark.integration
def test_a_protocol_that_is_asked_for_beats_what_the_runs_recipe_said_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "tiny.yaml").write_text(TINY)
    rlsp("run", "tiny.yaml", "--dry-run", "--out", "run", cwd=folder)
    (folder / "run" / "sft" / "checkpoints" / "final").mkdir(parents=True)
    warmer = "eval.temperature=0.9"
    recipe = evaluation_recipe(
        "run", {"benches": ["mine.yaml"]}, ["eval.protocol=./theirs.yaml", warmer]
    )
    assert recipe.eval and recipe.eval.protocol == str(folder / "theirs.yaml")
    assert recipe.data.traces and not recipe.data.prompts, "PPO has not trained this model"
    bench = Benches.of(recipe).load(recipe.eval.benches[0])
    assert (bench.sampling.samples, bench.sampling.max_new_tokens, bench.sampling.temperature) == (
        1,
        16,
        0.9,
    )
    assert bench.differs[-1] == "temperature is 0.9, theirs 0.3"
    before = evaluation_recipe("run", {"benches": ["mine.yaml"]}, [warmer]).eval
    assert before and before.samples == 2
