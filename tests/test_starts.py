"""Starts: the beginning of a response, from which a model goes on, in PPO and in what is sampled for data."""

import json
from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data import Problem, prompt_rows
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.engine.collector import Collected, as_samples
from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.prompt import encode_begun, prompt_text
from rlsp_cli.engine.rollout import Rollout
from rlsp_cli.engine.step_rewards import step_rewards
from rlsp_cli.engine.tokenizer import word_tokenizer
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.evals.samplers import Decoding, Request, Response
from rlsp_cli.preflight.roll import _sampled as tried
from rlsp_cli.recipe.data import Data, PromptSource
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.rewards.sample import Sample, SampleScore, Score, StepScore
from rlsp_cli.runs.stream import append_rows
from rlsp_cli.traces import (
    RollJob,
    StartJob,
    StartSettings,
    TraceJob,
    TraceSettings,
    make_starts,
    make_traces,
    roll,
    roll_prompts,
)
from rlsp_cli.traces.keys import RejectionSampling
from rlsp_cli.traces.rejection import RejectionSampler
from tests.byte_model import byte_tokenizer, chatml
from tests.conftest import load_checked, refusal, rlsp
from tests.test_ppo import PROBLEMS, by_hand, make_trainer, of_responses, scored, targets_at

pytestmark = pytest.mark.usefixtures("one_thread")

START = "l k j"
BEGUN = [
    replace(one, start=START, metadata={"origin": "wrong"}) if n % 2 else one
    for n, one in enumerate(PROBLEMS)
]
"""Every other problem comes with a start."""


class Seeing:
    """A scorer that keeps the samples."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def score(self, samples: Sequence[Sample], alpha: float) -> list[SampleScore]:
        self.samples += samples
        return [scored(row % 2) for row, _ in enumerate(samples)]


def drawn(folder: Path, **changes: Any) -> tuple[Any, Rollout, list[Sample]]:
    """A trainer, its first rollout, and what its scorer saw."""
    trainer = make_trainer(folder, problems=BEGUN, **changes)
    seeing: Any = Seeing()
    trainer.gatherer.scorer = seeing
    return trainer, trainer._rollout(trainer.gatherer.gather(0, 0.8)), seeing.samples


# In PPO.


@pytest.mark.parametrize("changes", [{}, {"temperature": 0.5}])
def test_a_response_has_the_probability_that_it_was_drawn_with_behind_its_start(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    trainer, rollout, samples = drawn(tmp_path, **changes)
    tokenizer, policy = trainer.context.tokenizer, trainer.models.policy
    targets, _ = targets_at(trainer, rollout)
    assert targets.old_logp is not None and rollout.recorded is not None
    found = of_responses(targets.old_logp, rollout)
    at_sampling = of_responses(rollout.recorded[..., 0], rollout)

    for row, sample in enumerate(samples):
        start = START if int(sample.id) % 2 else ""
        before = tokenizer(f"{PROBLEMS[int(sample.id)].problem} {start}".strip())["input_ids"]
        tokens = rollout.tokens[row, : int(rollout.lengths[row])].tolist()
        assert tokens[: len(before)] == before

        response = tokens[len(before) :]
        expected = by_hand(policy, before, response, trainer.settings.temperature)
        assert found[row] == pytest.approx(expected, abs=1e-4)
        assert at_sampling[row] == pytest.approx(expected, abs=1e-4)
        assert sample.num_tokens == len(response) == int(rollout.mask[row].sum())


def test_rewards_see_the_whole_response_and_where_its_start_ends(tmp_path: Path) -> None:
    _, rollout, samples = drawn(tmp_path)
    for sample in samples:
        has_start = int(sample.id) % 2 == 1
        assert sample.response[: sample.start] == (START if has_start else "")
        assert sample.metadata.get("origin") == ("wrong" if has_start else None)
        assert sample.prompt == PROBLEMS[int(sample.id)].problem

    tokenizer = word_tokenizer(["a b c d e f g h i j k l"], 32)
    for sample, tokens in zip(samples, rollout.tokens.tolist(), strict=True):
        text = tokenizer.decode(tokens, skip_special_tokens=True)
        assert text == f"{sample.prompt} {sample.response}".strip()


def test_what_is_learned_is_after_the_start(tmp_path: Path) -> None:
    _, rollout, samples = drawn(tmp_path)
    for row, sample in enumerate(samples):
        first = int(rollout.mask[row].nonzero()[0])
        before = len(sample.prompt.split()) + (3 if sample.start else 0)
        assert first == before - 1  # the position that chooses the token behind


@pytest.mark.parametrize("begins", ["<think>\nOne.\n", "<thought>\nOne.\n"])
def test_a_start_in_thinking_follows_the_tag_that_the_prompt_opens(begins: str) -> None:
    tokenizer = byte_tokenizer(chatml("<think>\n"))
    prompt = prompt_text("2+2?", Data(), tokenizer)
    problem = Problem("a", "2+2?", "4", start=begins)

    (ids,) = encode_begun([prompt], [begins], tokenizer)
    assert tokenizer.decode(ids) == f"{prompt}One.\n" and prompt.endswith("<think>\n")

    written = Generated(tokenizer("Two.</think>4")["input_ids"], truncated=False)
    (sample,) = as_samples([problem], [prompt], [written], tokenizer, 20, 0)
    assert sample.response == "<think>\nOne.\nTwo.</think>4"
    assert sample.response[sample.start :] == "Two.</think>4"
    assert sample.num_tokens == len("Two.</think>4")


def test_problems_without_a_start_are_as_ever() -> None:
    tokenizer = byte_tokenizer(chatml("<think>\n"))
    prompt = prompt_text("2+2?", Data(), tokenizer)
    written = Generated(tokenizer("4")["input_ids"], truncated=False)
    (sample,) = as_samples([Problem("a", "2+2?", "4")], [prompt], [written], tokenizer, 20, 0)
    assert sample.response == "<think>\n4" and sample.start == 0


def test_responses_are_compared_with_those_to_the_same_start_alone() -> None:
    same, other = Sample("p", "one two", id="x", start=3), Sample("p", "six two", id="x", start=3)
    assert same.group == Sample("p", "one three", id="x", start=3).group
    assert len({same.group, other.group, Sample("p", "one two", id="x").group}) == 3


def test_no_token_earns_the_steps_of_a_start() -> None:
    tokenizer = word_tokenizer(["a b . c ?"], 32)
    written = Generated(tokenizer("c ?")["input_ids"], truncated=False)
    sample = Sample("", "a b. c?", start=4)
    collected = Collected([tokenizer("a b .")["input_ids"]], [written], [sample])
    steps = [StepScore(0, 4, 1.0, 0.3), StepScore(5, 7, 0.0, -0.5)]
    dense = {"use": "prm", "weight": 2.0, "steps": {"dense": True}}
    reward = Reward.model_validate({"exploration": [dense]})
    score = SampleScore(Score("c", "value", 1.0), (Score("a", "value", -0.2, steps=steps),), 0.5)
    (paid,) = step_rewards(collected, [score], reward, tokenizer)
    assert (paid.position, paid.value) == (3 - 1 + 1, -1.0)


# In a recipe.


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    append_rows(path, list(rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows_of(path: Path, *starts: Any) -> PromptSource:
    rows = [{"problem": f"{n}?", "answer": "4", "begun": one} for n, one in enumerate(starts)]
    return PromptSource(source=str(write(path, rows)), start="begun")


def test_a_row_without_a_start_begins_from_nothing(tmp_path: Path) -> None:
    source = rows_of(tmp_path / "a.jsonl", " So\n", None, "")
    append_rows(tmp_path / "a.jsonl", [{"problem": "3?", "answer": "4"}])
    found = list(prompt_rows(source))
    assert [one.start for one in found] == [" So\n", "", "", ""]
    assert found[0].metadata == {"begun": " So\n"}


def test_a_column_that_no_row_has_or_that_holds_no_text_is_refused(tmp_path: Path) -> None:
    source = rows_of(tmp_path / "a.jsonl", "So").model_copy(update={"start": "begin"})
    with pytest.raises(DataError, match=r"no row has the column 'begin' of starts"):
        list(prompt_rows(source))
    with pytest.raises(DataError, match=r"b.jsonl:2: column 'begun' holds list, expected text"):
        list(prompt_rows(rows_of(tmp_path / "b.jsonl", "So", ["So"])))


@pytest.fixture
def begun_recipe(tiny_recipe: Path, tmp_path: Path) -> Path:
    """The tiny recipe, with prompts of which every other one has a start."""
    rows = [
        {
            "problem": f"Find two numbers that add up to {n}.",
            "answer": str(n),
            "start": "add up to\n" if n % 2 else None,
            "origin": "wrong" if n % 2 else None,
        }
        for n in range(1, 17)
    ]
    write(tmp_path / "begun.jsonl", rows)
    text = tiny_recipe.read_text()
    text = text.replace(
        "prompts: {source: task:pair_sum, rows: 64}",
        "prompts: {source: begun.jsonl, start: start}",
    )
    tiny_recipe.write_text(text)
    return tiny_recipe


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("continuation={use: product}", "continuation begins responses anew"),
        ("ppo.hints={}", "ppo.hints begins responses anew"),
        ("ppo.backend=openrlhf", "data.prompts.start has no effect on OpenRLHF"),
        ("data.heldout.start=start", "unknown key"),
    ],
)
def test_what_cannot_go_on_from_a_start_refuses_it(
    begun_recipe: Path, override: str, words: str
) -> None:
    assert words in refusal(begun_recipe, [override], "start")


@pytest.mark.integration
def test_the_example_shows_the_start_and_a_context_that_it_fills_is_refused(
    begun_recipe: Path,
) -> None:
    shown = rlsp("check", begun_recipe, "--show-example").stdout
    assert "8 of 16 prompts end with the start of a response" in shown
    assert "  | add up to\n" in shown and "here its 3 tokens are the last ones" in shown

    full = rlsp("check", begun_recipe, "--show-example", "ppo.max_new_tokens=90", check=False)
    assert "the longest prompt, with its start, has" in full.stderr and full.returncode
    unknown = rlsp("check", begun_recipe, "data.prompts.start=begin", check=False)
    assert "no row has the column 'begin' of starts" in unknown.stderr and unknown.returncode
    most = rlsp("check", begun_recipe, "--show-example", "ppo.max_prompt_tokens=3", check=False)
    assert "longer than ppo.max_prompt_tokens 3" in most.stderr and most.returncode


# In what is sampled for data.


class GoesOn:
    """A sampler that tells what it is asked to go on from."""

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        for row, request in enumerate(requests):
            yield row, Response(f"from {request.prefix.strip() or 'nothing'}", num_tokens=2)


def test_tried_prompts_go_on_from_their_start(
    begun_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll, "open_sampler", lambda *_: (GoesOn(), lambda problem: problem))
    kept_all = SelectorUse.model_validate({"use": "pass_rate", "lo": 0, "hi": 1})
    job = RollJob(load_checked(begun_recipe), "m", None, 1, kept_all, tmp_path / "kept.jsonl")
    roll_prompts(job)

    first, second = read(job.responses)[:2]
    assert first["response"] == "add up to\nfrom add up to"
    assert first["response"][first["start"] :] == "from add up to"
    assert second["response"] == "from nothing" and "start" not in second
    assert [row["start"] for row in read(job.out)][:2] == ["add up to\n", None]


def test_a_recipe_is_tried_from_its_starts() -> None:
    problems = [Problem("a", "a?", "4", start="Two\n"), Problem("b", "b?", "4")]
    decoding = Decoding(1.0, 1.0, 8, seed=0)
    found = tried(GoesOn(), problems, ["a?", "b?"], decoding)
    assert [one.response for one in found] == ["Two\nfrom Two", "from nothing"]
    assert [one.start for one in found] == [4, 0]


def test_sampled_traces_begin_with_the_start(tmp_path: Path) -> None:
    rows = [
        RawTrace("f:1", "a", "2+2?", "", "4", {"begun": "Two\n"}),
        RawTrace("f:2", "b", "2+3?", "", "5", {"begun": None}),
    ]
    sampling = RejectionSampling(model="m", samples=1, start="begun")
    sampler = RejectionSampler(GoesOn(), sampling, lambda one: one, tmp_path, Data())
    found = sampler.sample(rows).rows
    assert [row.solution for row in found] == ["Two\nfrom Two", "from nothing"]

    with pytest.raises(DataError, match=r"sample.start: no row has the column 'begin'"):
        replace(sampler, sampling=sampling.model_copy(update={"start": "begin"})).sample(rows)


def test_neither_a_search_nor_turns_go_on_from_a_start(tmp_path: Path) -> None:
    sample = {"model": "m", "start": "begun"}
    for more, words in (
        ({"search": {"use": "beam"}}, "sample.start: a search grows replies from nothing"),
        ({"sample": {**sample, "continuation": {"use": "code_exec"}}}, "in turns begins anew"),
    ):
        settings = TraceSettings.model_validate({"sample": sample, **more})
        with pytest.raises(UsageError, match=words):
            make_traces(TraceJob(["p.jsonl"], tmp_path / "t.jsonl", "", settings))


# Made of responses.


def response(problem: str, text: str, value: float | None, **more: Any) -> dict[str, Any]:
    judged = {"outcome": "value", "value": value}
    row = {"id": f"id of {problem}", "problem": problem, "response": text, "reference": "4"}
    return {**row, "correctness": judged, **more}


def cut(folder: Path, rows: Sequence[dict[str, Any]], **settings: Any) -> list[dict[str, Any]]:
    source, out = write(folder / "samples.jsonl", rows), folder / "starts.jsonl"
    make_starts(StartJob([source], out, "rlsp data starts", StartSettings(**settings)))
    return read(out)


def test_a_response_is_cut_after_a_step_and_says_whether_it_was_right(tmp_path: Path) -> None:
    rows = [
        response("a?", "one\n\ntwo\nthree", 1.0, metadata={"level": 3}),
        response("b?", "<think>\nfour\nfive", 0.0),
        response("c?", "a single line", 0.0),
        response("f?", "<think>\none more", 0.0),
        response("d?", "half\nright", 0.5),
        response("e?", "cut\noff", 0.0, truncated=True),
    ]
    right, wrong = cut(tmp_path, rows)
    assert right.pop("start") in ("one\n\n", "one\n\ntwo\n")
    assert right == {
        "parent": "id of a?",
        "level": 3,
        "id": "samples-0",
        "problem": "a?",
        "answer": "4",
        "origin": "right",
    }
    assert (wrong["start"], wrong["origin"]) == ("<think>\nfour\n", "wrong")

    card = json.loads((tmp_path / "starts.card.json").read_text())["data"]
    reasons = {one["name"]: list(one["reasons"]) for one in card["filters"]}
    assert reasons == {
        "read": ["response cut off"],
        "verdict": ["only partly right"],
        "cut": ["a single step by=lines"],
        "per problem": [],
    }
    assert (tmp_path / "starts.card.md").exists()

    source = PromptSource(source=str(tmp_path / "starts.jsonl"), start="start")
    assert [one.start for one in prompt_rows(source)][1] == "<think>\nfour\n"


def test_the_end_of_a_sentence_keeps_the_blank_for_what_follows(tmp_path: Path) -> None:
    (row,) = cut(tmp_path, [response("a?", "One is odd. Two is not.", 1.0)], by="sentences")
    assert row["start"] == "One is odd."


def test_cuts_and_choices_follow_from_the_seed(tmp_path: Path) -> None:
    lines = "\n".join(f"step {n}" for n in range(12))
    rows = [response("a?", f"{n}\n{lines}", float(n % 2)) for n in range(12)]
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()

    first, again = (cut(folder, rows, per_problem=2) for folder in folders[:2])
    other = cut(folders[2], rows, per_problem=2, seed=1)
    assert first == again != other
    assert sorted(row["origin"] for row in first) == ["right"] * 2 + ["wrong"] * 2
    assert len({row["start"].count("\n") for row in first + other}) > 2


def test_equal_starts_count_once(tmp_path: Path) -> None:
    rows = [response("a?", "same\nend", 1.0), response("a?", "same\nother end", 1.0)]
    assert len(cut(tmp_path, rows)) == 1
    with pytest.raises(UsageError, match="exists already"):
        cut(tmp_path, rows)


@pytest.mark.integration
def test_a_run_goes_on_from_what_an_earlier_one_wrote(tiny_run: Path, tmp_path: Path) -> None:
    done = rlsp("data", "starts", tiny_run / "run", "by=sentences", "--out", tmp_path / "s.jsonl")
    assert "starts from right responses:" in done.stdout
    rows = read(tmp_path / "s.jsonl")
    assert {row["origin"] for row in rows} <= {"right", "wrong"}

    changes = [
        f"data.prompts={{source: {tmp_path}/s.jsonl, start: start}}",
        "reward.exploration={use: reflection_bonus}",
        "ppo.steps=2",
        "eval=null",
    ]
    rlsp("run", tiny_run / "tiny.yaml", *changes, "--out", tmp_path / "run")
    starts = {row["id"]: row["start"] for row in rows}
    for row in read(tmp_path / "run" / "ppo" / "rollouts.jsonl"):
        begun = row["response"][: row["start"]]
        assert "".join(begun.split()) == "".join(starts[row["id"]].split())
        assert row["metadata"]["origin"] in ("right", "wrong")
