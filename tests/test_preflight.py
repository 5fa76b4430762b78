"""Before a run starts: what its data, model and rewards would stop it with, and what would spoil it quietly."""

import json
from pathlib import Path

import pytest

from rlsp_cli.backends import stages_of
from rlsp_cli.errors import RecipeError
from rlsp_cli.preflight import inspect_recipe, read_recipe
from tests.conftest import TINY, rlsp

pytestmark = pytest.mark.integration  # rewards are tried in processes of their own

FILES = """\
schema_version: 1
name: files
model:
  from_scratch: {hidden_size: 32, num_layers: 1, num_heads: 2, intermediate_size: 64, max_length: 96}
data:
  traces: {source: traces.jsonl}
  prompts: {source: prompts.jsonl}
  heldout: {source: heldout.jsonl}
reward:
  correctness: {use: exact_match}
sft: {batch: 2}
ppo: {steps: 8, rollout_batch: 8, train_batch: 8, max_new_tokens: 16}
eval: {samples: 1, max_new_tokens: 16}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a recipe and its three files."""
    (tmp_path / "r.yaml").write_text(FILES)
    for number, name in enumerate(("traces", "prompts", "heldout")):
        rows = [
            {
                "problem": f"What is {number}{n} + {n}, in {name}?",
                "solution": "So \\boxed{1}.",
                "answer": str(n),
            }
            for n in range(1, 5)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def inspect(folder: Path, *overrides: str) -> list[str]:
    recipe, path = read_recipe(str(folder / "r.yaml"), overrides)
    return inspect_recipe(recipe, path, stages_of(recipe))


def problems(folder: Path, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        inspect(folder, *overrides)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def notes(folder: Path, *overrides: str) -> list[str]:
    return [line.replace(f"{folder}/", "") for line in inspect(folder, *overrides)]


def test_a_recipe_whose_files_are_there_is_passed_without_a_word(folder: Path) -> None:
    assert notes(folder) == []


def test_every_source_that_is_missing_is_named_at_once_with_its_place(folder: Path) -> None:
    for name in ("traces", "prompts", "heldout"):
        (folder / f"{name}.jsonl").unlink()
    assert problems(folder) == [
        f"r.yaml:{line}:{column}: data.{name}: {name}.jsonl: no such file"
        for line, column, name in ((6, 12, "traces"), (7, 13, "prompts"), (8, 13, "heldout"))
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"question": "1+1", "answer": "2"}\n',
            "no column 'problem'; its columns: question, answer - name it in data.",
        ),
        ('{"problem": "1+1", "answer": "2"}\n{"problem": \n', "prompts.jsonl:2:"),
        ('{"problem": null, "answer": "2"}\n', "column 'problem' is empty"),
        ('{"problem": ["1+1"], "answer": "2"}\n', "column 'problem' holds list"),
        ('["1+1", "2"]\n', "expected an object, found list"),
        ("", "no rows in this data set"),
    ],
)
def test_rows_that_ppo_could_not_use_are_found_before_sft(
    folder: Path, text: str, words: str
) -> None:
    (folder / "prompts.jsonl").write_text(text)
    (found,) = problems(folder)
    assert found.startswith("r.yaml:7:13: data.prompts: ") and words in found


def test_hints_that_no_problem_has_are_found_before_sft(folder: Path) -> None:
    (found,) = problems(folder, "ppo.hints={}")
    assert "no problem of data.prompts has a hint in its column 'hint'" in found
    assert notes(folder, "ppo.hints={column: solution}") == []


def test_the_last_row_of_a_file_is_looked_at_like_the_first(folder: Path) -> None:
    whole = '{"problem": "1+1", "solution": "2"}\n' * 3000
    (folder / "traces.jsonl").write_text(whole + '{"problem": "1+1"}\n')
    assert "traces.jsonl:3001: no column 'solution'" in problems(folder)[0]


def test_a_data_set_of_the_hub_without_its_prefix_is_told_how_to_write_it(folder: Path) -> None:
    (found,) = problems(folder, "data.prompts.source=openai/gsm8k")
    assert "a data set on the hub is written hf:openai/gsm8k" in found


def test_what_is_on_the_hub_is_noted_and_not_asked_for(folder: Path) -> None:
    found = notes(
        folder,
        "data.prompts.source=hf:none/such",
        "model.from_scratch=null",
        "model.path=none/such",
    )
    assert len(found) == 2 and all("was not looked at" in line for line in found)


def test_a_model_that_nothing_asks_is_noted(folder: Path) -> None:
    (found,) = notes(folder, "models={judge: {path: some/model}}")
    assert found.endswith("note: nothing in this recipe asks it, so that no run loads it")


def test_a_model_that_plugins_ask_must_be_there(folder: Path) -> None:
    use = "reward.exploration={use: prm, model: judge, steps: {}}"
    with pytest.raises(RecipeError, match=r"models\.judge\.path: \S+nowhere: no such folder"):
        notes(folder, "models={judge: {path: ./nowhere}}", use)


def test_only_what_the_stages_read_is_looked_at(folder: Path) -> None:
    (folder / "traces.jsonl").unlink()
    inspect_recipe(*read_recipe(str(folder / "r.yaml"), []), ["ppo", "eval"])


def test_a_bench_whose_data_is_missing_is_found_before_training(folder: Path) -> None:
    (found,) = problems(folder, "eval.benches=[aime24]", f"eval.data={folder}")
    assert "bench aime24" in found and "aime24.jsonl does not exist" in found


def test_heldout_problems_of_one_id_are_found_before_training(folder: Path) -> None:
    row = '{"id": "7", "problem": "1+1", "answer": "2"}\n'
    (folder / "heldout.jsonl").write_text(row * 2)
    (found,) = problems(folder)
    assert found.startswith("r.yaml:8:13: data.heldout: ") and "2 problems have the id '7'" in found


def test_an_evaluation_of_nothing_is_refused(folder: Path) -> None:
    assert "nothing to evaluate on" in problems(folder, "eval.benches=[]")[0]


def test_responses_that_are_not_there_are_found(folder: Path) -> None:
    assert "none.jsonl: no such file" in problems(folder, "eval.responses=./none.jsonl")[0]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no config.json"),
        (
            {"config__json": "{", "model__safetensors": "", "tokenizer__json": ""},
            "config.json cannot be read",
        ),
        (
            {"config__json": "{}", "model__safetensors": "", "tokenizer__json": ""},
            "names no model_type",
        ),
        ({"config__json": '{"model_type": "x"}', "tokenizer__json": ""}, "no weights"),
        ({"config__json": '{"model_type": "x"}', "model__safetensors": ""}, "no tokenizer"),
    ],
)
def test_a_model_folder_that_lacks_something_is_named(
    folder: Path, files: dict[str, str], words: str
) -> None:
    path = folder / "model"
    path.mkdir()
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    (found,) = problems(folder, "model.from_scratch=null", f"model.path={path}")
    assert words in found


def test_a_model_that_is_a_file_or_nowhere_is_told(folder: Path) -> None:
    for path, words in (
        ("./prompts.jsonl", "is a file, expected a folder"),
        ("./none", "no such folder"),
    ):
        (found,) = problems(folder, "model.from_scratch=null", f"model.path={folder / path}")
        assert words in found


def test_a_gguf_file_is_looked_into_and_kept_from_backends_that_read_none(folder: Path) -> None:
    (folder / "m.gguf").write_bytes(b"GGUF" + bytes(100))
    (folder / "other.gguf").write_bytes(b"PK")
    model = "model.from_scratch=null"
    wrong = problems(folder, model, f"model.path={folder}/other.gguf")
    assert any("other.gguf does not begin as a GGUF file does" in line for line in wrong)
    gone = problems(folder, model, f"model.path={folder}/none.gguf")
    assert any("none.gguf: No such file or directory" in line for line in gone)
    axolotl = problems(folder, model, f"model.path={folder}/m.gguf", "sft.backend=axolotl")
    assert any("axolotl is given models in the Hugging Face layout" in line for line in axolotl)
    served = problems(
        folder, model, f"model.path={folder}/m.gguf", "sft=null", "ppo=null", "eval.serve=true"
    )
    assert any("vLLM is given models in the Hugging Face layout" in line for line in served)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model.from_scratch.num_heads=3", "num_heads 3 does not divide hidden_size 32 - try 2"),
        ("model.from_scratch.num_heads=32", "a head would have 1 numbers"),
        ("model.from_scratch.model_type=lama", 'did you mean "llama"?'),
        ("model.chat_template=./none.jinja", "none.jinja: no such file"),
        ("ppo.max_new_tokens=96", "do not fit the model's 96 positions"),
        ("eval.max_new_tokens=null", "max_new_tokens 8192 do not fit the model's 96 positions"),
        ("sft.val_rows=4", "there are 4 traces"),
    ],
)
def test_sizes_that_no_stage_could_work_with_are_told(
    folder: Path, change: str, words: str
) -> None:
    assert words in "\n".join(problems(folder, change))


PLUGIN = """
from rlsp_cli.rewards import Sample, exploration_reward, verifier

@exploration_reward
def mine(sample: Sample, *, key: str = "level") -> float:
    return float(sample.metadata[key])

@verifier
def judge(sample: Sample) -> bool:
    return sample.response == sample.reference
"""


def test_a_plugin_that_breaks_on_the_first_row_is_told_with_its_line(folder: Path) -> None:
    (folder / "mine.py").write_text(PLUGIN)
    (found,) = problems(folder, f"reward.exploration={{use: '{folder}/mine.py:mine'}}")
    assert "mine breaks on the first row (id 0): KeyError: 'level' (mine.py:6)" in found


def test_a_verifier_that_does_not_take_the_reference_itself_is_noted(folder: Path) -> None:
    (folder / "mine.py").write_text(PLUGIN)
    (found,) = notes(folder, f"reward.correctness={{use: '{folder}/mine.py:judge'}}")
    assert "judge calls wrong the reference of the first row" in found
    assert "fine where a reference is not an answer, such as tests, a schema or a query" in found


def test_a_reward_that_asks_a_server_is_not_tried(folder: Path) -> None:
    judge = "{use: llm_judge, base_url: 'http://127.0.0.1:9/v1', model: m}"
    assert "asks a model and was not tried" in notes(folder, f"reward.exploration={judge}")[0]


def test_a_length_reward_that_is_at_its_floor_for_every_response_is_noted(folder: Path) -> None:
    (found,) = notes(folder, "reward.exploration={use: length, scale: 100}")
    assert "length is -1.0 for every response of at most 16 tokens - lower its scale, 100" in found
    assert notes(folder, "reward.exploration={use: length, scale: 10}") == []


def test_ppo_that_trains_its_critic_alone_is_noted(folder: Path) -> None:
    (found,) = notes(folder, "ppo.steps=4")
    assert "the policy is not trained: each of the 4 PPO steps trains the critic alone" in found
    assert notes(folder, "ppo.steps=5") == []
    assert notes(folder, "ppo.steps=4", "ppo.estimator=reinforce") == []
    (found,) = notes(folder, "ppo.steps=null", "ppo.episodes=2")
    assert "each of the 1 PPO steps" in found


def test_steps_of_sft_that_the_epochs_do_not_hold_are_noted(folder: Path) -> None:
    (found,) = notes(folder, "sft.max_steps=9", "sft.epochs=2")
    assert (
        "sft takes 4 steps, not 9: epochs is 2, and there are 4 rows of traces - raise sft.epochs"
        in found
    )
    assert notes(folder, "sft.max_steps=4", "sft.epochs=2") == []


def test_ppo_without_a_reward_of_its_own_is_noted(folder: Path) -> None:
    text = FILES.replace("reward:\n  correctness: {use: exact_match}\n", "")
    (folder / "r.yaml").write_text(text)
    (found,) = notes(folder)
    assert found.startswith("r.yaml:10:1: note: no reward is given: math_verify judges")


def test_a_run_is_refused_before_its_folder_is_made(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(TINY)
    done = rlsp(
        "run", "r.yaml", "data.prompts.problem=question", "--out", "out", cwd=tmp_path, check=False
    )
    assert done.returncode == 3 and "no column 'question'" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_task_that_raises_is_told_with_its_row(folder: Path) -> None:
    code = "@task\ndef mine(index: int, split: str) -> dict:\n    return {}[index]\n"
    (folder / "tasks.py").write_text(f"from rlsp_cli.rewards import task\n\n\n{code}")
    (found,) = problems(folder, f"data.prompts={{source: 'task:{folder}/tasks.py:mine'}}")
    assert "mine train:0: the task makes no row: KeyError: 0" in found


def test_a_hub_that_cannot_be_reached_is_told_at_once_and_what_to_do(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"):
            patch.delenv(name, raising=False)
        patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        done = rlsp("eval", "none/such", "--bench", "aime24", cwd=tmp_path, check=False)
    assert done.returncode == 4 and len(done.stderr.splitlines()) == 1
    assert (
        "none/such is neither a folder here nor in the hub's cache, and the hub (127.0.0.1) cannot"
        in done.stderr
    )
    assert "--data FILE" in done.stderr and not (tmp_path / "runs").exists()


AHEAD = """
from collections.abc import Sequence
from rlsp_cli.rewards import Sample, step_scorer

@step_scorer
def fewer(sample: Sample, steps: Sequence[str]) -> list[float | None]:
    return [1 / len(steps)] * len(steps)
"""


def test_a_step_scorer_that_looks_ahead_is_refused_before_training(folder: Path) -> None:
    (folder / "ahead.py").write_text(AHEAD)
    use = f"reward.exploration={{use: '{folder}/ahead.py:fewer', steps: {{by: tag}}}}"
    with pytest.raises(RecipeError, match=r"the score of step 0 was .* when later steps were"):
        notes(folder, use, "reward.exploration.on_abstain={penalise: 0}")


def test_a_sum_of_steps_without_a_bound_is_noted(folder: Path) -> None:
    use = "reward.exploration={use: code_steps, on_abstain: {penalise: 0}, steps: {dense: true%s}}"
    assert not [note for note in notes(folder, use % "") if "every further step" in note]
    (note,) = [one for one in notes(folder, use % ", refine: []") if "every further step" in one]
    assert "(reward.exploration): note: code_steps pays" in note and "[clip, delta]" in note
