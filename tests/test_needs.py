"""What a recipe's options need in a backend's environment: looked for before a job starts, named with its key."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends import ready_environment
from rlsp_cli.backends.axolotl import AxolotlBackend
from rlsp_cli.backends.axolotl.keys import TESTED
from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.need import Need, missing
from rlsp_cli.backends.settings import Setting, taken, with_extra
from rlsp_cli.errors import NotReadyError
from tests.conftest import TINY, load_checked, rlsp

HERE = Environment("axolotl", (sys.executable,), TESTED[-1])
BARE = Environment("axolotl", (sys.executable, "-S"), TESTED[-1])
"""The same interpreter without any package."""
RECIPE = """\
schema_version: 1
name: job
model: {path: org/model}
data: {traces: {source: task:pair_sum, rows: 64}}
sft: {backend: axolotl, batch: 64, micro_batch: 1}
cluster: {gpus_per_node: 8}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(RECIPE)
    return path


def looked_for(*names: str, value: Any = True) -> list[str]:
    need = Need("kernel", bool, names, "get it")
    return [
        str(problem)
        for problem in missing(HERE, [Setting("kernel", value, ("sft.axolotl.kernels",))], [need])
    ]


def test_a_missing_package_is_named_with_the_key_that_needs_it_and_how_to_get_it() -> None:
    assert looked_for("no_such_module") == [
        "kernel needs no_such_module, which the environment does not have - get it"
    ]
    assert looked_for("json") == [] and looked_for("no_such_module", "json") == []
    assert looked_for("no_such_module", value=False) == []  # nothing is asked of it


def test_a_package_is_found_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "explodes").mkdir()
    (tmp_path / "explodes" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "explodes" / "patch.py").write_text("FORK = True")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert looked_for("explodes") == looked_for("explodes.patch:FORK") == []
    assert looked_for("explodes.patch:OTHER") and looked_for("explodes.gone:FORK")


def test_a_folder_beside_the_recipe_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb").mkdir()  # as wandb makes one
    monkeypatch.chdir(tmp_path)
    assert looked_for("wandb")


def test_a_kernel_of_the_hub_counts_when_it_is_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kernels.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("KERNELS_CACHE", str(tmp_path / "cache"))
    assert looked_for("org/attn")
    (tmp_path / "cache" / "kernels--org--attn" / "snapshots" / "abc").mkdir(parents=True)
    assert looked_for("org/attn") == [] and looked_for("org/other")


@pytest.mark.parametrize(
    ("overrides", "key", "package"),
    [
        (["model.attention=flash_attention_2"], "model.attention", "flash_attn"),
        (["model.attention=flash_attention_3"], "model.attention", "flash_attn_interface"),
        (["model.attention=flash_attention_4"], "model.attention", "flash_attn.cute"),
        (
            ["sft.axolotl.kernels=[cut_cross_entropy]", "sft.axolotl.sharding=fsdp2"],
            "sft.axolotl.kernels",
            "cut_cross_entropy",
        ),
        (["sft.axolotl.optimizer=paged_adamw_8bit"], "sft.axolotl.optimizer", "bitsandbytes"),
        (["tracking.to=[wandb]"], "tracking.to", "wandb"),
        (["tracking.to=[tensorboard]"], "tracking.to", "tensorboard"),
        (
            ["sft.axolotl.extra.flash_attn_cross_entropy=true"],
            "sft.axolotl.extra.flash_attn_cross_entropy",
            "flash_attn",
        ),
        (
            ["sft.axolotl.extra.optimizer=schedule_free_adamw"],
            "sft.axolotl.extra.optimizer",
            "schedulefree",
        ),
        (["sft.axolotl.kernels=[liger]"], "sft.axolotl.kernels", "liger_kernel"),
        (["sft.axolotl.sharding=zero2"], "sft.axolotl.sharding", "deepspeed"),
        (["sft.lora.bits=4"], "sft.lora.bits", "bitsandbytes"),
        (["sft.lora.bits=8"], "sft.lora.bits", "bitsandbytes"),
    ],
)
def test_axolotls_options_name_what_they_need(
    recipe_file: Path, overrides: list[str], key: str, package: str
) -> None:
    (problem,) = AxolotlBackend().missing_packages(
        load_checked(recipe_file, *overrides), "sft", BARE
    )
    assert problem.path == key and f"needs {package}" in problem.message and problem.hint


def test_a_stage_whose_environment_lacks_a_package_is_not_ready(
    recipe_file: Path, tmp_path: Path
) -> None:
    """An interpreter that answers as Axolotl, and has nothing of what it needs."""
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$3" = axolotl ] && echo {TESTED[-1]} && exit\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    named = f"backends.axolotl.python={python}"
    assert ready_environment(load_checked(recipe_file, named), "sft").version == TESTED[-1]
    with pytest.raises(NotReadyError, match=r"sft\.axolotl\.kernels: .*needs liger_kernel"):
        ready_environment(load_checked(recipe_file, named, "sft.axolotl.kernels=[liger]"), "sft")


def test_extra_replaces_open_settings_and_no_others() -> None:
    own = [Setting("a", 1, ("sft.a",)), Setting("b", 2), Setting("c", 3, ("sft.c",), open=True)]
    extra = {"a": 9, "b": 9, "c": 9, "d": 9}
    assert [str(problem) for problem in taken(own, extra, "sft.axolotl.extra")] == [
        "rlsp sets this key from sft.a - set that instead",
        "rlsp relies on its own value of this key - remove it",
    ]
    found = {
        setting.key: setting for setting in with_extra(own, {"c": 9, "d": 9}, "sft.axolotl.extra")
    }
    assert [found[key].value for key in "abcd"] == [1, 2, 9, 9] and found["c"].sources == (
        "sft.axolotl.extra.c",
    )


@pytest.mark.integration
def test_all_stages_are_looked_at_before_the_first_one_starts(tmp_path: Path) -> None:
    path, run = tmp_path / "tiny.yaml", tmp_path / "run"
    path.write_text(TINY)
    nowhere = f"backends.openrlhf.python={tmp_path / 'none'}"
    ppo = ["ppo.backend=openrlhf", "ppo.max_prompt_tokens=64"]
    done = rlsp("run", path, *ppo, nowhere, "--out", run, check=False)
    assert done.returncode == 4 and "ppo: no environment for openrlhf" in done.stderr, done.stderr
    assert not (run / "sft" / "attempts").exists()
    assert json.loads((run / "status.json").read_text())["stages"] == {"ppo": "failed"}


@pytest.mark.integration
def test_an_environment_is_examined_once_for_a_command(tmp_path: Path) -> None:
    """The interpreter notes each question for its version; Axolotl itself is missing, so the job fails at once."""
    path, asked, python = tmp_path / "job.yaml", tmp_path / "asked", tmp_path / "python"
    path.write_text(
        RECIPE.replace("{path: org/model}", "{from_scratch: {}}").replace(
            "per_node: 8", "per_node: 0"
        )
    )
    python.write_text(
        f'#!/bin/sh\n[ "$3" = axolotl ] && echo {TESTED[-1]} && echo version >> {asked} && exit\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)

    run = ("--out", tmp_path / "run", "sft.max_length=64", f"backends.axolotl.python={python}")
    done = rlsp("sft", path, *run, check=False)
    assert done.returncode == 5 and "No module named 'axolotl'" in done.stderr, done.stderr
    assert asked.read_text().splitlines() == ["version"]
