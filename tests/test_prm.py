"""Training a process reward model: labelled steps as tokens, losses by hand, resuming, what is saved."""

import json
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForTokenClassification, LlamaConfig

from rlsp_cli.backends.axolotl.process_reward import hard_labels
from rlsp_cli.data import LabelledSteps, step_rows
from rlsp_cli.engine.classifier import refuse_other_classes
from rlsp_cli.engine.model import STEP_CLASSES, load_tokenizer, new_model
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.prm import StepLabels, train_prm
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.step_examples import StepExample, encode_steps, step_examples
from rlsp_cli.engine.supervised import measure, train_step
from rlsp_cli.errors import DataError, NotReadyError, StoppedError
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.model import FromScratch, Model
from rlsp_cli.recipe.rows import StepRows
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import StagePaths
from tests.byte_model import byte_tokenizer
from tests.conftest import ROOT, load_checked, refusal, rlsp
from tests.test_sft import rows_of

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = FromScratch(
    hidden_size=16, intermediate_size=32, num_layers=2, num_heads=2, max_length=32, init_std=0.3
)
WORDS = "ask good bad more"
EXAMPLES = [
    StepExample([3, 4, 5, 6, 3], [1, 4], [1.0, 0.25]),
    StepExample([5, 4], [1], [0.0]),
    StepExample([6, 3, 5, 4, 5, 6, 4], [2, 3, 6], [1.0, 1.0, 0.75]),
]
STEPS = StepRows(source="steps.jsonl")
ROWS = [
    LabelledSteps(
        "ask", ("good more",) * (n % 3 + 1) + ("bad more",), (1.0,) * (n % 3 + 1) + (0.0,)
    )
    for n in range(12)
]


def make_context(folder: Path, **changes: Any) -> tuple[Context, Sft]:
    given = {"batch": 4, "micro_batch": 2, "warmup_ratio": 0.0, "learning_rate": 1e-2, **changes}
    settings = Sft.model_validate({"kind": "prm", **given})
    recipe = Recipe(name="x", model=Model(from_scratch=SPEC), data=Data(steps=STEPS), sft=settings)
    model, tokenizer = new_model(SPEC, [WORDS], seed=1, head="steps")
    return Context(recipe, StagePaths(folder), model, tokenizer, torch.device("cpu")), settings


@torch.no_grad()
def right_by_hand(context: Context, examples: Sequence[StepExample]) -> list[float]:
    """The probability of "right" at each labelled step, from one unpadded sequence at a time."""
    found = []
    for example in examples:
        probabilities = context.model(torch.tensor([example.tokens])).logits[0].softmax(-1)
        found += probabilities[example.ends, 1].tolist()
    return found


def test_the_loss_is_the_cross_entropy_against_the_labels_hard_or_soft(tmp_path: Path) -> None:
    context, settings = make_context(tmp_path)
    context.model.eval()
    p = torch.tensor(right_by_hand(context, EXAMPLES))
    y = torch.tensor([1.0, 0.25, 0.0, 1.0, 1.0, 0.75])
    by_hand = -(y * p.log() + (1 - y) * (1 - p).log()).mean()

    found = measure(context, settings, StepLabels(context), EXAMPLES)
    assert found["loss"] == pytest.approx(float(by_hand), rel=1e-5)
    agreed = [(a > 0.5) == (b > 0.5) for a, b in zip(p.tolist(), y.tolist(), strict=True)]
    assert found["accuracy"] == pytest.approx(sum(agreed) / 6)


def test_f1_is_that_of_the_wrong_steps(tmp_path: Path) -> None:
    objective = StepLabels(make_context(tmp_path)[0])
    sums = {"loss": 3.0, "agreed": 5.0, "found": 2.0, "named": 2.0 + 3.0}
    assert objective.metrics(sums, 10) == {"loss": 0.3, "accuracy": 0.5, "f1_wrong": 0.8}
    nothing_wrong = {"loss": 3.0, "agreed": 10.0, "found": 0.0, "named": 0.0}
    assert objective.metrics(nothing_wrong, 10) == {"loss": 0.3, "accuracy": 1.0}


def gradient(folder: Path, micro_batch: int) -> torch.Tensor:
    """All gradients of one step, read from Adam, whose first mean is a tenth of them."""
    context, settings = make_context(folder, grad_clip=1e9, micro_batch=micro_batch)
    context.model.eval()  # dropout would draw by micro-batch
    optimiser = Optimiser(context.model.parameters(), settings, 1e-3, 1)
    train_step(settings, optimiser, StepLabels(context), EXAMPLES)
    states = [optimiser.adamw.state[p]["exp_avg"].flatten() for p in optimiser.parameters]
    return torch.cat(states) * 10


def test_the_gradient_does_not_depend_on_the_micro_batch(tmp_path: Path) -> None:
    whole = gradient(tmp_path, 3)
    assert whole.norm() > 0
    torch.testing.assert_close(gradient(tmp_path, 1), whole)


def test_prompt_steps_and_separators_are_tokenised_apart() -> None:
    tokenizer = byte_tokenizer()
    row = LabelledSteps("Q", ("ab", "c"), (1.0, None))
    (example,) = encode_steps([row], "\n", tokenizer)
    assert tokenizer.convert_ids_to_tokens(example.tokens) == ["Q", "a", "b", "Ċ", "c", "Ċ"]
    assert example.ends == [3] and example.labels == [1.0]


def test_a_separator_without_tokens_leaves_the_label_on_the_steps_last_token(
    tmp_path: Path,
) -> None:
    context, _ = make_context(tmp_path)
    (example,) = encode_steps(ROWS[:1], "\n", context.tokenizer)
    words = context.tokenizer.convert_ids_to_tokens(example.tokens)
    assert words == ["ask", "good", "more", "bad", "more"] and example.ends == [2, 4]


def test_long_and_unlabelled_responses_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context, _ = make_context(tmp_path)
    rows = [*ROWS[:3], LabelledSteps("ask", ("good",), (None,))]
    assert len(step_examples(rows, "\n", context.tokenizer, 7)) == 2
    said = "sft: 2 responses with labelled steps; left out: 1 longer than max_length 7, 1 without"
    assert said in capsys.readouterr().out
    with pytest.raises(DataError, match="no response has a label and at most 4 tokens"):
        step_examples(rows, "\n", context.tokenizer, 4)
    with pytest.raises(DataError, match=r"row 7: the tokenizer makes no token of step 1"):
        encode_steps([LabelledSteps("ask", ("good", " "), (1, 1), "row 7")], "", context.tokenizer)


@pytest.mark.parametrize("lora", [None, {"rank": 4, "alpha": 8, "targets": ["q_proj"]}])
def test_a_resumed_training_is_the_uninterrupted_one_and_its_model_is_saved(
    lora: dict[str, Any] | None, tmp_path: Path
) -> None:
    rate = 5e-2 if lora else 1e-2
    options = {"epochs": 20, "val_rows": 2, "val_every": 10, "lora": lora, "learning_rate": rate}
    whole, settings = make_context(tmp_path / "whole", **options)
    train_prm(whole, settings, STEPS, ROWS)
    stopped, _ = make_context(tmp_path / "parts", **options)
    stopped.stop.signal = signal.SIGINT  # it leaves after its first step
    with pytest.raises(StoppedError):
        train_prm(stopped, settings, STEPS, ROWS)
    resumed, _ = make_context(tmp_path / "parts", **options)
    train_prm(resumed, settings, STEPS, ROWS)

    rows = rows_of(whole)
    assert rows_of(resumed) == rows and len(rows) == 50
    assert rows[-1]["eval_accuracy"] == rows[-1]["eval_f1_wrong"] == 1
    assert rows[-1]["eval_loss"] < 0.3 < rows[0]["loss"]

    saved = AutoModelForTokenClassification.from_pretrained(resumed.paths.final)
    assert saved.config.id2label == {0: "wrong", 1: "right"}
    tokens = torch.tensor([EXAMPLES[0].tokens])
    expected = resumed.model.eval()(tokens).logits
    torch.testing.assert_close(saved(tokens).logits, expected, rtol=1e-4, atol=1e-5)


def test_some_rows_are_left_to_train_on(tmp_path: Path) -> None:
    context, settings = make_context(tmp_path, val_rows=12)
    with pytest.raises(DataError, match="there are 12 responses; keep fewer out"):
        train_prm(context, settings, STEPS, ROWS)


def test_planted_errors_are_the_steps_that_are_wrong() -> None:
    recipe = load_recipe(
        ROOT / "recipes" / "process" / "pair_sum_prm.yaml", plugins=resolve_options
    )
    assert recipe.data.steps
    rows = list(step_rows(recipe.data.steps.model_copy(update={"rows": 300})))

    def is_wrong(step: str) -> bool:
        found = re.match(r"(\d+) \+ (\d+) = (\d+), (\d+) wanted: (?:too )?(\w+)\.", step)
        a, b, total, wanted = map(int, found.groups()[:4]) if found else (0, 0, 0, 0)
        said = found[5] if found else "correct"
        return (
            a + b != total
            or ("low", "correct", "high")[(total >= wanted) + (total > wanted)] != said
        )

    for row in rows:
        wrong = [number for number, step in enumerate(row.steps) if is_wrong(step)]
        labelled = [label for label in row.labels if label is not None]
        assert labelled == [1.0] * len(labelled) if not wrong else labelled[-1] == 0
        assert wrong == ([len(labelled) - 1] if wrong else [])
    assert 100 < sum(0 in row.labels for row in rows) < 200


def written(folder: Path, *rows: dict[str, Any]) -> StepRows:
    path = folder / "steps.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return StepRows(source=str(path))


def test_labels_are_true_false_a_share_or_none(tmp_path: Path) -> None:
    labels = [True, False, 0.25, None, -100]
    source = written(tmp_path, {"prompt": "Q", "completions": list("abcde"), "labels": labels})
    (row,) = step_rows(source)
    assert row.steps == tuple("abcde") and row.labels == (1.0, 0.0, 0.25, None, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": [True]}, "1 labels for 2 steps"),
        ({"labels": [True, 1.5]}, "column 'labels' holds 1.5, expected true, false, or 0 to 1"),
        ({"labels": [True, "+"]}, r"column 'labels' holds '\+'"),
        ({"labels": "++"}, "column 'labels' holds str, expected a list"),
        ({"completions": [], "labels": []}, "column 'completions' holds list, .* not empty"),
        ({"completions": ["a", " "]}, "column 'completions' holds ' ', expected texts of steps"),
        ({"prompt": ""}, "column 'prompt' is empty"),
    ],
)
def test_a_row_that_is_no_response_with_labels_is_named(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    good = {"prompt": "Q", "completions": ["a", "b"], "labels": [True, False]}
    with pytest.raises(DataError, match=f"steps.jsonl:2: {words}"):
        list(step_rows(written(tmp_path, good, good | changes)))


RECIPE = """\
schema_version: 1
name: prm
model: {from_scratch: {max_length: 64}}
data: {steps: {source: steps.jsonl}}
sft: {kind: prm, batch: 2, micro_batch: 2, max_length: 64}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    written(tmp_path, *[{"prompt": "Q", "completions": ["a", "b"], "labels": [1, 0]}] * 4)
    path = tmp_path / "prm.yaml"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("data.steps=null", "sft.kind: prm needs data.steps"),
        ("eval={benches: [gsm8k]}", "trains a scorer, which answers nothing"),
        ("sft.mask_input=0.4", "mask_input is for traces"),
    ],
)
def test_what_a_process_reward_model_cannot_have_is_refused(
    recipe_file: Path, change: str, words: str
) -> None:
    assert words in refusal(recipe_file, [change], words)


def test_axolotl_is_told_what_it_trains(recipe_file: Path) -> None:
    from tests.test_axolotl import config

    found = config(load_checked(recipe_file, "sft.backend=axolotl", "sft.val_rows=2"))
    assert found["process_reward_model"] is True and found["num_labels"] == 2
    (train,) = found["datasets"]
    assert train["type"] == "stepwise_supervised" and train["step_separator"] == "\n"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("sft.lora={rank: 2}", "adapters leave out the new head"),
        ("sft.axolotl.packing=true", "packs no rows of labelled steps"),
    ],
)
def test_axolotl_is_asked_for_nothing_that_it_cannot(
    recipe_file: Path, change: str, words: str
) -> None:
    refusal(recipe_file, ["sft.backend=axolotl", change], words)


def test_soft_labels_are_refused_before_axolotl_rounds_them(
    recipe_file: Path, tmp_path: Path
) -> None:
    written(tmp_path, {"prompt": "Q", "completions": ["a"], "labels": [0.5]})
    assert load_checked(recipe_file).trains_prm
    words = "the label 0.5 is soft, and Axolotl trains on true and false alone"
    refusal(recipe_file, ["sft.backend=axolotl"], words)
    with pytest.raises(DataError, match=words):
        hard_labels(LabelledSteps("Q", ("a",), (0.5,)))
    assert hard_labels(LabelledSteps("Q", ("a", "b", "c"), (1.0, None, 0.0))) == [1, -100, 0]


def test_a_model_with_other_classes_is_refused_by_their_number(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = LlamaConfig(vocab_size=8, num_attention_heads=2, num_labels=3, **sizes)
    AutoModelForTokenClassification.from_config(config).save_pretrained(tmp_path)
    refuse_other_classes(str(tmp_path), ("a", "b", "c"))
    with pytest.raises(NotReadyError, match="has 3 classes of tokens, expected 2: wrong, right"):
        refuse_other_classes(str(tmp_path), STEP_CLASSES)


@pytest.mark.integration
def test_the_trained_model_is_a_scorer_that_says_what_training_said(tmp_path: Path) -> None:
    steps = "{source: task:pair_sum, rows: 64, options: {largest: 12}, row: {use: planted_errors}}"
    short = ("sft.max_steps=3", "sft.batch=8", "sft.micro_batch=8", "sft.val_rows=8")
    rlsp("sft", "process/pair_sum_prm", f"data.steps={steps}", *short, "--out", tmp_path / "run")

    final = tmp_path / "run" / "sft" / "checkpoints" / "final"
    (tmp_path / "use.yaml").write_text(f"name: use\nmodels: {{prm: {{path: {final}}}}}\n")
    row = LabelledSteps("Which two of 1, 2 add up to 3?", ("Start with 1.", "1 + 2 = 3"), (1, 1))
    sample = {"id": "a", "prompt": row.prompt, "response": " ".join(row.steps)}
    (tmp_path / "samples.jsonl").write_text(json.dumps(sample) + "\n")
    asked = ("--step-scorer", "prm", "steps.by=sentences", "--samples", "samples.jsonl", "--json")
    done = rlsp("reward", "try", "use.yaml", *asked, cwd=tmp_path)

    model = AutoModelForTokenClassification.from_pretrained(final).eval()
    (example,) = encode_steps([row], "\n", load_tokenizer(str(final)))
    logits = model(torch.tensor([example.tokens])).logits[0, example.ends]
    (found,) = json.loads(done.stdout)["data"]
    assert found["scores"] == pytest.approx(logits.softmax(-1)[:, 1].tolist(), abs=1e-5)
