"""Behaviours: what the lexicon finds in hand-labelled passages, and how it is shown beside everything else."""

import itertools
import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from rlsp_cli.errors import PluginError
from rlsp_cli.evals.behaviour import Excerpt, behaviour_stretches, judge_responses
from rlsp_cli.evals.behaviour.excerpt import draw_excerpts
from rlsp_cli.evals.behaviour.judge import kappa
from rlsp_cli.evals.behaviour.means import means_by_verdict, measure
from rlsp_cli.evals.behaviour.response import SavedResponse
from rlsp_cli.evals.samplers import EndpointSampler
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.report import write_report
from rlsp_cli.rewards.answers import candidate_answers
from rlsp_cli.rewards.ledger import ledger
from rlsp_cli.rewards.lexicon import behaviour_counts, load_lexicon
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.repetition import compression
from rlsp_cli.rewards.sample import Sample, SampleScore, Score
from rlsp_cli.runs.run import create_run
from rlsp_cli.runs.stream import append_rows
from tests.conftest import ROOT, rlsp

NAMES = [
    "alternative",
    "backtrack",
    "backward_chaining",
    "self_correction",
    "subgoal",
    "verify",
]
LABELLED = [
    json.loads(line)
    for line in (ROOT / "tests" / "behaviour" / "labelled.jsonl").read_text().splitlines()
]
FILE = """\
description: checks a result
language: de
patterns:
  - name: prüfen
    words: ["(ich|wir) prüfen?"]
    match: ["Ich prüfe das."]
    not: ["Die Prüfung ist am Montag."]
"""


def found(name: str, half: str) -> tuple[int, int, int]:
    """(right, all that the lexicon says, all that the labels say) in one half of the labelled passages."""
    rows = [row for row in LABELLED if row["split"] == half]
    said = [row for row in rows if behaviour_counts(row["text"])[name]]
    right = sum(name in row["behaviours"] for row in said)
    return right, len(said), sum(name in row["behaviours"] for row in rows)


def percent(part: int, whole: int) -> str:
    interval = stats.binomtest(part, whole).proportion_ci(method="wilson")
    return f"{100 * part / whole:.0f} ({100 * interval.low:.0f} to {100 * interval.high:.0f})"


@pytest.mark.parametrize("half", ["tuning", "held_out"])
@pytest.mark.parametrize("name", NAMES)
def test_what_the_lexicon_finds_is_there_in_four_of_five_passages(name: str, half: str) -> None:
    right, said, there = found(name, half)
    print(f"{name}, {half}: precision {percent(right, said)}, recall {percent(right, there)}")
    assert right / said >= 0.8


def test_the_documented_precision_and_recall_are_those_of_the_held_out_passages() -> None:
    page = (ROOT / "docs" / "behaviour.md").read_text()
    for name in NAMES:
        right, said, there = found(name, "held_out")
        assert f"| `{name}` | {there} | {percent(right, said)} | {percent(right, there)} |" in page


def test_the_labelled_passages_are_many_balanced_and_have_hard_negatives() -> None:
    assert len(LABELLED) >= 150 and len({row["text"] for row in LABELLED}) == len(LABELLED)
    for half in ("tuning", "held_out"):
        rows = [row for row in LABELLED if row["split"] == half]
        assert sum(not row["behaviours"] for row in rows) > len(rows) / 4
        assert all(sum(name in row["behaviours"] for row in rows) >= 15 for name in NAMES)


def test_marks_stand_where_the_words_are_in_any_script_and_not_in_quotations() -> None:
    text = "İİ x = 4.\nLet\u2019s  check it.\n\nLET ME\ncheck: “let me check” is 12 letters."
    lexicon = load_lexicon()
    (mark,) = lexicon.marks(text)
    assert text[mark.start : mark.end] == "LET ME\ncheck" and mark.behaviour == "verify"
    assert lexicon.counts("Let\u2019s check it.")["verify"] == 1
    assert lexicon.counts("")["verify"] == 0


def test_the_counts_are_those_of_the_marks_and_marks_of_one_behaviour_never_overlap() -> None:
    rng, lexicon = random.Random(0), load_lexicon()
    for _ in range(50):
        text = " ".join(row["text"] for row in rng.choices(LABELLED, k=10))
        for name, count in lexicon.counts(text).items():
            marks = [mark for mark in lexicon.marks(text) if mark.behaviour == name]
            assert len(marks) == count
            assert all(a.end <= b.start for a, b in itertools.pairwise(marks))


def test_a_lexicon_of_ones_own_is_a_file_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "verify.yaml").write_text(FILE)
    assert behaviour_counts("Wir prüfen das. Let me check.", str(tmp_path)) == {"verify": 1}
    assert behaviour_counts("Ich prüfe, wir prüfen.", str(tmp_path / "verify.yaml")) == {
        "verify": 2
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Ich prüfe das", "Ich teste das"), r"its example 'Ich teste das.' should match"),
        (("Die Prüfung ist", "Wir prüfen"), r"should not match"),
        (("(ich|wir)", "(ich|wir"), "no regular expression"),
        (("(ich|wir) prüfen?", "(?P<wer>ich) prüfe"), "named group"),
        (("language: de\n", ""), "language: Field required"),
        (("match:", "matches:"), "plugins/behaviour shows the form"),
        (("patterns:", "patterns: ["), "no YAML"),
    ],
)
def test_a_wrong_lexicon_is_told_with_its_file(
    change: tuple[str, str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "verify.yaml").write_text(FILE.replace(*change))
    with pytest.raises(PluginError, match=message) as error:
        load_lexicon(str(tmp_path))
    assert str(tmp_path / "verify.yaml") in str(error.value) and "\n" not in str(error.value)


@pytest.mark.integration
def test_a_recipe_names_its_lexicon_and_a_missing_one_is_found_by_check(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("extends: quickstart\nreward:\n  lexicon: ./words\n")
    done = rlsp("check", tmp_path / "r.yaml", check=False)
    assert done.returncode == 3 and "r.yaml:3:" in done.stderr and "no lexicon" in done.stderr
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "verify.yaml").write_text(FILE)
    assert "ok" in rlsp("check", tmp_path / "r.yaml").stdout
    score = SampleScore(Score("v", "value", 1.0), (), 1.0)
    row = ledger(
        [Sample("p", "Wir prüfen. Let me check.")],
        [score],
        Reward(lexicon=str(tmp_path / "words")),
        0.8,
    )
    assert {key: value for key, value in row.items() if key.startswith("behaviour/")} == {
        "behaviour/verify": 1.0
    }


def test_compression_and_different_answers() -> None:
    assert compression("a b c d " * 500) > 20 > 2 > compression("Six times seven is forty-two.")
    assert compression("") == 1
    text = r"So \boxed{3}. Hmm, the answer is 4, because $\boxed{ 3 }$ fails. Answer: **4**. The answer is \boxed{5}"
    assert candidate_answers(text) == ["3", "4", "5"]
    assert candidate_answers("no candidate, and a box that stays open \\boxed{1") == []


def row(response: str, value: float | None, tokens: int | None = 10, **more: Any) -> dict[str, Any]:
    outcome = "timeout" if value is None else "value"
    correctness = {"outcome": outcome, "value": value, "answer": None, "reason": None}
    shape = {"reference": "4", "num_tokens": tokens, "truncated": False, "correctness": correctness}
    return {"id": "1", "kind": "sample", "index": 0, "response": response, **shape, **more}


ROWS = [
    row("Let me check. Let me verify. \\boxed{4}", 1.0, 8),
    row("Six. \\boxed{6}", 0.0, 4),
    row("Wait, that's wrong. \\boxed{5} \\boxed{6}", 0.0, None),
    row("Let me check.", None),
]


def test_right_and_wrong_responses_are_counted_apart_and_unscored_ones_are_neither() -> None:
    responses = [
        SavedResponse(
            each["response"], tokens=each["num_tokens"], value=each["correctness"]["value"]
        )
        for each in ROWS
    ]
    means = means_by_verdict([measure(response, load_lexicon()) for response in responses])
    every, right, wrong = means["all"], means["right"], means["wrong"]
    assert (every.responses, right.responses, wrong.responses) == (4, 1, 2)
    assert every.accuracy == pytest.approx(1 / 3)
    assert (right.accuracy, wrong.accuracy) == (1.0, 0.0)
    assert (right.behaviour["verify"], every.behaviour["verify"]) == (2.0, 0.75)
    assert (every.share["verify"], every.share_any, wrong.share["self_correction"]) == (
        0.5,
        0.75,
        0.5,
    )
    assert (right.candidates, wrong.candidates, right.tokens, wrong.tokens) == (1.0, 1.5, 8.0, 4.0)


def test_excerpts_hold_the_words_of_the_response_with_every_mark_in_the_window() -> None:
    text = "x " * 400 + "Let me check. " + "y " * 20 + "So I made a mistake. " + "z " * 400
    (one,) = draw_excerpts(
        [SavedResponse(text, value=0.0), SavedResponse("nothing", value=1.0)], load_lexicon(), 5
    )
    assert isinstance(one, Excerpt) and one.value == 0.0
    assert "".join(part for part, _ in one.segments).strip("… ") in text
    marked = [(part, name) for part, name in one.segments if name]
    assert ("Let me check", "verify") in marked and (
        "I made a mistake",
        "self_correction",
    ) in marked
    assert len("".join(part for part, _ in one.segments)) < 600


@pytest.fixture
def run(tiny_recipe: Path, tmp_path: Path) -> Path:
    create_run(load_recipe(tiny_recipe, plugins=resolve_options), tiny_recipe, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.integration
def test_a_runs_behaviours_are_told_by_model_bench_verdict_and_step(run: Path) -> None:
    assert json.loads((run / "manifest.json").read_text())["lexicon"] == load_lexicon().digest
    append_rows(run / "eval" / "ppo" / "heldout" / "samples.jsonl", ROWS)
    steps = [
        {**row("Let me check. " * step, 1.0), "step": step} for step in range(20) for _ in range(2)
    ]
    append_rows(run / "ppo" / "rollouts.jsonl", steps)
    data = json.loads(rlsp("behaviour", run, "--json").stdout)["data"]
    (group,) = data["groups"]
    assert (group["model"], group["bench"], group["decoding"]) == ("ppo", "heldout", "sampled")
    assert (
        group["means"]["wrong"]["behaviour"]["self_correction"] == 0.5
        and len(group["excerpts"]) == 3
    )
    trend = [
        (step["first"], step["last"], step["means"]["all"]["behaviour"]["verify"])
        for step in data["steps"]
    ]
    assert trend[0] == (0, 2, 1.0) and trend[-1] == (18, 19, 18.5)
    text = rlsp("behaviour", run, "--excerpts", 1).stdout
    assert "no success by themselves" in text and "verify]" in text
    for column in ("accuracy %", "tokens", "repetition", "compression", "answers"):
        assert column in text


@pytest.mark.integration
def test_a_file_of_responses_is_enough_and_a_wrong_one_is_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"response": "Let me check: 4."}) + "\n")
    (group,) = json.loads(rlsp("behaviour", file, "--json").stdout)["data"]["groups"]
    assert group["means"]["all"]["accuracy"] is None and list(group["means"]) == ["all"]
    file.write_text('{"id": 3}\n')
    done = rlsp("behaviour", file, check=False)
    assert done.returncode == 3 and "mine.jsonl:1: no key 'response'" in done.stderr
    for wrong, code in (
        ([tmp_path / "none.jsonl"], 2),
        ([tmp_path], 2),
        ([file, "--lexicon", "none"], 3),
    ):
        done = rlsp("behaviour", *wrong, check=False)
        assert (
            done.returncode == code
            and done.stderr.startswith("rlsp: ")
            and done.stderr.count("\n") == 1
        )


@pytest.mark.integration
def test_an_empty_run_has_no_behaviours_to_show(run: Path) -> None:
    done = rlsp("behaviour", run, check=False)
    assert done.returncode == 2 and "no responses in it yet" in done.stderr
    assert behaviour_stretches(run, load_lexicon()) == []
    write_report(run)
    assert "Behaviours per response" not in (run / "report.html").read_text()


def test_the_page_marks_words_escapes_the_rest_and_says_what_growth_is_worth(run: Path) -> None:
    text = "<script>alert(1)</script></pre> Let me check. <mark onclick=x>wait</mark>"
    append_rows(run / "eval" / "base" / "heldout" / "samples.jsonl", [row(text, 0.0, id="<b>")])
    write_report(run)
    page = (run / "report.html").read_text()
    assert '<mark title="verify">Let me check</mark>' in page
    assert "<script>" not in page and "<mark onclick" not in page and "<b>, " not in page
    assert "&lt;mark onclick=x&gt;" in page and "no success by themselves" in page
    assert json.loads((run / "report.json").read_text())["data"]["behaviour"][0]["model"] == "base"


def test_kappa_in_closed_form() -> None:
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: agreement 0.7, by chance 0.5 * 0.6 + 0.5 * 0.4
    pairs = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    assert kappa(pairs) == pytest.approx(0.4)
    assert kappa([(True, True)] * 3) is None
    assert kappa([(True, False), (False, True)]) == -1


class Judge(BaseHTTPRequestHandler):
    """Labels by the text between the markers; says nonsense of a text that asks for it."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        work = body["messages"][-1]["content"].partition("<<<")[2]
        labels: dict[str, Any] = dict.fromkeys(NAMES, False) | {"verify": "check" in work}
        reply = (
            "I think all of them!"
            if "nonsense" in work
            else f"<think>?</think>```json\n{json.dumps(labels)}\n```"
        )
        if "half" in work:
            reply = '{"verify": true}'
        data = json.dumps(
            {"choices": [{"message": {"content": reply}, "finish_reason": "stop"}]}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def judge() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def test_a_judge_agrees_with_the_lexicon_so_far_and_what_it_does_not_label_is_not_guessed(
    judge: str,
) -> None:
    texts = [
        "Let me check: 4.",
        "A check of 4 dollars.",
        "It is 4.",
        "Let me check, nonsense.",
        "half",
    ]
    report = judge_responses(texts, load_lexicon(), EndpointSampler(judge, "m"))
    assert (report.responses, report.unlabelled) == (5, 2)
    verify = report.behaviour["verify"]
    assert (verify.judge, verify.lexicon) == pytest.approx((2 / 3, 1 / 3))
    assert verify.agree == pytest.approx(2 / 3) and verify.kappa == pytest.approx(0.4)
    assert report.behaviour["subgoal"].kappa is None


@pytest.mark.integration
def test_the_judge_is_asked_on_the_command_line(judge: str, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(each) + "\n" for each in ROWS))
    arguments = ["behaviour", tmp_path / "s.jsonl", "--judge", judge, "--judge-samples", 3]
    assert json.loads(rlsp(*arguments, "--json").stdout)["data"]["judge"]["responses"] == 3
    assert "Cohen's kappa" in rlsp(*arguments).stdout
    done = rlsp("behaviour", tmp_path / "s.jsonl", "--judge", "here", check=False)
    assert done.returncode == 2 and "no http address" in done.stderr
