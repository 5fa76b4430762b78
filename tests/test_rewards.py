"""Answers, verifiers and exploration rewards."""

import hashlib
import random
import sqlite3
import sys
from pathlib import Path

import pytest

from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.answers import last_boxed
from rlsp_cli.rewards.cache import VerdictCache
from rlsp_cli.rewards.call import Use
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import Sample, Score
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.source import source_digest
from rlsp_cli.runs.stream import read_rows

pytestmark = pytest.mark.integration  # most of them score in processes


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{4}", "4"),
        (r"\boxed{3}, no: \boxed{4}", "4"),
        (r"\boxed{\frac{\sqrt{3}}{2}}", r"\frac{\sqrt{3}}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{4} and \boxed{5", "4"),
        (r"<think>\boxed{3}</think> \boxed{4}", "4"),
        (r"<think>\boxed{3}</think> four", None),
        (r"\boxed {4}", "4"),
        (r"\boxed{\fbox{1} + \boxed{2}}", "2"),
        (r"\boxed{1 \boxed{2}", "2"),
        (r"{{\boxed{4}", "4"),
        (r"\\boxed{4}", "4"),
        ("4", None),
        ("", None),
    ],
)
def test_the_last_complete_box_after_the_thinking_is_the_answer(
    text: str, answer: str | None
) -> None:
    assert last_boxed(text) == answer


def test_finding_a_box_takes_time_in_proportion_to_the_text(tmp_path: Path) -> None:
    # Each takes a second or two; in proportion to the square, hours.
    hostile = [
        r"\boxed{" * 200_000,
        "\\" * 1_000_001,
        (r"\boxed" + " " * 50) * 20_000,
        "{" * 1_000_000,
    ]
    with Scorer(
        Reward.model_validate({"correctness": {"use": "exact_match"}, "timeout_s": 60})
    ) as scorer:
        scores = scorer.verify(
            [Sample(prompt="", response=text, reference="1") for text in hostile]
        )
    assert [s.outcome for s in scores] == ["value"] * 4, scores


def score(reward: Reward, *pairs: tuple[str, str]) -> list[Score]:
    with Scorer(reward) as scorer:
        return scorer.verify(
            [Sample(prompt="", response=response, reference=gold) for response, gold in pairs]
        )


def test_math_verify_knows_equal_from_unequal() -> None:
    equal = [
        ("1/2", "0.5"),
        (r"\dfrac{1}{2}", r"\frac12"),
        ("90", r"90^\circ"),
        (r"12\text{ cm}", "12"),
        ("(1,2)", "(1, 2)"),
    ]
    equal += [
        (r"\$18.90", "18.90"),
        (r"\text{Evelyn}", "Evelyn"),
        ("x=5", "5"),
        (r"\frac{\sqrt{3}}{2}", r"\frac{\sqrt3}{2}"),
    ]
    unequal = [
        ("500", "5"),
        ("0.05", "5"),
        ("10001", "10000"),
        ("a+b", "c+b"),
        ("3", "5"),
        ("", "5"),
    ]
    boxed = [(rf"\boxed{{{answer}}}", gold) for answer, gold in [*equal, *unequal]]
    scores = score(Reward(workers=2), *boxed)
    assert [s.value for s in scores] == [1.0] * len(equal) + [0.0] * len(unequal)


def test_without_a_box_math_verify_looks_where_the_recipe_says() -> None:
    pairs = [("The answer is 5.", "5"), ("We get $5$", "5"), (r"We get $5$, \boxed{6}", "5")]
    found = {}
    for extract in ("boxed", "stated", "anywhere"):
        use = {"use": "math_verify", "extract": extract}
        found[extract] = [
            s.value for s in score(Reward.model_validate({"correctness": use}), *pairs)
        ]
    assert found == {
        "boxed": [0.0, 0.0, 0.0],
        "stated": [1.0, 0.0, 0.0],
        "anywhere": [1.0, 1.0, 0.0],
    }


def test_math_verify_reads_signs_lists_of_boxes_and_bases() -> None:
    equal = [
        ("\\boxed{\u221a2}", "\\sqrt{2}"),
        ("\\boxed{x\u00b2}", "x^2"),
        ("\\boxed{\u22125}", "-5"),
        (r"\boxed{(1,2)} and \boxed{(2,1)}", "(2,1),(1,2)"),
    ]
    unequal = [
        (r"\boxed{10_{8}}", "10_{7}"),
        (r"\boxed{1}, no, \boxed{2}", "1"),
        (r"\boxed{0}", "a+3z=0"),
        (r"\boxed{}", ""),
    ]
    scores = score(Reward(workers=2), *equal, *unequal)
    assert [s.value for s in scores] == [1.0] * len(equal) + [0.0] * len(unequal)


def test_all_references_of_aime_and_math500_verify_against_themselves(shared_data: Path) -> None:
    names = ("aime24", "math500", "aime_1983_2023")
    golds = [row["answer"] for name in names for row in read_rows(shared_data / f"{name}.jsonl")]
    assert len(golds) == 30 + 500 + 918
    scores = score(Reward(workers=2), *((rf"\boxed{{{gold}}}", gold) for gold in golds))
    assert [gold for gold, s in zip(golds, scores, strict=True) if s.value != 1.0] == []


def test_adversarial_answers_neither_hang_nor_run_nor_count(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = read_rows(shared_data / "grader_cases.jsonl")
    hostile = [
        row
        for row in rows
        if row["kind"] == "adversarial" and not row["expected"] and not row["policy"]
    ]
    chosen = random.Random(0).sample(hostile, min(60, len(hostile)))
    assert chosen
    monkeypatch.chdir(tmp_path)
    scores = score(
        Reward(workers=2, timeout_s=2), *((row["response"], row["reference"]) for row in chosen)
    )
    right = [row["id"] for row, s in zip(chosen, scores, strict=True) if s.value == 1.0]
    assert len(right) <= len(chosen) // 20, right
    assert not list(tmp_path.iterdir())


def sample(tokens: int = 0, response: str = "") -> Sample:
    return Sample(prompt="", response=response, num_tokens=tokens)


def test_length_is_the_papers_and_is_clamped() -> None:
    length = get_plugin("exploration_reward", "length").function
    assert length(sample(2000)) == -0.5
    assert length(sample(10)) == length(sample(0)) == -1.0
    assert length(sample(100), scale=10) == -0.1


def test_distinct_steps_cannot_be_farmed_by_repetition() -> None:
    steps = get_plugin("exploration_reward", "distinct_steps").function
    assert steps(sample(response="Try 2. Try 3.\nTry 4."), target=3) == 1.0
    assert steps(sample(response="Try 2. " * 50)) < steps(sample(response="Try 2.")) == 0.1
    assert steps(sample(response=" \n")) == 0.0


COUNTING = """
from pathlib import Path
from rlsp_cli.rewards import Sample, verifier

@verifier
def counting(sample: Sample, *, log: str = "", sign: int = 1) -> bool:
    with Path(log).open("a") as stream:
        print(sample.response, file=stream)
    if sample.response == "break":
        raise ValueError("broken")
    return sign * len(sample.response) > 2
"""


def test_a_verdict_is_kept_until_source_options_reference_or_response_change(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.py").write_text(COUNTING)

    def calls(
        responses: list[str], reference: str = "r", **options: int
    ) -> tuple[int, list[float | None]]:
        log = tmp_path / "log"
        use = {"use": f"{tmp_path}/mine.py:counting", "log": str(log), **options}
        reward = Reward.model_validate(
            {"correctness": use, "workers": 1, "cache": str(tmp_path / "v.sqlite")}
        )
        log.unlink(missing_ok=True)
        with Scorer(reward) as scorer:
            samples = [
                Sample("", text, reference, id=str(i), step=i) for i, text in enumerate(responses)
            ]
            values = [score.value for score in scorer.verify(samples)]
            return len(
                [line for line in log.read_text().splitlines() if "boxed" not in line]
            ), values

    assert calls(["a", "abc"]) == (2, [0.0, 1.0])
    assert calls(["abc", "a", "abcd"]) == (1, [1.0, 0.0, 1.0])
    assert calls(["abc"], reference="other") == (1, [1.0])
    assert calls(["abc"], sign=-1) == (1, [0.0])
    assert calls(["break", "break"]) == (2, [None, None])
    assert calls(["break"]) == (1, [None])  # a failure is tried again
    (tmp_path / "mine.py").write_text(COUNTING.replace("> 2", "> 3"))
    for name in [
        name for name in sys.modules if name.startswith("rlsp_plugin_") and name.endswith("_mine")
    ]:
        del sys.modules[name]  # a new process would not have it
    assert calls(["abc"]) == (1, [0.0])


SAMPLE = Sample("", "abc", "r")


def test_a_cache_takes_no_verdict_for_that_of_another_helper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    text = COUNTING.replace(
        "from pathlib", "import odd_helper, json\nfrom odd_package.inner import x\nfrom pathlib"
    )
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "odd_package").mkdir()
    files = [
        tmp_path / name
        for name in (
            "odd_helper.py",
            "odd_deeper.py",
            "odd_package/inner.py",
            "odd_package/more.py",
        )
    ]
    for file in files:
        file.write_text("import odd_deeper\nx = 1\n" if file.name == "odd_helper.py" else "x = 1\n")
    seen = {source_digest(tmp_path / "mine.py")}
    for file in files:
        file.write_text(file.read_text() + "x = 2\n")
        seen.add(source_digest(tmp_path / "mine.py"))
    assert len(seen) == 5


def test_a_plugin_without_modules_of_its_own_has_the_digest_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(COUNTING + "import torch.nn\nimport no_such_module\n")
    assert (
        source_digest(tmp_path / "mine.py")
        == hashlib.sha256((tmp_path / "mine.py").read_bytes()).hexdigest()
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "\0",
        "[]",
        "5",
        "{}",
        '{"other": 1}',
        '{"component": "x", "outcome": "value", "value": "1"}',
        "[" * 10**5,
    ],
)
def test_a_damaged_verdict_is_not_cached(text: str, tmp_path: Path) -> None:
    cache, use = VerdictCache(tmp_path / "v.sqlite"), Use("verifier", "x", {})
    key = cache.key(use, SAMPLE)
    cache.put({key: Score("x", "value", 1.0)})
    assert cache.get([key])[key].value == 1.0
    with sqlite3.connect(tmp_path / "v.sqlite") as other:
        other.execute("UPDATE verdicts SET score = ?", (text,))
    other.close()
    assert cache.get([key]) == {}
    cache.close()


def test_a_cache_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "v.sqlite", patience_s=0.1)
    with sqlite3.connect(tmp_path / "v.sqlite", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(
            NotReadyError,
            match=r"v.sqlite: reward.cache cannot be used \(database is locked\); name",
        ):
            cache.put({b"k": Score("x", "value", 1.0)})
    other.close()
    cache.close()
