"""Real SFT through Axolotl's own training code, in an environment that rlsp installs: on one CPU, two, and on Slurm."""

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
)
from typer.testing import CliRunner

from rlsp_cli.backends import compile_stage
from rlsp_cli.backends.axolotl import backend
from rlsp_cli.backends.axolotl.files import AxolotlFiles
from rlsp_cli.backends.axolotl.finish import finish
from rlsp_cli.backends.axolotl.keys import TESTED, known_keys
from rlsp_cli.backends.axolotl.setup import setup
from rlsp_cli.backends.environment import Environment, find_environment
from rlsp_cli.backends.job_step import JobStep
from rlsp_cli.backends.local.models import starting_model, starting_tokenizer
from rlsp_cli.backends.probe import Probe, run_probe
from rlsp_cli.backends.render import render_stage
from rlsp_cli.cli import app
from rlsp_cli.data import preference_rows, step_rows, trace_rows
from rlsp_cli.engine.dpo import train_dpo
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.step_examples import encode_steps
from rlsp_cli.errors import NotReadyError
from rlsp_cli.launch.job import prepare
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.rows import Traces
from rlsp_cli.recipe.shipped import shipped_recipes
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.rounds import read_rounds
from rlsp_cli.runs.run import create_run
from tests.byte_model import byte_model, byte_tokenizer, chatml
from tests.conftest import TINY, free_port, load_checked, rlsp
from tests.test_axolotl import EVERY_OPTION, RECIPE

pytestmark = pytest.mark.integration

STEPS = 24
SFT = f"""\
sft:
  backend: axolotl
  max_steps: {STEPS}
  epochs: 10
  batch: 16
  micro_batch: 8
  learning_rate: 1.0e-2
  save_every: 8
  val_rows: 16
  val_every: 12
  max_length: 96
"""


@pytest.fixture(scope="module", autouse=True)
def environment() -> Environment:
    """Axolotl for the CPU: made once on a machine, in some eighty seconds, and kept while its lock is the same."""
    done = rlsp("backends", "install", "axolotl", "--profile", "cpu", "--json")
    assert json.loads(done.stdout)["data"]["version"] == TESTED[-1]
    return find_environment("axolotl")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("axolotl") / "tiny.yaml"
    lines = [line for line in TINY.splitlines() if not line.startswith("sft:")]
    path.write_text("\n".join(lines) + "\n" + SFT)
    return path


@pytest.fixture(scope="module")
def trained(recipe: Path) -> Path:
    """The folder of a run whose SFT is done."""
    run = recipe.parent / "trained"
    rlsp("sft", recipe, "--out", run)
    return run


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "sft" / "metrics.jsonl").read_text().splitlines()]


def losses(run: Path) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in rows(run) if "loss" in row}


def test_the_loss_falls_and_the_numbers_arrive_in_our_metrics(trained: Path) -> None:
    found = losses(trained)
    assert sorted(found) == list(range(STEPS)) and found[STEPS - 1] < 0.7 * found[0]
    assert all(
        {"lr", "grad_norm", "total_steps"} <= row.keys() for row in rows(trained) if "loss" in row
    )
    assert [row["step"] for row in rows(trained) if "eval_loss" in row][-1] == STEPS - 1


def prepared(environment: Environment, run: Path) -> list[tuple[list[int], list[int]]]:
    """The tokens and labels of each row that Axolotl made of its data."""
    dump = (
        "import json, sys\nfrom datasets import load_from_disk\nfrom pathlib import Path\n"
        "folders = [p.parent for p in Path(sys.argv[1]).rglob('dataset_info.json')]\n"
        "rows = [row for folder in folders for row in load_from_disk(str(folder))]\n"
        "print(json.dumps([[row['input_ids'], row['labels']] for row in rows]))\n"
    )
    command = [*environment.command, "-c", dump, str(run / "sft" / "prepared")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [(tokens, labels) for tokens, labels in json.loads(done.stdout)]


def test_axolotl_sees_the_tokens_and_masks_of_our_own_engine(
    trained: Path, recipe: Path, environment: Environment
) -> None:
    from rlsp_cli.engine.lesson import encode_lessons, lessons
    from rlsp_cli.engine.model import load_tokenizer

    theirs = prepared(environment, trained)
    loaded, tokenizer = (
        load_recipe(recipe, plugins=resolve_options),
        load_tokenizer(str(trained / "sft" / "tokenizer")),
    )
    ours = []
    for lesson in lessons(trace_rows(loaded.data.traces), loaded.data, tokenizer):
        prompt, response = encode_lessons([lesson], tokenizer)[0]
        ours.append((prompt + response, [-100] * len(prompt) + response))
    kept = [row for row in ours if len(row[0]) <= 96]  # sft.max_length
    assert sorted(theirs) == sorted(kept) and len(kept) > 50


LONG = "{hidden_size: 32, num_layers: 2, num_heads: 2, intermediate_size: 64, max_length: 1024, init_std: 0.5}"
ONE_STEP = (
    *("data.traces.rows=16", "ppo=null", "eval=null"),
    *("sft.max_steps=1", "sft.val_rows=0", "sft.max_length=1024"),
)
APART = ("sft.batch=16", "sft.micro_batch=16")
PACKED = ("sft.axolotl.packing=true", "sft.batch=1", "sft.micro_batch=1")


def packing(attention: str) -> dict[str, tuple[str, ...]]:
    """Changes for two runs with all examples in one step: each in a row of its own, or all in one."""
    model = f"model={{from_scratch: {LONG}, attention: {attention}}}"
    return {
        f"apart-{attention}": (model, *ONE_STEP, *APART),
        f"packed-{attention}": (model, *ONE_STEP, *PACKED),
    }


def set_up(
    recipe: Path, environment: Environment, name: str, changes: Sequence[str]
) -> AxolotlFiles:
    """The SFT of a run NAME of the recipe with some changes, ready to train."""
    run = create_run(load_checked(recipe, *changes), None, recipe.parent / name)
    job = compile_stage(run.recipe, "sft", run.paths, environment)
    prepare(job, run.paths.stage("sft"))
    setup(JobStep.of(job.inputs))
    return AxolotlFiles(run.paths.stage("sft"))


def train_together(environment: Environment, stages: Sequence[AxolotlFiles]) -> None:
    """Train stages in one start of Axolotl; each gets formats.json too."""
    script = Path(__file__).parent / "axolotl" / "stages.py"
    job = json.loads(stages[0].stage.job.read_text())["data"]
    folders = [str(files.stage.root) for files in stages]
    command = [*environment.command, str(script), *folders]
    subprocess.run(command, check=True, env={**os.environ, **job["env"]})


def process_rewards(folder: Path) -> dict[str, tuple[str, ...]]:
    """Changes for process reward models, of a tokenizer of words and of one of bytes with a start token."""
    tokenizer = byte_tokenizer(chatml())
    tokenizer.bos_token = "<|im_start|>"
    model = byte_model(folder / "bytes", tokenizer)

    steps = "{source: task:pair_sum, rows: 24, row: {use: planted_errors}}"
    short = ("data.traces=null", "ppo=null", "eval=null", "sft.max_steps=3", "sft.val_every=2")
    common = (*short, "sft.kind=prm", f"data.steps={steps}", "sft.val_rows=8", "sft.batch=8")
    return {
        "prm-words": common,
        "prm-bytes": (
            *common,
            *("sft.max_length=512", "model.from_scratch=null", f"model.path={model}"),
        ),
    }


def preferences(folder: Path) -> dict[str, tuple[str, ...]]:
    """Changes for trainings on pairs, each step on all of them, so that their order has no effect."""
    pairs = folder / "pairs.jsonl"
    traces = trace_rows(Traces(source="task:pair_sum", rows=32))
    numbered = [(trace.prompt, trace.response) for trace in traces]
    lines = [
        json.dumps({"prompt": prompt, "chosen": better, "rejected": worse}) + "\n"
        for (prompt, better), (_, worse) in zip(numbered[:16], numbered[16:], strict=True)
    ]
    pairs.write_text("".join(lines))

    short = ("data.traces=null", "ppo=null", "eval=null", "sft.max_steps=3", "sft.val_every=3")
    sizes = ("sft.batch=12", "sft.micro_batch=12", "sft.val_rows=4")
    rate = ("sft.schedule=constant", "sft.warmup_ratio=0", "sft.learning_rate=1e-3")
    common = (*short, *sizes, *rate, "sft.kind=dpo", f"data.pairs={{source: {pairs}}}")
    return {"dpo": common, "dpo-lora": (*common, "sft.lora={rank: 4}")}


@pytest.fixture(scope="module")
def together(recipe: Path, trained: Path, environment: Environment) -> Path:
    """The folder of short runs: rows apart and packed, kinds of weights, process rewards, pairs."""
    base = trained / "sft" / "checkpoints" / "final"
    short = ("sft.max_steps=2", "sft.val_rows=0", "ppo=null", "eval=null")
    of_trained = ("model.from_scratch=null", f"model.path={base}", *short)
    mixed = [
        set_up(recipe, environment, "formats-float32", of_trained),
        set_up(recipe, environment, "formats-bfloat16", (*of_trained, "sft.lora={rank: 4}")),
    ]
    for files in mixed:
        files.config.write_text(files.config.read_text().replace("bf16: false", "bf16: true"))

    others = packing("sdpa") | process_rewards(recipe.parent) | preferences(recipe.parent)
    rows = [set_up(recipe, environment, *one) for one in others.items()]
    train_together(environment, [*mixed, *rows])
    return recipe.parent


@pytest.mark.parametrize("name", ["prm-words", "prm-bytes"])
def test_both_backends_give_a_process_reward_model_the_same_tokens_and_labels(
    name: str, together: Path, environment: Environment
) -> None:
    loaded = load_recipe(together / name / "resolved.yaml", plugins=resolve_options)
    assert loaded.data.steps and loaded.sft
    tokenizer = starting_tokenizer(loaded, AxolotlFiles(StagePaths(together / name / "sft")).base)

    ours = []
    for example in encode_steps(list(step_rows(loaded.data.steps)), "\n", tokenizer):
        labels = [-100] * len(example.tokens)
        for end, label in zip(example.ends, example.labels, strict=True):
            labels[end] = int(label)
        ours.append((example.tokens, labels))
    kept = [row for row in ours if len(row[0]) <= loaded.sft.max_length]
    assert sorted(prepared(environment, together / name)) == sorted(kept) and len(kept) > 20


@pytest.mark.parametrize("name", ["prm-words", "prm-bytes"])
def test_axolotls_process_reward_model_is_handed_over_as_ours_is(name: str, together: Path) -> None:
    found = rows(together / name)
    assert [row["step"] for row in found if "loss" in row] == [0, 1, 2]
    assert any("eval_loss" in row for row in found)

    finish(
        JobStep.of(json.loads((together / name / "sft" / "job.json").read_text())["data"]["inputs"])
    )
    final = together / name / "sft" / "checkpoints" / "final"
    model = AutoModelForTokenClassification.from_pretrained(final)
    tokenizer = AutoTokenizer.from_pretrained(final)
    assert model.config.num_labels == 2 and model.score.weight.abs().sum() > 0
    assert tokenizer.bos_token == ("<|im_start|>" if name == "prm-bytes" else None)


def test_both_backends_learn_the_same_from_pairs(together: Path, tmp_path: Path) -> None:
    loaded = load_recipe(together / "dpo" / "resolved.yaml", plugins=resolve_options)
    assert loaded.sft and loaded.data.pairs
    model, tokenizer = starting_model(loaded, None, torch.device("cpu"))
    context = Context(loaded, StagePaths(tmp_path), model, tokenizer, torch.device("cpu"))
    train_dpo(context, loaded.sft, preference_rows(loaded.data.pairs))

    ours = [json.loads(line) for line in context.paths.metrics.read_text().splitlines()]
    theirs = [row for row in rows(together / "dpo") if "loss" in row]
    assert len(theirs) == 3 and theirs[-1]["loss"] < 0.99 * theirs[0]["loss"]
    for name in ("loss", "accuracy", "reward_chosen", "reward_rejected"):
        found = [row[name] for row in theirs]
        assert found == pytest.approx([row[name] for row in ours], rel=1e-3, abs=1e-5)
    measured = [row for row in rows(together / "dpo") if "eval_loss" in row][-1]
    assert measured["eval_loss"] == pytest.approx(ours[-1]["eval_loss"], rel=1e-3)


def test_adapters_learn_from_pairs_through_axolotl(together: Path) -> None:
    found = losses(together / "dpo-lora")
    assert found[0] == pytest.approx(math.log(2), abs=1e-4) and found[2] < found[0]


def test_the_model_that_axolotl_made_of_pairs_is_handed_over(together: Path) -> None:
    inputs = json.loads((together / "dpo" / "sft" / "job.json").read_text())["data"]["inputs"]
    finish(JobStep.of(inputs))
    final = together / "dpo" / "sft" / "checkpoints" / "final"
    assert AutoModelForCausalLM.from_pretrained(final).num_parameters() > 0
    assert AutoTokenizer.from_pretrained(final).eos_token


def test_rounds_train_by_axolotl_and_then_by_ppo(recipe: Path) -> None:
    run = recipe.parent / "rounds"
    easy = "source: task:pair_sum, options: {numbers: 2, largest: 9}"
    data = (
        *(f"data.{role}={{{easy}, rows: 64}}" for role in ("traces", "prompts")),
        f"data.heldout={{{easy}, split: test, rows: 6}}",
    )
    short = ("sft.max_steps=100", "sft.epochs=100", "sft.val_rows=0", "ppo.steps=2")
    rounds = "rounds={count: 1, samples: 4, max_new_tokens: 32}"
    rlsp("run", recipe, *data, *short, rounds, "--out", run)

    found = read_rounds(run)
    assert found and [one.name for one in found.rounds] == ["round-0", "round-1"]
    for number in (0, 1):
        stages = json.loads((run / f"round-{number}" / "status.json").read_text())["stages"]
        assert stages == {"sft": "done", "ppo": "done", "eval": "done"}
    resolved = load_recipe(run / "round-1" / "resolved.yaml", plugins=resolve_options)
    assert (
        resolved.sft and resolved.sft.backend == "axolotl" and len(resolved.data.trace_sources) == 2
    )


def learn_the_same(folder: Path, attention: str) -> None:
    """Packed or not, the loss and the gradient are the same."""
    (one,), (other,) = (rows(folder / name) for name in packing(attention))
    assert other["epoch"] == 1.0 and other["loss"] == pytest.approx(one["loss"], rel=1e-4)
    assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-3)


def test_packed_examples_do_not_see_each_other(together: Path) -> None:
    learn_the_same(together, "sdpa")


@pytest.mark.nightly
def test_packed_examples_do_not_see_each_other_in_eager_attention(
    recipe: Path, environment: Environment
) -> None:
    stages = [set_up(recipe, environment, *one) for one in packing("eager").items()]
    train_together(environment, stages)
    learn_the_same(recipe.parent, "eager")


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
def test_trained_weights_stay_float32_where_the_computation_is_bfloat16(
    together: Path, weights: str
) -> None:
    """Axolotl itself would load them in bfloat16; adapters are float32 beside a frozen model in bfloat16."""
    found = json.loads((together / f"formats-{weights}" / "sft" / "formats.json").read_text())
    assert f"torch.{weights}" in found["weights"] and "torch.bfloat16" in found["results"]
    assert found["trained"] == found["states"] == ["torch.float32"]


def test_the_checkpoint_loads_and_the_next_stages_start_from_it(
    trained: Path, recipe: Path
) -> None:
    final = trained / "sft" / "checkpoints" / "final"
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(final),
        AutoTokenizer.from_pretrained(final),
    )
    assert model.num_parameters() > 0 and tokenizer.eos_token_id == model.config.eos_token_id
    rlsp("ppo", recipe, "--out", trained, "--resume")
    report = json.loads(rlsp("report", trained, "--json").stdout)["data"]
    assert (trained / "ppo" / "checkpoints" / "final" / "model.safetensors").exists() and report


def test_axolotl_learns_what_our_engine_learns_from_the_same_recipe(
    trained: Path, recipe: Path
) -> None:
    """The same start to the last digit, and validation losses near each other: batches come in another order."""
    ours = recipe.parent / "ours"
    rlsp("sft", recipe, "sft.backend=local", "--out", ours)
    assert losses(ours)[0] == pytest.approx(losses(trained)[0], rel=0.05)
    mine, theirs = (
        [row["eval_loss"] for row in rows(run) if "eval_loss" in row][-1] for run in (ours, trained)
    )
    assert mine == pytest.approx(theirs, rel=0.35)
    start = load_file(trained / "sft" / "base" / "model.safetensors")
    assert (
        start.keys()
        == load_file(ours / "sft" / "checkpoints" / "final" / "model.safetensors").keys()
    )


def test_sigterm_saves_and_resume_ends_where_an_uninterrupted_run_does(
    trained: Path, recipe: Path
) -> None:
    run = recipe.parent / "stopped"
    command = [sys.executable, "-m", "rlsp_cli", "sft", str(recipe), "--out", str(run)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (run / "sft" / "metrics.jsonl").exists() or max(losses(run), default=0) < 3:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, text = process.communicate()
    assert process.returncode == 143 and "--resume" in text
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    assert not (run / "sft" / "checkpoints" / "final").exists()
    refused = rlsp("sft", recipe, "sft.weight_decay=0.5", "--out", run, "--resume", check=False)
    assert refused.returncode == 2 and "sft.weight_decay: 0.0 -> 0.5" in refused.stderr
    done = rlsp("sft", recipe, "--out", run, "--resume")
    assert "going on from checkpoint-" in done.stderr and "optimiser" in done.stderr
    assert sorted(losses(run)) == list(range(STEPS))
    assert losses(run)[STEPS - 1] == pytest.approx(losses(trained)[STEPS - 1], rel=1e-3)
    measured = [[row["step"] for row in rows(one) if "eval_loss" in row] for one in (run, trained)]
    assert measured[0] == measured[1]  # and not once more where it went on


def test_a_recipe_that_changed_goes_on_only_when_told_and_the_run_says_so(
    trained: Path, recipe: Path
) -> None:
    run = recipe.parent / "changed"
    shutil.copytree(trained, run)
    resolved = (run / "resolved.yaml").read_text()
    rlsp("sft", recipe, "seed=4", "--out", run, "--resume", "--allow-changes")
    changes = json.loads((run / "manifest.json").read_text())["changes"]
    assert (
        changes[0]["keys"] == ["seed: 3 -> 4"] and (run / "resolved.yaml").read_text() != resolved
    )


@pytest.fixture(scope="module")
def typed(trained: Path, recipe: Path) -> Path:
    """A run with adapters whose commands `--dry-run` has printed; they were typed then."""
    run, base = recipe.parent / "typed", trained / "sft" / "checkpoints" / "final"
    changes = ["model.from_scratch=null", f"model.path={base}", "sft.lora={rank: 4}"]
    done = rlsp("sft", recipe, *changes, "sft.max_steps=4", "ppo=null", "--dry-run", "--out", run)
    assert not (run / "sft" / "attempts").exists()

    stale = run / "sft" / "prepared" / "of-other-rows"
    stale.mkdir(parents=True)
    for line in done.stdout.splitlines():
        subprocess.run(line, shell=True, check=True, capture_output=True)
    return run


def test_dry_run_prints_commands_that_can_be_typed(typed: Path) -> None:
    # What was prepared from rows that were there before is not trained on.
    assert not (typed / "sft" / "prepared" / "of-other-rows").exists()
    assert (typed / "sft" / "checkpoints" / "final" / "model.safetensors").exists()


def test_adapters_are_merged_into_the_model_that_is_handed_over(trained: Path, typed: Path) -> None:
    before, after = (
        load_file(run / "sft" / "checkpoints" / "final" / "model.safetensors")
        for run in (trained, typed)
    )
    assert before.keys() == after.keys()
    assert (typed / "sft" / "output" / "adapter_model.safetensors").exists()
    moved = [name for name in before if not before[name].equal(after[name])]
    assert moved and all("proj" in name for name in moved)


@pytest.mark.parametrize(
    "launcher", ["torchrun", pytest.param("accelerate", marks=pytest.mark.nightly)]
)
def test_launchers_of_one_machine_train_as_a_bare_process_does(
    trained: Path, recipe: Path, environment: Environment, launcher: str
) -> None:
    changes = (f"cluster={{launcher: {launcher}, port: {free_port()}}}", "ppo=null", "eval=null")
    files = set_up(recipe, environment, launcher, changes)
    job = json.loads(files.stage.job.read_text())["data"]
    subprocess.run(job["argv"], check=True, capture_output=True, env={**os.environ, **job["env"]})
    assert losses(recipe.parent / launcher) == pytest.approx(losses(trained), rel=1e-3)


def test_an_untested_version_is_refused_before_anything_starts(
    recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "python").write_text("#!/bin/sh\necho 9.9.9\n")
    (tmp_path / "python").chmod(0o755)
    named = f"backends.axolotl.python={tmp_path / 'python'}"
    done = rlsp("sft", recipe, named, "--out", tmp_path / "run", check=False)
    assert done.returncode == 4 and "axolotl 9.9.9: rlsp is tested with 0.19.0" in done.stderr


def test_two_machines_train_together_over_gloo(recipe: Path) -> None:
    """Two runs of torchrun on one host stand for two machines; a node sees half of every batch."""
    run, port = recipe.parent / "two", free_port()
    cluster = f"cluster={{nodes: 2, launcher: torchrun, host: 127.0.0.1, port: {port}, join_timeout_s: 300}}"
    changes = [cluster, "sft.max_steps=6", "sft.val_rows=0", "ppo=null", "eval=null"]
    command = [sys.executable, "-m", "rlsp_cli", "sft", str(recipe), *changes, "--out", str(run)]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (run / "sft" / "attempts" / "1").exists():
        assert first.poll() is None, first.stderr and first.stderr.read()
        time.sleep(0.1)
    rlsp("launch", "worker", run)
    _, text = first.communicate()
    assert first.returncode == 0 and f"rlsp launch worker {run} --stage sft" in text
    assert [row["step"] for row in rows(run)] == list(range(6))  # one writer
    assert rows(run)[-1]["epoch"] == pytest.approx(
        6 * 16 / 64
    )  # each took 8 of the 16: not twice the same


def test_a_machine_that_never_joins_is_named(recipe: Path) -> None:
    cluster = f"cluster={{nodes: 2, launcher: torchrun, host: 127.0.0.1, port: {free_port()}, join_timeout_s: 3}}"
    run = recipe.parent / "alone"
    done = rlsp(
        "sft", recipe, cluster, "sft.val_rows=0", "ppo=null", "eval=null", "--out", run, check=False
    )
    assert (
        done.returncode == 5
        and "a machine did not join in time" in done.stderr
        and "Traceback" not in done.stderr
    )


def test_a_port_in_use_is_named_before_the_job_starts(recipe: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        cluster = f"cluster={{nodes: 2, launcher: torchrun, host: 127.0.0.1, port: {taken.getsockname()[1]}}}"
        run = recipe.parent / "port"
        done = rlsp("sft", recipe, cluster, "ppo=null", "eval=null", "--out", run, check=False)
    assert done.returncode == 4 and "is taken here; set cluster.port" in done.stderr
    assert not (run / "sft" / "attempts").exists()


@pytest.fixture(scope="module")
def probe(environment: Environment) -> Probe:
    """What Axolotl's interpreter says that it has: once, since it imports Axolotl for that."""
    return run_probe(environment)


@pytest.fixture
def doctor(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What `rlsp backends doctor` prints after the interpreter's answer."""
    monkeypatch.setattr(backend, "run_probe", lambda environment: probe)

    def asked(*arguments: object, ready: bool = True) -> str:
        done = CliRunner().invoke(app, ["backends", "doctor", *map(str, arguments)])
        assert done.exit_code == 0 if ready else isinstance(done.exception, NotReadyError)
        return done.stdout

    return asked


def test_a_missing_column_and_a_missing_gpu_are_named_in_one_line(
    recipe: Path, tmp_path: Path, doctor: Callable[..., str]
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "1+1?", "solution": "2"}\n' * 40)
    traces = f"data.traces={{source: {tmp_path / 'rows.jsonl'}}}"
    done = rlsp("sft", recipe, traces, "--out", tmp_path / "column", check=False)
    assert done.returncode == 3 and "rows.jsonl:1: no column 'problem'" in done.stderr
    done = rlsp("sft", recipe, "cluster.gpus_per_node=1", "--out", tmp_path / "gpu", check=False)
    assert done.returncode == 4 and "it wants 1 GPUs, and this machine has 0" in done.stderr
    assert "the recipe wants 1 GPUs" in doctor(recipe, "cluster.gpus_per_node=1", ready=False)


def test_a_missing_package_is_named_by_the_doctor_and_at_launch(
    recipe: Path, tmp_path: Path, doctor: Callable[..., str]
) -> None:
    needs = [
        "cluster.gpus_per_node=1",
        "model.attention=flash_attention_2",
        "sft.axolotl.kernels=[liger]",
    ]
    missing = "model.attention: attn_implementation flash_attention_2 needs"
    assert missing in doctor(recipe, *needs, ready=False)
    done = rlsp("sft", recipe, *needs, "--out", tmp_path / "run", check=False)
    assert (
        done.returncode == 4 and "sft.axolotl.kernels: liger_rope needs liger_kernel" in done.stderr
    )
    assert not (tmp_path / "run" / "sft" / "attempts").exists()


def test_doctor_finds_the_environment_as_the_lock_says(
    recipe: Path, doctor: Callable[..., str]
) -> None:
    found = {one["backend"]: one for one in json.loads(doctor(recipe, "--json"))["data"]}
    assert found["axolotl"]["version"] == TESTED[-1] and found["axolotl"]["problems"] == []


def test_the_keys_that_come_with_rlsp_are_those_of_the_installed_version(probe: Probe) -> None:
    assert probe.keys == known_keys()


def test_axolotls_own_validation_takes_every_option_and_drops_no_key(
    environment: Environment, tmp_path: Path
) -> None:
    """Its checks of what GPUs can do are answered for eight H100s."""
    path = tmp_path / "job.yaml"
    path.write_text(RECIPE)
    recipes = {overrides[0]: load_checked(path, *overrides) for overrides in EVERY_OPTION}
    recipes |= {
        n: r
        for n, p in shipped_recipes().items()
        if (r := load_recipe(p, plugins=resolve_options)).sft
    }
    configs = {}
    for name, one in recipes.items():
        if one.sft and one.sft.backend == "axolotl":
            config = {setting.key: setting.value for setting in render_stage(one, "sft").settings}
            config["plugins"] = [
                plugin for plugin in config["plugins"] if not plugin.startswith("rlsp")
            ]
            configs[name] = config
    (tmp_path / "in.json").write_text(json.dumps(configs))
    script, answer = Path(__file__).parent / "axolotl" / "validate.py", tmp_path / "out.json"
    command = [*environment.command, str(script), str(tmp_path / "in.json"), str(answer)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    found = json.loads(answer.read_text())
    assert found.keys() == configs.keys()
    assert {name: one for name, one in found.items() if one["dropped"] or one["error"]} == {}


@pytest.mark.usefixtures("slurm")
def test_a_slurm_job_is_submitted_followed_and_handed_over(recipe: Path) -> None:
    run = recipe.parent / "slurm"
    changes = ["cluster.launcher=slurm", "sft.max_steps=6", "sft.val_rows=0", "ppo.steps=1"]
    done = rlsp("run", recipe, *changes, "--stage", "sft", "--stage", "ppo", "--out", run)
    assert "sft: Slurm job" in done.stderr and "completed" in done.stderr
    assert sorted(losses(run)) == list(range(6))
    assert (run / "ppo" / "checkpoints" / "final" / "model.safetensors").exists()


@pytest.mark.usefixtures("slurm")
def test_what_slurm_refuses_and_what_fails_there_is_told(recipe: Path) -> None:
    changes = ["cluster.launcher=slurm", "ppo=null", "eval=null", "sft.val_rows=0"]
    run = recipe.parent / "refused"
    done = rlsp(
        "sft", recipe, *changes, "cluster.slurm.partition=nowhere", "--out", run, check=False
    )
    assert (
        done.returncode == 4
        and "sbatch: error: " in done.stderr
        and "invalid partition" in done.stderr
    )
    run = recipe.parent / "broken"
    done = rlsp(
        "sft",
        recipe,
        *changes,
        "sft.axolotl.extra.loss_watchdog_threshold=x",
        "--out",
        run,
        check=False,
    )
    assert done.returncode == 5 and "the backend refused its configuration" in done.stderr


@pytest.mark.usefixtures("slurm")
def test_ctrl_c_lets_a_slurm_job_save(recipe: Path) -> None:
    run = recipe.parent / "slurm-stop"
    changes = [
        "cluster.launcher=slurm",
        "sft.max_steps=2000",
        "sft.epochs=5000",
        "sft.val_rows=0",
        "eval=null",
    ]
    command = [sys.executable, "-m", "rlsp_cli", "sft", str(recipe), *changes, "--out", str(run)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (run / "sft" / "metrics.jsonl").exists() or max(losses(run), default=0) < 3:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert list((run / "sft" / "output").glob("checkpoint-*"))
