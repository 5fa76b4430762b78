"""Rounds of self-training: what is sampled and kept, which round is chosen, and that a kill loses nothing."""

import json
import os
import re
import signal
import time
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli import backends
from rlsp_cli.errors import DataError, NotReadyError, RecipeError
from rlsp_cli.evals.samplers import Decoding, Request, Response
from rlsp_cli.launch.rounds import ends_early, round_recipe
from rlsp_cli.plan import make_plan
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.recipe.rounds import Rounds, Tune
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.report.rounds import chosen_round, round_notes
from rlsp_cli.rewards.model_use import check_models, models_at
from rlsp_cli.rewards.models import Address
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.rounds import RoundResult, RoundsResult, chosen_of, read_rounds
from rlsp_cli.traces.balance import (
    Settings,
    Solution,
    all_settings,
    balance_score,
    best,
    try_settings,
)
from rlsp_cli.traces.round import Round
from rlsp_cli.traces.self_training import make_round_traces
from tests.conftest import free_port, rlsp
from tests.openai_server import chat, serving

RIGHT = {"one": "1", "two": "2", "three": "3"}
"""Problems of the scripted rounds, and their answers."""


def solutions(right: int, wrong: int, reward: float = 1.0) -> list[Solution]:
    """Different solutions of a problem."""
    good = [Solution(f"right {n}", True, reward) for n in range(right)]
    return [*good, *(Solution(f"wrong {n}", False, 0.0) for n in range(wrong))]


@pytest.mark.parametrize(
    ("problems", "score"),
    [
        ([solutions(8, 0)], 1.0),
        ([solutions(12, 0)], 1.0),
        ([solutions(4, 0)], 0.5),
        ([solutions(4, 4)], 0.25),
        ([solutions(8, 0), solutions(0, 8)], 0.5),
        ([solutions(8, 0), []], 0.5),
        ([solutions(1, 0) * 8], 0.125),
    ],
    ids=["enough", "more than enough", "half", "half wrong", "unsolved", "none", "equal ones"],
)
def test_the_balance_score_is_its_formula(problems: list[list[Solution]], score: float) -> None:
    assert balance_score(problems, target=8) == pytest.approx(score)


def test_the_tuner_takes_the_settings_with_the_highest_balance_score() -> None:
    rounds = Rounds(
        count=1, tune=Tune(temperature=(0.5, 1.0), samples=(2, 8), threshold=(-1.0, 0.5))
    )
    assert rounds.tune
    drawn = {0.5: [solutions(2, 6)], 1.0: [solutions(4, 4)]}
    tried = try_settings(drawn, all_settings(rounds, rounds.tune), target=4)
    scores = {(one.temperature, one.samples, one.threshold): score for one, score in tried}
    assert scores[0.5, 8, -1.0] == pytest.approx(0.5 * 2 / 8)
    assert scores[1.0, 2, 0.5] == pytest.approx(0.5)
    assert scores[1.0, 8, -1.0] == pytest.approx(0.5)
    assert best(tried) == Settings(1.0, 8, 0.5)


class Scripted:
    """A sampler that replies by a rule of the prompt and the number of the response; counts what it is asked."""

    def __init__(self, reply: Any, dies_after: int | None = None) -> None:
        self.reply, self.dies_after = reply, dies_after
        self.asked: list[str] = []

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        for row, request in enumerate(requests):
            if row in done:
                continue
            if self.dies_after is not None and len(self.asked) >= self.dies_after:
                raise KeyboardInterrupt
            self.asked.append(request.prompt)
            yield row, Response(self.reply(request.prompt, request.index), num_tokens=3)


def scripted_recipe(folder: Path, **rounds: Any) -> Recipe:
    """Three problems, the last of them in the held-out bench; a trace for the first."""

    def write(name: str, rows: list[dict[str, str]]) -> str:
        path = folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    rows = [{"id": name, "problem": name, "answer": answer} for name, answer in RIGHT.items()]
    data = {
        "traces": {"source": write("traces.jsonl", [{**rows[0], "solution": "so \\boxed{1}"}])},
        "prompts": {"source": write("prompts.jsonl", rows)},
        "heldout": {"source": write("heldout.jsonl", rows[2:])},
    }
    reward = {"correctness": {"use": "exact_match"}, "workers": 1}
    recipe = {"name": "scripted", "model": {"path": "none/here"}, "data": data, "reward": reward}
    given = {"count": 2, "samples": 2, **rounds}
    models = {"expert": {"url": "http://localhost:1/v1"}}
    stages = {"sft": {}, "eval": {}, "rounds": given, "models": models}
    return resolve_recipe({**recipe, **stages}, plugins=resolve_options)


def scripted_round(
    recipe: Recipe, folder: Path, number: int = 1, earlier: Path | None = None
) -> Round:
    return Round(recipe, number, "model", StagePaths(folder / f"round-{number}"), earlier)


def as_it_is(turn: str, system: str | None) -> str:
    return turn


def traces_of(round: Round) -> list[dict[str, Any]]:
    return [json.loads(line) for line in round.traces.read_text().splitlines()]


def answer_of(prompt: str) -> str:
    return f"\\boxed{{{RIGHT[prompt.splitlines()[0]]}}}"


def test_a_round_keeps_right_solutions_that_are_new_and_of_no_bench(tmp_path: Path) -> None:
    # "one" is solved as the recipe's trace does, and in another way; "two" is once wrong.
    replies = {("one", 0): "so \\boxed{1}", ("one", 1): "thus \\boxed{1}", ("two", 0): "\\boxed{7}"}
    sampler = Scripted(lambda prompt, n: replies.get((prompt, n), "then \\boxed{2}"))
    first = scripted_round(scripted_recipe(tmp_path), tmp_path)
    numbers = make_round_traces(first, sampler, as_it_is)

    assert "three" not in sampler.asked
    kept = [(row["problem"], row["solution"]) for row in traces_of(first)]
    assert kept == [("one", "thus \\boxed{1}"), ("two", "then \\boxed{2}")]
    assert (numbers.responses, numbers.right, numbers.solved, numbers.new) == (4, 3, 2, 2)
    assert numbers.distinct == 1.5 and numbers.tokens == 12
    card = json.loads((tmp_path / "round-1" / "traces.card.json").read_text())["data"]
    assert [bench["name"] for bench in card["overlap"]["benches"]] == ["heldout"]

    # The next round has these as well, and adds only what neither has.
    sampler.reply = lambda prompt, n: "then " + answer_of(prompt)
    second = scripted_round(first.recipe, tmp_path, 2, first.traces)
    numbers = make_round_traces(second, sampler, as_it_is)
    added = [(row["problem"], row["solution"]) for row in traces_of(second)]
    assert added == [*kept, ("one", "then \\boxed{1}")]
    assert (numbers.new, numbers.traces) == (1, 3)


def test_a_hint_is_given_only_where_nothing_is_right_and_is_not_trained_on(tmp_path: Path) -> None:
    sampler = Scripted(
        lambda prompt, n: answer_of(prompt) if prompt == "one" or "answer is" in prompt else "no"
    )
    round = scripted_round(scripted_recipe(tmp_path, rationalize=True), tmp_path)
    numbers = make_round_traces(round, sampler, as_it_is)
    hinted = [prompt for prompt in sampler.asked if "The answer is 2" in prompt]
    assert len(hinted) == 2 and not any("The answer is 1" in prompt for prompt in sampler.asked)
    assert [row["problem"] for row in traces_of(round)] == ["one", "two"]
    assert "answer is" not in round.traces.read_text()
    assert (numbers.right, numbers.solved, numbers.rationalized) == (2, 1, 2)


@pytest.mark.integration
def test_a_round_that_prefers_pairs_right_and_wrong_solutions(tmp_path: Path) -> None:
    given = scripted_recipe(tmp_path).model_dump(mode="json")
    given["sft"]["kind"], given["data"]["traces"] = "dpo", None
    recipe = resolve_recipe(given, plugins=resolve_options)
    first = scripted_round(recipe, tmp_path)
    sampler = Scripted(lambda prompt, n: answer_of(prompt) if prompt == "one" and n else f"no {n}")
    numbers = make_round_traces(first, sampler, as_it_is)
    assert (numbers.right, numbers.new) == (1, 1)

    # The same right solution may be preferred to another wrong one.
    sampler.reply = lambda prompt, n: answer_of(prompt) if n else f"no, {prompt}"
    second = scripted_round(recipe, tmp_path, 2, first.traces)
    make_round_traces(second, sampler, as_it_is)
    pairs = [(row["prompt"], row["chosen"], row["rejected"]) for row in traces_of(second)]
    assert pairs == [
        ("one", "\\boxed{1}", "no 0"),
        ("one", "\\boxed{1}", "no, one"),
        ("two", "\\boxed{2}", "no, two"),
    ]

    start, later = round_recipe(recipe, 0, None, None), round_recipe(recipe, 2, "m", second.traces)
    assert start.sft is None and later.data.traces is None
    assert later.data.pairs and later.data.pairs.source == str(second.traces)


def test_rounds_that_prefer_make_their_pairs_themselves(tmp_path: Path) -> None:
    given = scripted_recipe(tmp_path).model_dump(mode="json")
    given["sft"]["kind"] = "dpo"
    with pytest.raises(RecipeError, match=r"make all pairs themselves.*leave out data\.traces"):
        resolve_recipe(given, plugins=resolve_options)

    # A response to a hint is in no tree, so nothing would pair it.
    given["data"]["traces"], given["model"]["path"] = None, "org/model"
    given["rounds"] |= {"search": {"use": "beam", "write": "pairs"}, "rationalize": True}
    with pytest.raises(RecipeError, match=r"leave out rounds\.rationalize"):
        resolve_recipe(given, plugins=resolve_options)


def test_a_teacher_corrects_a_wrong_solution_where_none_is_right(tmp_path: Path) -> None:
    recipe = scripted_recipe(tmp_path, teacher="expert")
    sampler = Scripted(lambda prompt, n: "right \\boxed{1}" if prompt == "one" else f"wrong {n}")
    with serving(lambda asked: chat("so \\boxed{2}")) as server:
        models = {"expert": Address(server.url, "expert")}
        round = scripted_round(recipe, tmp_path)
        numbers = make_round_traces(round, sampler, as_it_is, models)
        again = scripted_round(recipe, tmp_path)
        make_round_traces(again, sampler, as_it_is, models)

    # The second time the reply is there already.
    (asked,) = server.asked
    assert [turn["content"] for turn in asked["messages"][:2]] == ["two", "wrong 0"]
    assert "the answer is 2" in asked["messages"][2]["content"]
    assert traces_of(round)[-1]["solution"] == "so \\boxed{2}"
    assert (numbers.taught, numbers.solved, numbers.new) == (1, 1, 2)


def test_a_teacher_that_no_model_is_named_after_is_refused(tmp_path: Path) -> None:
    recipe = scripted_recipe(tmp_path, teacher="exprt")
    (issue,) = check_models(recipe)
    assert str(issue) == "`models` has no 'exprt' - did you mean \"expert\"?"
    assert models_at(recipe, "rounds") == {"exprt"}


def test_a_teacher_that_does_not_answer_ends_the_round_and_nothing_is_lost(tmp_path: Path) -> None:
    round = scripted_round(scripted_recipe(tmp_path, teacher="expert"), tmp_path)
    nobody = {"expert": Address(f"http://127.0.0.1:{free_port()}/v1", "expert")}
    sampler = Scripted(lambda prompt, n: "wrong")
    with pytest.raises(NotReadyError, match=r"expert.*--resume asks only for what is missing"):
        make_round_traces(round, sampler, as_it_is, nobody)
    (drafts,) = round.drafts.glob("drawn-*.jsonl")
    assert len(drafts.read_text().splitlines()) == 4


@pytest.mark.integration
def test_a_threshold_and_a_selector_leave_right_solutions_out(tmp_path: Path) -> None:
    recipe = scripted_recipe(tmp_path, select={"use": "bon"}, threshold=0.8)
    sampler = Scripted(lambda prompt, n: f"way {n} " + answer_of(prompt))
    round = scripted_round(recipe, tmp_path)
    make_round_traces(round, sampler, as_it_is)
    assert [row["solution"] for row in traces_of(round)] == ["way 0 \\boxed{1}", "way 0 \\boxed{2}"]

    strict = scripted_round(scripted_recipe(tmp_path, threshold=0.9), tmp_path, 2)
    with pytest.raises(
        DataError, match=r"threshold: none of 4 rows is left; 4 of them: reward below 0\.9"
    ):
        make_round_traces(strict, sampler, as_it_is)


def test_the_settings_that_were_tuned_are_sampled_with(tmp_path: Path) -> None:
    recipe = scripted_recipe(tmp_path, tune={"temperature": [0.5, 0.9], "target": 2})
    found: list[float] = []

    class Warm(Scripted):
        """Replies in different ways only where it is warm."""

        def answer(
            self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
        ) -> Iterator[tuple[int, Response]]:
            found.append(decoding.temperature)
            is_warm = decoding.temperature > 0.6
            self.reply = lambda prompt, n: f"way {n * is_warm} " + answer_of(prompt)
            return super().answer(requests, decoding, done)

    numbers = make_round_traces(scripted_round(recipe, tmp_path), Warm(None), as_it_is)
    assert found == [0.5, 0.9, 0.9] and numbers.temperature == 0.9
    assert [one["balance"] for one in numbers.tried] == [0.5, 1.0]


def test_a_round_without_a_right_solution_says_so_and_keeps_what_was_sampled(
    tmp_path: Path,
) -> None:
    round = scripted_round(scripted_recipe(tmp_path), tmp_path)
    with pytest.raises(DataError, match=r"none of 4 rows is left; 4 of them: wrong.*drafts"):
        make_round_traces(round, Scripted(lambda prompt, n: "no"), as_it_is)
    (drafts,) = round.drafts.glob("*.jsonl")
    assert len(drafts.read_text().splitlines()) == 4 and not round.traces.exists()


def test_a_round_that_was_killed_asks_for_nothing_twice(tmp_path: Path) -> None:
    round = scripted_round(scripted_recipe(tmp_path), tmp_path)
    first, second = (
        Scripted(lambda prompt, n: f"{n} {answer_of(prompt)}", dies) for dies in (3, None)
    )
    with pytest.raises(KeyboardInterrupt):
        make_round_traces(round, first, as_it_is)
    make_round_traces(round, second, as_it_is)
    assert sorted([*first.asked, *second.asked]) == ["one", "one", "two", "two"]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"sft": None}, "rounds need sft"),
        ({"data": {"prompts": {"source": "task:pair_sum"}}}, "rounds need data.heldout, eval"),
        ({"eval": {"benches": ["aime24"]}}, "add heldout to eval.benches"),
    ],
)
def test_a_recipe_whose_rounds_lack_something_is_refused(
    keys: dict[str, Any], words: str, tmp_path: Path
) -> None:
    given = scripted_recipe(tmp_path).model_dump(mode="json")
    if "data" in keys:
        given["eval"] = None
    with pytest.raises(RecipeError, match=words):
        resolve_recipe({**given, **keys}, plugins=resolve_options)


def test_the_recipe_of_a_round_has_its_traces_and_starts_where_it_should(tmp_path: Path) -> None:
    recipe = scripted_recipe(tmp_path)
    start, later = (
        round_recipe(recipe, *of) for of in [(0, None, None), (1, "m", tmp_path / "t.jsonl")]
    )
    assert start.rounds is None and start.data == recipe.data and start.sft == recipe.sft
    assert [source.source for source in later.data.trace_sources] == [
        str(tmp_path / "traces.jsonl"),
        str(tmp_path / "t.jsonl"),
    ]
    assert later.model == recipe.model

    onwards = scripted_recipe(tmp_path, **{"from": "previous"})
    assert round_recipe(onwards, 1, "m", tmp_path / "t.jsonl").model.path == "m"

    # Without traces of its own there is nothing to train on in round 0.
    bare = recipe.model_dump(mode="json")
    bare["data"]["traces"] = None
    first = round_recipe(resolve_recipe(bare, plugins=resolve_options), 0, None, None)
    assert first.sft is None and first.eval == recipe.eval


def test_axolotl_takes_the_traces_of_a_round(tmp_path: Path) -> None:
    recipe = scripted_recipe(tmp_path).model_dump(mode="json")
    recipe["sft"]["backend"] = "axolotl"
    found = round_recipe(
        resolve_recipe(recipe, plugins=resolve_options), 1, "m", tmp_path / "t.jsonl"
    )
    assert len(found.data.trace_sources) == 2 and backends.check(found) == []


def result(name: str, verdict: str | None = None, against: str = "round-0") -> RoundResult:
    moved = (
        {"verdict": verdict, "difference": -0.1, "low": -0.2, "high": -0.05} if verdict else None
    )
    return RoundResult(name, "model", None, against if verdict else None, moved)


def test_the_report_says_when_a_round_is_worse_and_which_is_chosen() -> None:
    rounds = RoundsResult([result("round-0"), result("round-1", "worse")], "round-0")
    assert list(round_notes(rounds)) == [
        "round-1 is worse than round-0 on heldout: -10.0 (-20.0 to -5.0) points"
    ]
    assert (
        chosen_round(rounds) == "round-0 is chosen: none of the later rounds is better on heldout"
    )


@pytest.mark.parametrize(
    ("verdicts", "chosen"),
    [
        (["cannot be told apart", "cannot be told apart"], "round-0"),
        (["better", "cannot be told apart"], "round-1"),
        (["better", "better"], "round-2"),
        (["worse", "better"], "round-2"),
        (["better", "worse"], "round-1"),
    ],
)
def test_a_round_is_chosen_only_if_its_interval_lies_above_the_chosen_one(
    verdicts: list[str], chosen: str
) -> None:
    later = [result(f"round-{number}", verdict) for number, verdict in enumerate(verdicts, 1)]
    assert chosen_of([result("round-0"), *later]) == chosen


def test_rounds_end_after_a_worse_one_unless_all_are_wanted() -> None:
    assert ends_early(Rounds(count=9), result("round-1", "worse"))
    assert not ends_early(Rounds(count=9), result("round-1", "cannot be told apart"))
    assert not ends_early(Rounds(count=9, stop=None), result("round-1", "worse"))


TINY = """\
name: tiny
seed: 3
model:
  from_scratch: {hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 64, max_length: 64}
data:
  traces: {source: task:pair_sum, rows: 64, options: {numbers: 2, largest: 9}}
  prompts: {source: task:pair_sum, rows: 32, options: {numbers: 2, largest: 9}}
  heldout: {source: task:pair_sum, split: test, rows: 6, options: {numbers: 2, largest: 9}}
reward: {correctness: {use: exact_match}, workers: 1}
sft: {max_steps: 120, epochs: 100, batch: 16, micro_batch: 16, learning_rate: 1.0e-2, save_every: 60, max_length: 64}
eval: {samples: 2, max_new_tokens: 32, batch: 4}
rounds: {count: 3, samples: 4, max_new_tokens: 32, stop: null}
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three rounds."""
    folder = tmp_path_factory.mktemp("rounds")
    (folder / "tiny.yaml").write_text(TINY)
    rlsp("run", "tiny.yaml", "--out", "run", cwd=folder)
    return folder / "run"


@pytest.mark.integration
def test_each_round_is_a_run_of_its_own_with_card_and_evaluation(whole: Path) -> None:
    for number in (1, 2, 3):
        root = whole / f"round-{number}"
        for file in ("manifest.json", "traces/traces.card.md", "eval/results.json", "report.html"):
            assert (root / file).exists()
        card = json.loads((root / "traces" / "traces.card.json").read_text())["data"]
        manifest = json.loads((root / "manifest.json").read_text())
        assert card["sha256"] in [source["digest"] for source in manifest["data"]]

    counts = [
        json.loads((whole / f"round-{n}/traces/numbers.json").read_text())["data"]
        for n in (1, 2, 3)
    ]
    assert [one["traces"] for one in counts] == [
        sum(one["new"] for one in counts[: n + 1]) for n in range(3)
    ]


@pytest.mark.integration
def test_the_report_and_the_next_commands_take_the_chosen_round(whole: Path) -> None:
    report = json.loads(rlsp("report", str(whole), "--json").stdout)["data"]
    found = read_rounds(whole)
    assert found and list(report["evaluation"]["models"]) == [f"round-{n}" for n in range(4)]
    assert report["outcome"][0].startswith(f"{found.chosen} is chosen")
    assert found.model(whole) == str(whole / found.chosen / "sft/checkpoints/final")
    assert {group["model"] for group in report["behaviour"]} == {f"round-{n}" for n in range(4)}
    assert all(one.against == "round-0" for one in found.rounds[1:2])


@pytest.mark.integration
def test_a_run_that_is_killed_in_a_round_ends_as_one_that_is_not(
    whole: Path, tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    command = ["run", "tiny.yaml", "rounds.count=1", "--out", "run"]
    drafts = tmp_path / "run" / "round-1" / "traces" / "drafts"
    with ThreadPoolExecutor() as threads:
        running = threads.submit(rlsp, *command, cwd=tmp_path, check=False)
        while not (files := list(drafts.glob("*.jsonl"))) or not files[0].read_text():
            assert not running.done()
            time.sleep(0.01)
        holder = re.match(r"process (\d+) ", (tmp_path / "run" / ".lock").read_text())
        assert holder
        os.kill(int(holder[1]), signal.SIGKILL)
        assert running.result().returncode

    before = files[0].read_text().splitlines()
    assert not (tmp_path / "run" / "round-1" / "resolved.yaml").exists()
    done = rlsp(*command, "--resume", cwd=tmp_path)
    assert "sft: done before" not in done.stderr

    after = files[0].read_text().splitlines()
    steps = [json.loads(line)["step"] for line in after]
    assert after[: len(before) - 1] == before[:-1] and len(steps) == len(set(steps))
    traces = "round-1/traces/traces.jsonl"
    assert (tmp_path / "run" / traces).read_text() == (whole / traces).read_text()


def test_the_plan_counts_what_the_rounds_sample(tmp_path: Path) -> None:
    counts = {one.stage: one for one in make_plan(scripted_recipe(tmp_path)).counts}
    assert (counts["rounds"].rows, counts["rounds"].responses) == (3, 12)


@pytest.mark.integration
def test_rounds_refuse_single_stages_and_check_names_them(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert rlsp("check", "tiny.yaml", cwd=tmp_path).stdout.endswith("eval on local; 3 rounds)\n")
    done = rlsp("sft", "tiny.yaml", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "leave out --stage" in done.stderr
