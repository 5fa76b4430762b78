"""The commands around a run, as a person types them."""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from rlsp_cli.cli import _PANELS, app
from tests.conftest import ROOT, rlsp
from tests.optional import present

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "command", [[], *([name] for commands in _PANELS.values() for name in commands)]
)
def test_every_command_has_help(command: list[str]) -> None:
    assert "Usage" in rlsp(*command, "-h").stdout


def commands(group: Any, name: str = "rlsp") -> Iterator[tuple[str, Any]]:
    """Every command by the words that call it."""
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


@pytest.mark.parametrize(("name", "command"), list(commands(typer.main.get_command(app))))
def test_help_begins_with_a_short_line_and_has_an_example(name: str, command: Any) -> None:
    first, *others = inspect.cleandoc(command.help).split("\n")
    assert len(first) <= 80 and first.endswith(".")
    assert any(line.startswith(f"Example: {name}") for line in others)


def test_each_command_takes_one_line_of_the_overview() -> None:
    overview = typer.main.get_command(app)
    assert isinstance(overview, typer.core.TyperGroup)
    for word, command in overview.commands.items():
        assert len(present(command.help).split("\n")[0]) <= 62, word


def test_the_version_is_on_stdout() -> None:
    assert rlsp("--version").stdout.strip().count(".") == 2


def test_check_says_ok_in_one_line_or_every_problem_with_exit_code_3(tmp_path: Path) -> None:
    done = rlsp("check", "quickstart")
    assert done.stdout.endswith("quickstart.yaml: ok (sft on local, ppo on local, eval on local)\n")
    (tmp_path / "bad.yaml").write_text("name: x\nmodle: {}\nppo: {setps: 3}\n")
    done = rlsp("check", "bad.yaml", cwd=tmp_path, check=False)
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.splitlines() == [
        'bad.yaml:2:1: unknown key "modle" in the recipe - did you mean "model"?',
        'bad.yaml:3:7: unknown key "setps" in ppo - did you mean "steps"?',
    ]
    done = rlsp("check", "bad.yaml", "--json", cwd=tmp_path, check=False)
    assert json.loads(done.stdout)["data"]["ok"] is False and done.returncode == 3


def test_check_resolved_shows_where_each_value_comes_from() -> None:
    lines = rlsp("check", "ablations/outcome_only", "ppo.steps=3", "--resolved").stdout.splitlines()
    assert any(line.startswith("  steps: 3  # override #1") for line in lines)
    assert any("alpha: 1.0  #" in line and "outcome_only.yaml:7:3" in line for line in lines)
    assert any("rollout_batch: 256  #" in line and "quickstart.yaml" in line for line in lines)
    assert any(line == "  gamma: 1.0  # default" for line in lines)


def test_an_unknown_recipe_names_the_nearest() -> None:
    done = rlsp("check", "quickstrat", check=False)
    assert done.returncode == 3 and 'did you mean "quickstart"?' in done.stderr


def test_the_schema_is_json_schema_for_editors() -> None:
    schema = json.loads(rlsp("schema").stdout)
    assert schema["additionalProperties"] is False and "extends" in schema["properties"]
    assert schema["$defs"]["Ppo"]["properties"]["clip"]["description"].endswith(".")


@pytest.mark.parametrize("name", ["quickstart", "ablations/outcome_only"])
def test_a_copied_recipe_is_valid_where_it_lies_and_is_never_overwritten(
    name: str, tmp_path: Path
) -> None:
    rlsp("recipes", "copy", name, "mine.yaml", cwd=tmp_path)
    assert (tmp_path / "mine.yaml").read_text().startswith("# yaml-language-server: $schema=")
    assert "ok" in rlsp("check", "mine.yaml", cwd=tmp_path).stdout
    done = rlsp("recipes", "copy", name, "mine.yaml", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "exists already" in done.stderr


def test_recipes_are_listed_and_shown() -> None:
    names = [row["name"] for row in json.loads(rlsp("recipes", "list", "--json").stdout)["data"]]
    assert {"quickstart", "ablations/outcome_only"} <= set(names)
    assert (
        rlsp("recipes", "show", "quickstart").stdout
        == (ROOT / "recipes" / "quickstart.yaml").read_text()
    )


def test_plugins_are_listed_and_shown_with_their_options() -> None:
    rows = json.loads(rlsp("plugins", "list", "--json").stdout)["data"]
    assert {row["name"] for row in rows} >= {
        "math_verify",
        "exact_match",
        "length",
        "distinct_steps",
        "pair_sum",
    }
    shown = json.loads(rlsp("plugins", "show", "length", "--json").stdout)["data"]
    assert shown["options"]["scale"]["default"] == 1000.0
    done = rlsp("plugins", "show", "lenght", check=False)
    assert done.returncode == 3 and 'did you mean "length"?' in done.stderr


@pytest.mark.parametrize(
    ("kind", "use"),
    [
        ("reward", "reward.exploration={use: ./mine.py:mine}"),
        ("verifier", "reward.correctness={use: ./mine.py:mine}"),
        ("step_scorer", "reward.exploration={use: ./mine.py:mine, steps: {by: lines}}"),
        ("selector", "ppo.select={use: ./mine.py:mine}"),
        ("search", "eval={strategies: [search], search: {use: ./mine.py:mine}}"),
    ],
)
def test_a_new_plugin_passes_its_own_test_and_works_in_a_recipe(
    kind: str, use: str, tmp_path: Path
) -> None:
    rlsp("plugins", "new", kind, "mine", cwd=tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "ok" in rlsp("check", "quickstart", use, cwd=tmp_path).stdout
    done = rlsp("plugins", "new", kind, "mine", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "exists already" in done.stderr
    assert rlsp("plugins", "new", kind, "not-a-name", cwd=tmp_path, check=False).returncode == 2


def test_runs_are_listed_and_shown_and_a_folder_that_is_none_is_told(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    rlsp("run", tiny_recipe, "--dry-run", cwd=tmp_path)
    (row,) = json.loads(rlsp("runs", "list", "--json", cwd=tmp_path).stdout)["data"]
    assert row["state"] == "planned" and row["run"].startswith("runs/tiny/")
    shown = json.loads(rlsp("runs", "show", row["run"], "--json", cwd=tmp_path).stdout)["data"]
    assert shown["go on"].endswith("--resume")
    rlsp("report", row["run"], cwd=tmp_path)
    old = tmp_path / "runs" / "tiny" / "old"
    old.mkdir()
    for name in ("manifest.json", "status.json"):
        (old / name).write_text("{}")
    (old / "resolved.yaml").write_text("no_such_key: 1")
    first, second = json.loads(rlsp("runs", "list", "--json", cwd=tmp_path).stdout)["data"]
    assert first["run"] == row["run"] or second["run"] == row["run"]
    assert "unreadable" in first["state"] + second["state"]
    done = rlsp("report", tmp_path, cwd=tmp_path, check=False)
    assert done.returncode == 2 and "not a run folder" in done.stderr


def test_a_wrong_option_is_a_usage_error_and_a_closed_pipe_is_quiet() -> None:
    assert rlsp("check", "quickstart", "--no-such", check=False).returncode == 2
    done = subprocess.run(
        f"{sys.executable} -m rlsp_cli schema | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


def test_a_reward_of_groups_is_refused_where_a_prompt_has_one_response(tiny_recipe: Path) -> None:
    done = rlsp("check", tiny_recipe, "reward.exploration={use: novelty}", check=False)
    assert done.returncode == 3 and "novelty compares the responses to one prompt" in done.stderr
    rlsp("check", tiny_recipe, "reward.exploration={use: novelty}", "ppo.samples_per_prompt=2")


def test_runs_are_found_wherever_they_lie(tiny_recipe: Path, tmp_path: Path) -> None:
    rlsp("run", tiny_recipe, "--dry-run", "--out", "here", cwd=tmp_path)
    (row,) = json.loads(rlsp("runs", "list", ".", "--json", cwd=tmp_path).stdout)["data"]
    assert row["run"] == "here"
