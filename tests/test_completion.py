"""The tab key: recipes, keys and their values, plugins and benches, in real shells."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.cli.key_completion import offered
from rlsp_cli.cli.tab_completion import plugins, recipes
from rlsp_cli.recipe.merge import read_with_parents
from rlsp_cli.recipe.shipped import find_recipe
from tests.test_imports import HEAVY

RECIPE = read_with_parents(find_recipe("quickstart").absolute()).data


@pytest.mark.parametrize(
    ("word", "completions"),
    [
        ("se", ["seed=", "seed=0"]),
        ("ppo.st", ["ppo.steps=", "ppo.steps=24"]),
        ("ppo.hin", ["ppo.hints.column=", "ppo.hints.template="]),
        ("model.p", ["model.path=", "model.precision="]),
        ("ppo.critic=", ["ppo.critic=own", "ppo.critic=value_head"]),
        (
            "ppo.whiten",
            ["ppo.whiten_advantages=", *(f"ppo.whiten_advantages={x}" for x in ("true", "false"))],
        ),
        ("ppo.kl_target=", ["ppo.kl_target=null"]),
        ("reward.exploration.scale=", ["reward.exploration.scale=10"]),
        ("reward.exploration.use=len", ["reward.exploration.use=length"]),
        ("reward.correctness.use=math_", ["reward.correctness.use=math_verify"]),
        ("reward.correctness.use=length", []),
        ("ppo.select.use=zero", ["ppo.select.use=zero_variance"]),
        ("data.prompts.source=task:pa", ["data.prompts.source=task:pair_sum"]),
        ("eval.benches=[aime24,math5", ["eval.benches=[aime24,math500]"]),
        ("tracking.to=[wandb,ml", ["tracking.to=[wandb,mlflow]"]),
        ("data.template=", []),
        ("no.such", []),
    ],
)
def test_keys_are_offered_by_their_parts_and_then_values(word: str, completions: list[str]) -> None:
    assert offered(word, RECIPE) == completions


def test_at_first_sections_and_plain_keys_are_offered() -> None:
    found = offered("", RECIPE)
    assert {"name=", "seed=", "model.", "ppo.", "reward."} <= set(found)
    assert not any("." in word.removesuffix(".") for word in found)


def test_each_of_several_rewards_has_keys_of_its_own() -> None:
    several = {"reward": {"exploration": [{"use": "length"}, {"use": "novelty", "n": 4}]}}
    assert offered("reward.exploration.1.n", several) == [
        "reward.exploration.1.n=",
        "reward.exploration.1.n=4",
    ]


def test_named_models_have_their_keys() -> None:
    named = {"models": {"judge": {"path": "a/b"}}}
    assert "models.judge.path=a/b" in offered("models.judge.path", named)


def test_files_of_recipes_are_offered_beside_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("quick.yaml", "mine/a.yaml", "mine/b.yml", "mine/notes.txt"):
        (tmp_path / name).touch()
    assert list(recipes("quick")) == ["quickstart", "quick.yaml"]
    assert list(recipes("mi")) == ["mine/a.yaml", "mine/b.yml"]
    assert list(recipes("./q")) == ["./quick.yaml"]


def test_installed_plugins_are_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rlsp.rewards]\nmy_reward = no_such_module:f\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(plugins("my_")) == ["my_reward"]
    assert offered("reward.exploration.use=my_", {}) == ["reward.exploration.use=my_reward"]


@pytest.fixture
def completion(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the script of a shell beside a command `rlsp`, and returns it."""
    command = tmp_path / "rlsp"
    command.write_text(f"#!{sys.executable}\nfrom rlsp_cli.cli import main\nmain()\n")
    command.chmod(0o755)

    def write(shell: str) -> Path:
        told = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        script = run([command, "--show-completion", shell], env=told)
        (tmp_path / shell).write_text(script)
        return tmp_path / shell

    return write


def run(command: Sequence[str | Path], **options: Any) -> str:
    return str(subprocess.check_output(command, text=True, **options))


@pytest.mark.integration
@pytest.mark.parametrize(
    ("words", "completions"),
    [
        ("rlsp check abl", ["ablations/outcome_only"]),
        ("rlsp eval --bench aime24,math5", ["aime24,math500"]),
        ("rlsp plugins show majo", ["majority_agreement"]),
        ("rlsp run quickstart ppo.st", ["ppo.steps=", "ppo.steps=24"]),
        # Bash divides words at = and :, and completes the last part alone.
        ("rlsp run quickstart ppo.critic =", ["own", "value_head"]),
        ("rlsp run quickstart ppo.critic = o", ["own"]),
        ("rlsp run quickstart data.prompts.source = task : pa", ["pair_sum"]),
    ],
)
def test_bash_completes(
    words: str, completions: list[str], completion: Callable[[str], Path]
) -> None:
    script = completion("bash")
    code = (
        f"source {script}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
        f"_rlsp_completion {script.parent}/rlsp\nprintf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    assert run(["bash", "-c", code]).splitlines() == completions


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("fish"), reason="no fish on this machine")
def test_fish_completes(completion: Callable[[str], Path]) -> None:
    script = completion("fish")
    code = f"set -x PATH {script.parent} $PATH; source {script}; complete -C 'rlsp run quickstart "
    assert run(["fish", "-c", f"{code}ppo.critic='"]).split() == [
        "ppo.critic=own",
        "ppo.critic=value_head",
    ]


@pytest.mark.integration
def test_completion_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from rlsp_cli.cli import main\n"
        "sys.argv = ['rlsp']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    words = "rlsp\nrun\nquickstart\nreward.exploration.use=le"
    typed = {"_RLSP_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "3"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **typed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["reward.exploration.use=length"]
    assert HEAVY & set(done.stderr.split()) == set()
