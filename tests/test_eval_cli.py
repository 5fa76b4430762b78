"""`rlsp eval`, and PPO on real problems: the models are tiny and score 0, everything else is as with large ones."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.model import new_model
from rlsp_cli.errors import RecipeError, UsageError
from rlsp_cli.launch.evaluation import evaluation_recipe
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.runs.stream import read_rows
from tests.conftest import TINY, rlsp

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Path:
    """A Hugging Face folder whose tokenizer knows AIME's words, with a chat template."""
    texts = [
        row["problem"]
        for name in ("aime24", "aime_1983_2023")
        for row in read_rows(shared_data / f"{name}.jsonl")
    ]
    texts += [str(n) for n in range(1000)] + ["\\boxed{}"]
    spec = FromScratch(
        hidden_size=32, num_layers=1, num_heads=2, intermediate_size=32, max_length=2048
    )
    model, tokenizer = new_model(spec, texts, 0)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}assistant:"
    )
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_model(folder, model, tokenizer)
    assert AutoTokenizer.from_pretrained(folder).chat_template
    return folder


def results(run: Path) -> Any:
    return json.loads((run / "eval" / "results.json").read_text())["data"]["models"]


def test_aime24_with_a_real_model_is_complete_though_its_score_is_0(
    model: Path, shared_data: Path, tmp_path: Path
) -> None:
    done = rlsp(
        "eval", model, "--bench", "aime24", "--data", shared_data / "aime24.jsonl",
        "eval.samples=4", "eval.max_new_tokens=16", "--out", tmp_path / "run", cwd=tmp_path,
    )  # fmt: skip
    bench = results(tmp_path / "run")["base"]["benches"]["aime24"]
    assert bench["greedy"]["accuracy"] == {
        "value": 0.0,
        "low": 0.0,
        "high": pytest.approx(0.1157, abs=1e-3),
    }
    assert bench["sample"]["problems"] == 30 and bench["sample"]["responses"] == 120
    assert set(bench["sample"]["pass_at"]) == {"1", "2", "4"} and bench["sample"]["maj_at_k"] == 0.0
    assert bench["protocol"]["samples"] == 4 and bench["protocol"]["temperature"] == 0.7
    rows = list(read_rows(tmp_path / "run" / "eval" / "base" / "aime24" / "samples.jsonl"))
    assert len(rows) == 150 and {row["kind"] for row in rows} == {"greedy", "sample"}
    assert "avg@4" in done.stdout and "aime24" in (tmp_path / "run" / "report.html").read_text()


def test_responses_from_elsewhere_are_scored(shared_data: Path, tmp_path: Path) -> None:
    rows = list(read_rows(shared_data / "aime24.jsonl"))
    answers = [row["answer"] if i < 12 else "no" for i, row in enumerate(rows)]
    lines = [
        json.dumps({"id": r["id"], "response": f"so \\boxed{{{a}}}"})
        for r, a in zip(rows, answers, strict=True)
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(lines) + "\n")
    arguments = ("eval", "--bench", "aime24", "--data", shared_data, "--responses", "r.jsonl")
    rlsp(*arguments, "--out", "run", cwd=tmp_path)
    greedy = results(tmp_path / "run")["responses"]["benches"]["aime24"]["greedy"]
    assert greedy["accuracy"]["value"] == pytest.approx(0.4) and greedy["tokens"] is None
    (tmp_path / "r.jsonl").write_text(lines[0] + "\n")
    done = rlsp(*arguments, "--out", "other", cwd=tmp_path, check=False)
    assert done.returncode == 3 and "0 responses given, 1 wanted" in done.stderr
    (tmp_path / "r.jsonl").write_text(
        "\n".join([*lines, lines[0].replace("aime24-", "other-")]) + "\n"
    )
    assert "aime24: 1 ids with responses" in rlsp(*arguments, "--out", "more", cwd=tmp_path).stderr


def test_ppo_on_the_papers_aime_prompts_runs_two_rollout_steps(
    model: Path, shared_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "aime.yaml").write_text(
        f"""\
name: aime
model: {{path: {model}}}
data:
  prompts: {{source: {shared_data}/aime_1983_2023.jsonl}}
reward:
  exploration: {{use: length}}
ppo:
  steps: 2
  rollout_batch: 8
  train_batch: 4
  max_new_tokens: 24
  critic_warmup_steps: 1
  learning_rate: 1e-3
"""
    )
    rlsp("ppo", "aime.yaml", "--out", "run", cwd=tmp_path)
    rows = list(read_rows(tmp_path / "run" / "ppo" / "metrics.jsonl"))
    assert [row["step"] for row in rows] == [0, 1]
    assert all(row["outcome/value"] == 16 for row in rows)
    rollouts = list(read_rows(tmp_path / "run" / "ppo" / "rollouts.jsonl"))
    assert rollouts[0]["prompt"].startswith("user: ") and rollouts[0]["prompt"].endswith(
        "assistant:"
    )
    done = rlsp(
        "eval",
        "run",
        "--bench",
        "aime24",
        "--data",
        shared_data,
        "eval.limit=3",
        "eval.max_new_tokens=8",
        cwd=tmp_path,
    )
    assert "ppo" in done.stdout and "base" not in done.stdout and "eval-aime" in done.stderr
    assert f"model: {tmp_path}/run/ppo/checkpoints/final" in done.stderr


def test_eval_without_a_target_or_bench_says_what_to_type(tmp_path: Path) -> None:
    done = rlsp("eval", "--bench", "aime24", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "no run here" in done.stderr
    done = rlsp("eval", "some-model", cwd=tmp_path, check=False)
    assert done.returncode == 2 and "--bench aime24" in done.stderr
    done = rlsp("eval", "some-org/some-model", "--bench", "aime24", cwd=tmp_path, check=False)
    assert done.returncode == 4 and "--data FILE" in done.stderr


def test_the_system_message_of_a_protocol_is_in_the_prompt_of_the_model(
    model: Path, shared_data: Path, tmp_path: Path
) -> None:
    rlsp(
        "eval", model, "--bench", "aime24", "--data", shared_data, "eval.limit=2", "eval.max_new_tokens=4",
        "eval.protocol=qwen25_math", "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    bench = results(tmp_path / "run")["base"]["benches"]["aime24"]
    assert set(bench) >= {"greedy", "protocol"} and "sample" not in bench
    system = "Please reason step by step, and put your final answer within \\boxed{}."
    assert bench["protocol"]["first_prompt"].startswith(f"system: {system} user: ")
    assert bench["protocol"]["system"] == system and bench["protocol"]["like"] == "qwen25_math"
    assert "max_new_tokens is 4, theirs 2048" in bench["protocol"]["differs"]


def test_any_key_of_a_recipe_can_be_given_to_an_evaluation(tmp_path: Path) -> None:
    changes = ["seed=7", "eval.top_p=0.9", "eval.greedy=false"]
    recipe = evaluation_recipe("org/model", {"benches": ["aime24"]}, [*changes, "eval.samples=2"])
    settings = recipe.eval
    assert settings and (recipe.seed, settings.top_p, settings.greedy, settings.samples) == (
        7,
        0.9,
        False,
        2,
    )
    server = ("eval", "m", "--url", "http://x", "--bench", "aime24")
    done = rlsp(*server, "eval.top=0.9", cwd=tmp_path, check=False)
    assert (
        done.returncode == 3 and 'override #1 (eval.top): unknown key "top" in eval' in done.stderr
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["continuation.use=calculator", "eval.strategies=[search]"], "leave out search, or cont"),
        (["continuation.use=calculator", "eval.url=http://x"], "leave out eval.url, or cont"),
        (
            ["eval.strategies=[search]", "eval.search={scorer: {use: value_mc}}"],
            "reads the reference",
        ),
    ],
)
def test_an_evaluation_refuses_what_check_refuses(changes: list[str], said: str) -> None:
    models = "models={prover: {url: 'http://x/v1'}}"
    with pytest.raises(RecipeError, match=said):
        evaluation_recipe("org/model", {"benches": ["aime24"]}, [models, *changes])


@pytest.mark.parametrize(
    ("option", "key"),
    [
        ("--samples", "samples"),
        ("--max-new-tokens=8", "max_new_tokens"),
        ("--strategy", "strategies"),
    ],
)
def test_a_key_given_as_an_option_is_refused_with_what_to_write(
    option: str, key: str, tmp_path: Path
) -> None:
    done = rlsp("eval", "m", "--bench", "aime24", option, cwd=tmp_path, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"no option {option.partition('=')[0]}; write eval.{key}=VALUE" in done.stderr


def test_keys_alone_are_for_the_newest_run_and_its_other_settings_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forcing = "strategies: [budget_forcing], forcing: {waits: 3, min_tokens: 9}"
    (tmp_path / "tiny.yaml").write_text(TINY.replace("{samples: 2", f"{{samples: 2, {forcing}"))
    rlsp("run", "tiny.yaml", "--dry-run", cwd=tmp_path)
    (run,) = tmp_path.glob("runs/tiny/*")
    (run / "sft" / "checkpoints" / "final").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    settings = evaluation_recipe(None, {"benches": ["heldout"]}, ["eval.forcing.waits=1"]).eval
    assert settings and settings.samples == 2
    assert (settings.forcing.waits, settings.forcing.min_tokens) == (1, 9)


def test_heldout_of_a_folder_that_is_no_run_asks_for_a_run(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="not a run folder, and heldout is a run's own data; name a run"
    ):
        evaluation_recipe(str(tmp_path), {"benches": ["heldout"]})
    own = "data.heldout={source: task:pair_sum, split: test, rows: 4, options: {largest: 12}}"
    assert evaluation_recipe(str(tmp_path), {"benches": ["heldout"]}, [own]).data.heldout
