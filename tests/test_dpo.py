"""Preference training: pairs as tokens, losses by hand, resuming, and what Axolotl is given."""

import json
import math
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rlsp_cli.backends.axolotl.pairs import pair_lines
from rlsp_cli.data import Preference
from rlsp_cli.engine.dpo import Preferences, pair_logp, train_dpo, with_reference
from rlsp_cli.engine.examples import Example
from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.pair_examples import PairExample, pair_examples
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.supervised import measure, train_step
from rlsp_cli.errors import DataError, StoppedError
from rlsp_cli.preflight.data import look_at_data
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.model import FromScratch, Model
from rlsp_cli.recipe.rows import PreferenceRows
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft
from rlsp_cli.runs.paths import StagePaths
from tests.byte_model import byte_tokenizer
from tests.conftest import load_checked, refusal
from tests.test_sft import losses_by_hand, rows_of

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = FromScratch(
    hidden_size=16, intermediate_size=32, num_layers=2, num_heads=2, max_length=32, init_std=0.3
)
WORDS = "ask good bad more other"
PAIRS = [
    PairExample(Example([3, 4, 5, 1], 1), Example([3, 6, 1], 1)),
    PairExample(Example([5, 4, 1], 2), Example([5, 4, 6, 7, 6, 1], 2)),
    PairExample(Example([6, 3, 5, 4, 1], 3), Example([6, 3, 5, 1], 3)),
]
ROWS = [Preference("ask" + " more" * (n % 3), "good" + " more" * (n % 2), "bad") for n in range(12)]


def make_context(folder: Path, **changes: Any) -> tuple[Context, Sft]:
    given = {"batch": 4, "micro_batch": 2, "warmup_ratio": 0.0, "learning_rate": 1e-2, **changes}
    settings = Sft.model_validate({"kind": "dpo", **given})
    data = Data(pairs=PreferenceRows(source="pairs.jsonl"))
    recipe = Recipe(name="x", model=Model(from_scratch=SPEC), data=data, sft=settings)
    model, tokenizer = new_model(SPEC, [WORDS], seed=1)
    return Context(recipe, StagePaths(folder), model, tokenizer, torch.device("cpu")), settings


def shaken(context: Context) -> Context:
    """With other weights than the model of the reference."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for weight in context.model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return context


def logp_by_hand(context: Context, pairs: Sequence[PairExample]) -> list[tuple[float, float]]:
    """Log-probabilities of both responses, from one unpadded sequence at a time."""
    return [
        (-sum(losses_by_hand(context, [one.chosen])), -sum(losses_by_hand(context, [one.rejected])))
        for one in pairs
    ]


def test_the_loss_is_equation_7_of_the_paper(tmp_path: Path) -> None:
    context, settings = make_context(tmp_path, dpo_beta=0.3)
    pairs = with_reference(context, PAIRS, 2)
    before = logp_by_hand(context, PAIRS)
    now = logp_by_hand(shaken(context), PAIRS)

    gained = torch.tensor(now) - torch.tensor(before)
    rewards = [(better, worse) for better, worse in (0.3 * gained).tolist()]
    losses = [math.log1p(math.exp(worse - better)) for better, worse in rewards]
    found = measure(context, settings, Preferences(context, settings.dpo_beta), pairs)

    assert found["loss"] == pytest.approx(sum(losses) / 3, rel=1e-4)
    assert found["accuracy"] == pytest.approx(sum(b > w for b, w in rewards) / 3)
    assert found["reward_chosen"] == pytest.approx(sum(b for b, _ in rewards) / 3, rel=1e-3)
    assert found["reward_rejected"] == pytest.approx(sum(w for _, w in rewards) / 3, rel=1e-3)
    assert len({round(loss, 3) for loss in losses}) == 3


def test_before_the_first_step_a_pair_costs_the_log_of_2(tmp_path: Path) -> None:
    context, settings = make_context(tmp_path)
    pairs = with_reference(context, PAIRS, 3)
    found = measure(context, settings, Preferences(context, settings.dpo_beta), pairs)
    assert found["loss"] == pytest.approx(math.log(2), abs=1e-6)


def test_a_beginning_that_both_responses_share_changes_nothing(tmp_path: Path) -> None:
    context, _ = make_context(tmp_path)
    whole = [PairExample(Example([3, 4, 5, 1], 1), Example([3, 4, 6, 1], 1))]
    after = [PairExample(Example([3, 4, 5, 1], 2), Example([3, 4, 6, 1], 2))]
    gaps = [
        (pair_logp(context, some) @ torch.tensor([1.0, -1.0])).item() for some in (whole, after)
    ]
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-5)


def gradient(folder: Path, micro_batch: int) -> torch.Tensor:
    """All gradients of one step, read from Adam, whose first mean is a tenth of them."""
    context, settings = make_context(folder, grad_clip=1e9, micro_batch=micro_batch)
    context.model.eval()
    pairs = with_reference(context, PAIRS, micro_batch)
    optimiser = Optimiser(shaken(context).model.parameters(), settings, 1e-3, 1)
    train_step(settings, optimiser, Preferences(context, 0.1), pairs)
    states = [optimiser.adamw.state[p]["exp_avg"].flatten() for p in optimiser.parameters]
    return torch.cat(states) * 10


def test_the_gradient_does_not_depend_on_the_micro_batch(tmp_path: Path) -> None:
    whole = gradient(tmp_path, 3)
    assert whole.norm() > 0
    torch.testing.assert_close(gradient(tmp_path, 1), whole, rtol=1e-4, atol=1e-6)


def test_pairs_that_are_long_or_were_cut_off_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context, _ = make_context(tmp_path)
    rows = [
        Preference("ask", "good", "bad"),
        Preference("ask", "good", "bad bad bad"),
        Preference("ask", "good", "<think> bad"),
    ]
    limits = context.recipe.data, context.tokenizer
    (kept,) = pair_examples(rows, *limits, 4)

    words = context.tokenizer.convert_ids_to_tokens(kept.chosen.tokens)
    assert words[:2] == ["ask", "good"] and len(words) == 3 and kept.chosen.start == 1
    said = "sft: 1 pairs; left out: 1 longer than max_length 4, 1 whose thinking does not end"
    assert said in capsys.readouterr().out
    with pytest.raises(DataError, match="no pair has ends to its thinking and at most 2 tokens"):
        pair_examples(rows, *limits, 2)


@pytest.mark.parametrize("lora", [None, {"rank": 4, "alpha": 8, "targets": ["q_proj", "v_proj"]}])
def test_a_resumed_training_is_the_uninterrupted_one_to_the_digit(
    lora: dict[str, Any] | None, tmp_path: Path
) -> None:
    rate = 5e-2 if lora else 1e-2
    options = {"epochs": 10, "val_rows": 4, "val_every": 10, "lora": lora, "learning_rate": rate}
    whole, settings = make_context(tmp_path / "whole", **options)
    train_dpo(whole, settings, ROWS)
    stopped, _ = make_context(tmp_path / "parts", **options)
    stopped.stop.signal = signal.SIGINT  # it leaves after its first step
    with pytest.raises(StoppedError):
        train_dpo(stopped, settings, ROWS)
    resumed, _ = make_context(tmp_path / "parts", **options)
    train_dpo(resumed, settings, ROWS)

    rows = rows_of(whole)
    assert rows_of(resumed) == rows and len(rows) == 20
    assert rows[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert rows[-1]["eval_accuracy"] == 1 and rows[-1]["eval_loss"] < 0.5
    assert rows[-1]["eval_reward_chosen"] > rows[-1]["eval_reward_rejected"]


ASKED = "How many different ways are there to seat two people on one bench with two seats?"
RECIPE = """\
schema_version: 1
name: pairs
model: {from_scratch: {max_length: 64}}
data: {pairs: {source: pairs.jsonl}}
sft: {kind: dpo, batch: 2, micro_batch: 2, max_length: 64}
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    row = {"prompt": ASKED, "chosen": "2", "rejected": "3", "answer": "2"}
    (tmp_path / "pairs.jsonl").write_text((json.dumps(row) + "\n") * 4)
    path = tmp_path / "pairs.yaml"
    path.write_text(RECIPE)
    return path


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("data.pairs=null", "sft.kind: dpo needs data.pairs"),
        ("sft.mask_input=0.4", "mask_input is for traces"),
        ("sft.kind=sft sft.dpo_beta=0.2", "dpo_beta is for pairs"),
        ("sft.backend=axolotl sft.axolotl.packing=true", "packs no pairs"),
        ("sft.backend=axolotl sft.axolotl.kernels=[liger]", "pairs have another one"),
    ],
)
def test_what_pairs_cannot_have_is_refused(recipe_file: Path, change: str, words: str) -> None:
    refusal(recipe_file, change.split(), words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("data.pairs.chosen=better", "no column 'better'"),
        ("sft.val_rows=4", "there are 4 pairs; keep fewer out"),
    ],
)
def test_rows_are_looked_at_before_training(recipe_file: Path, change: str, words: str) -> None:
    (issue,) = look_at_data(load_checked(recipe_file, change), ["sft"], ask_hub=False)
    assert issue.path == "data.pairs.source" and words in issue.message


def test_pairs_with_problems_of_a_bench_are_refused(recipe_file: Path, tmp_path: Path) -> None:
    problem = {"problem": ASKED, "answer": "2"}
    (tmp_path / "heldout.jsonl").write_text(json.dumps(problem) + "\n")
    heldout = f"data.heldout={{source: {tmp_path}/heldout.jsonl}}"
    changes = [heldout, "eval={benches: [heldout]}"]
    refusal(recipe_file, changes, "data.pairs: 4 of 4 problems are in the bench heldout")


def test_axolotl_is_told_what_it_trains(recipe_file: Path) -> None:
    from tests.test_axolotl import config

    found = config(load_checked(recipe_file, "sft.backend=axolotl", "sft.dpo_beta=0.2"))
    assert (found["rl"], found["rl_beta"]) == ("dpo", 0.2)
    (train,) = found["datasets"]
    assert (
        train["type"]["field_chosen"] == "chosen" and train["type"]["prompt_format"] == "{prompt}"
    )


def test_axolotl_gets_no_pair_whose_tokens_would_be_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = byte_tokenizer()
    recipe = make_context(tmp_path)[0].recipe
    tokenizer.add_tokens(["ab"])  # a token across the border of prompt and response
    pairs = [Preference("x", "b", "c"), Preference("a", "b", "c")]

    (line,) = pair_lines(pairs, recipe, tokenizer)
    end = tokenizer.eos_token
    assert json.loads(line) == {"prompt": "x", "chosen": f"b{end}", "rejected": f"c{end}"}
    assert "left out: 1 that Axolotl would tokenise otherwise" in capsys.readouterr().out
    with pytest.raises(DataError, match="none of 1 pairs is left: 1 would be tokenised otherwise"):
        pair_lines(pairs[1:], recipe, tokenizer)
