"""Environments of the library `verifiers`: their rows, texts and rewards, and all that may break in them."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.data.source import source_rows
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.rows import Rows
from rlsp_cli.rewards import MODEL, Sample, Turn, Turns
from rlsp_cli.rewards.continuing import Continuer, Reply
from rlsp_cli.rewards.environment import Environment, environment_of
from rlsp_cli.rewards.registry import get_plugin

TOY = Path(__file__).with_name("toy_verifiers.py")
REAL = os.environ.get("RLSP_TEST_VERIFIERS", "")
"""A venv with verifiers 0.1.14, sophistry-bench-sprint 0.1.6 and gymnasium."""

LAKE = """
import gymnasium
from verifiers.envs.experimental.gym_env import GymEnv

MOVES = ("left", "down", "right", "up")


class Lake:
    def __init__(self):
        self.env = gymnasium.make("FrozenLake-v1", is_slippery=False)

    def reset(self, seed):
        return f"You are at {self.env.reset(seed=seed)[0]}."

    def step(self, move):
        place, reward, done, cut, info = self.env.step(MOVES.index(move))
        return f"You are at {place}.", float(reward), done, cut, info


def load_environment():
    return GymEnv(Lake, num_train_episodes=2, num_eval_episodes=1, max_episode_steps=8)
"""


@pytest.fixture(scope="module")
def venv(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder that looks like a venv with the toy library."""
    folder = tmp_path_factory.mktemp("venv")
    library, python = folder / "lib" / "verifiers", folder / "bin" / "python"
    for path in (library, python.parent, folder / "lib" / "verifiers-0.1.14.dist-info"):
        path.mkdir(parents=True)
    (folder / "lib" / "verifiers-0.1.14.dist-info" / "METADATA").write_text("Version: 0.1.14\n")
    (library / "__init__.py").write_text(TOY.read_text())
    for name in ("clients", "types"):
        (library / f"{name}.py").write_text("from verifiers import *\n")

    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder / "lib"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return str(folder)


@pytest.fixture(scope="module")
def toy(venv: str) -> Iterator[Environment]:
    found = environment_of(venv, "verifiers", {})
    yield found
    found.close()


@pytest.fixture(scope="module")
def ask(venv: str) -> Iterator[Callable[..., Reply]]:
    """The reply to turns, by turns of the model and of the environment, from one worker."""
    settings = {"use": "environment", "venv": venv, "load": "verifiers", "timeout_s": 3}
    with Continuer(ContinuationUse.model_validate(settings), Reward(workers=1)) as continuer:

        def reply(*said: str) -> Reply:
            turns = [Turn("environment" if i % 2 else MODEL, text) for i, text in enumerate(said)]
            return continuer.ask([sample(Turns(tuple(turns)))])[0]

        yield reply


def sample(turns: Turns) -> Sample:
    return Sample(
        "Say.", "\n".join(turns.own), metadata={"environment_row": ["train", 0]}, turns=turns
    )


def test_a_row_has_all_texts_of_its_prompt(venv: str) -> None:
    options = {"venv": venv, "load": "verifiers"}
    first, second = source_rows(Rows(source="task:environment", rows=2, options=options))
    assert first.columns["problem"] == "Be brief.\n\nSay a word."
    assert {**second.columns, "id": ""} == {
        "id": "", "problem": "Say.", "answer": "3", "environment_row": ["train", 1]
    }  # fmt: skip


def test_rows_beyond_the_last_say_how_many_there_are(venv: str) -> None:
    rows = Rows(source="task:environment", options={"venv": venv, "load": "verifiers"})
    with pytest.raises(
        DataError, match=r"train:2: .*the environment has 2 rows in train; set rows: 2"
    ):
        list(source_rows(rows))


def test_a_response_hears_the_environment_and_is_played_again_for_each_turn(
    ask: Callable[..., Reply],
) -> None:
    first = ask("one")
    assert first.outcome == "text" and first.text.startswith("ONE ")

    second = ask("one", first.text, "two")
    assert second.text.startswith("TWO ")
    assert ask("one", first.text, "two") == second

    end = ask("one", first.text, "stop")
    assert end.outcome == "closing" and end.text.startswith("STOP ")


def test_an_environment_that_answers_otherwise_the_second_time_is_an_error(
    ask: Callable[..., Reply],
) -> None:
    reply = ask("one", "ONE 7", "two")
    assert reply.outcome == "error" and "equal turns with other texts" in str(reply.reason)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("word", "outcome", "reason"),
    [
        ("fail", "error", "ValueError: broken environment"),
        ("ail", "error", "the environment failed: Error: broken tool"),
        ("look", "error", "shows more than text"),
        ("forget", "error", "changes what was said before"),
        ("die", "error", "its process ended or was too slow"),
        ("hang", "timeout", "3"),
    ],
)
def test_what_breaks_is_an_outcome_of_one_sample(
    ask: Callable[..., Reply], word: str, outcome: str, reason: str
) -> None:
    reply = ask(word)
    assert reply.outcome == outcome and reason in str(reply.reason)
    assert ask("one").outcome == "text"


def test_the_reward_is_the_rubrics_between_the_lowest_and_the_highest(
    venv: str, toy: Environment
) -> None:
    verifier = get_plugin("verifier", "environment").function
    options: dict[str, Any] = {"venv": venv, "load": "verifiers", "arguments": {}}
    assert verifier(sample(Turns((Turn(MODEL, "words"),))), **options) == 0.5
    assert verifier(sample(Turns((Turn(MODEL, "words"),))), **options, highest=2.0) == 0.25
    assert verifier(sample(Turns((Turn(MODEL, "words"),))), **options, lowest=-1.0) == 0.75
    with pytest.raises(ValueError, match=r"the reward is 1\.1, expected 0\.0 to 1\.0; set both"):
        verifier(sample(Turns((Turn(MODEL, "eleven char"),))), **options)


def test_a_reward_function_that_raises_is_no_reward_of_0(toy: Environment) -> None:
    with pytest.raises(RuntimeError, match="reward function length: division by zero"):
        toy.reward("train", 0, ["raise"])


def test_a_reward_function_that_raises_is_found_in_one_of_several_rubrics(venv: str) -> None:
    found = Environment(venv, "verifiers", {"several_rubrics": True})
    assert found.reward("train", 0, ["words"]) == 0.5
    with pytest.raises(RuntimeError, match="reward function length: division by zero"):
        found.reward("train", 0, ["raise"])
    found.close()


def test_other_splits_are_the_rows_for_evaluation(toy: Environment) -> None:
    assert toy.row("test", 0) == ("Say it.", "")
    with pytest.raises(IndexError, match="has 1 rows in test; set rows: 1"):
        toy.row("test", 1)


def test_one_that_hangs_is_ended_where_no_worker_has_a_deadline(
    venv: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Environment(venv, "verifiers", {})
    monkeypatch.setattr("rlsp_cli.rewards.environment._ANSWER_S", 0.1)
    with pytest.raises(RuntimeError, match=r"ended or was too slow \(exit code -9\)"):
        found.follow("train", 0, ["hang"])
    assert not found.alive

    # Asked once more, it says so again: a pipe without a reader is no error of its own.
    with pytest.raises(RuntimeError, match="its process ended"):
        found.follow("train", 0, ["one"])
    found.close()


def test_a_missing_environment_or_another_version_is_not_ready(venv: str, tmp_path: Path) -> None:
    rows = Rows(source="task:environment", options={"venv": str(tmp_path / "none"), "load": "toy"})
    with pytest.raises(
        NotReadyError, match=r"no such environment; make one with `python -m venv /"
    ):
        list(source_rows(rows))
    with pytest.raises(NotReadyError, match="No module named 'not_there'"):
        Environment(venv, "not_there", {})
    for arguments, reason in (
        ({"tools": True}, "gives the model tools"),
        ({"message_type": "completion"}, "its prompts are no conversations"),
        ({"groups": True}, "rewards groups of responses"),
    ):
        with pytest.raises(NotReadyError, match=reason):
            Environment(venv, "verifiers", arguments)

    other = tmp_path / "other"
    other.symlink_to(venv)
    metadata = Path(venv) / "lib" / "verifiers-0.1.14.dist-info" / "METADATA"
    metadata.write_text("Version: 0.4.0\n")
    with pytest.raises(NotReadyError, match=r"found verifiers 0\.4\.0, expected 0\.1\.14"):
        Environment(str(other), "verifiers", {})
    metadata.write_text("Version: 0.1.14\n")


def test_a_name_is_a_folder_of_the_users_environments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(NotReadyError, match=f"in {tmp_path}/rlsp/environments/mine: no such"):
        environment_of("mine", "toy", {})


@pytest.mark.skipif(not REAL, reason="RLSP_TEST_VERIFIERS names no venv")
@pytest.mark.integration
def test_a_published_environment_of_one_turn_is_played() -> None:
    found = Environment(REAL, "sophistry_bench_sprint", {"n_items": 3})
    prompt, answer = found.row("train", 0)
    assert "QUESTION:" in prompt and answer
    assert found.follow("train", 0, ["<claim>a</claim>"]) == ([], None)
    claim = "<claim>a</claim><cite>b</cite>"
    assert 0 < found.reward("train", 0, [claim]) < found.reward("train", 0, ["no claim"]) < 1
    found.close()


@pytest.mark.skipif(not REAL, reason="RLSP_TEST_VERIFIERS names no venv")
@pytest.mark.integration
def test_gymnasium_is_played_in_turns_through_the_librarys_wrapper(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "lake.py").write_text(LAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = Environment(REAL, "lake", {})
    moves = ["down", "down", "right", "right", "down", "right"]
    assert found.follow("train", 0, moves[:2]) == (["You are at 4.", "You are at 8."], None)
    assert found.reward("train", 0, moves[:5]) == 0
    assert found.reward("train", 0, moves) == 1
    found.close()
