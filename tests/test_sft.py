"""Supervised fine-tuning in this process, on a model of two layers: losses by hand, gradients, schedule, resuming."""

import signal
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rlsp_cli.data import Trace
from rlsp_cli.engine.examples import Example, fitting_examples, tokenised
from rlsp_cli.engine.model import new_model
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.sft import Imitation, train_sft
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.supervised import Objective, measure, num_steps, train_step
from rlsp_cli.errors import DataError, StoppedError
from rlsp_cli.recipe.data import Data, TraceSource
from rlsp_cli.recipe.model import FromScratch, Model
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft
from rlsp_cli.runs.paths import StagePaths
from rlsp_cli.runs.stream import read_rows

pytestmark = pytest.mark.usefixtures("one_thread")

SPEC = FromScratch(
    hidden_size=16, intermediate_size=32, num_layers=2, num_heads=2, max_length=32, init_std=0.3
)
WORDS = "a b c d e f g h i j k l"
EXAMPLES = [Example([3, 4, 5, 6, 1], 2), Example([7, 1], 1), Example([3, 8, 9, 10, 11, 4, 1], 4)]
TRACES = [Trace(WORDS[: 2 * n + 1], WORDS[2 * n :]) for n in range(1, 11)]


def make_context(
    folder: Path, seed: int = 0, spec: FromScratch = SPEC, **changes: Any
) -> tuple[Context, Sft]:
    settings = Sft(
        **{"batch": 4, "micro_batch": 2, "warmup_ratio": 0.0, "learning_rate": 1e-2, **changes}
    )
    data = Data(template="{problem}", traces=TraceSource(source="task:pair_sum"))
    start = Model(from_scratch=spec)
    recipe = Recipe(name="x", seed=seed, model=start, data=data, sft=settings)
    model, tokenizer = new_model(spec, [WORDS], seed=1)
    return Context(recipe, StagePaths(folder), model, tokenizer, torch.device("cpu")), settings


def encode_examples(traces: Sequence[Trace], context: Context, max_length: int) -> list[Example]:
    """The examples that training takes from these traces."""
    store = tokenised(traces, context.recipe.data, context.tokenizer)
    return list(fitting_examples(store, range(len(store)), max_length))


@torch.no_grad()
def losses_by_hand(context: Context, examples: Sequence[Example]) -> list[float]:
    """Cross-entropy of every response token, from one unpadded sequence at a time."""
    found = []
    for example in examples:
        logp = context.model(torch.tensor([example.tokens])).logits[0].log_softmax(-1)
        found += [
            -float(logp[t - 1, example.tokens[t]])
            for t in range(example.start, len(example.tokens))
        ]
    return found


def gradient(folder: Path, examples: Sequence[Example], **changes: Any) -> torch.Tensor:
    """All gradients of one step, one after another; read from Adam, whose first mean is a tenth of them."""
    context, settings = make_context(folder, grad_clip=1e9, **changes)
    optimiser = Optimiser(context.model.parameters(), settings, 1e-3, 1)
    train_step(settings, optimiser, Imitation(context), examples)
    states = [optimiser.adamw.state[p]["exp_avg"].flatten() for p in optimiser.parameters]
    return torch.cat(states) * 10


def validation_loss(context: Context, settings: Sft, examples: Sequence[Example]) -> float:
    """Mean cross-entropy over all response tokens of the examples."""
    return measure(context, settings, Imitation(context), examples)["loss"]


def rows_of(context: Context) -> list[dict[str, Any]]:
    """The metrics of a run, without the clock."""
    rows = read_rows(context.paths.metrics)
    return [
        {key: value for key, value in row.items() if not key.startswith("time/")} for row in rows
    ]


def test_the_loss_is_the_mean_over_all_response_tokens_of_a_batch(tmp_path: Path) -> None:
    context, settings = make_context(tmp_path)
    by_hand = losses_by_hand(context, EXAMPLES)
    assert len(by_hand) == 3 + 1 + 3
    assert validation_loss(context, settings, EXAMPLES) == pytest.approx(sum(by_hand) / 7, rel=1e-5)
    optimiser = Optimiser(context.model.parameters(), settings, 1e-3, 1)
    step = train_step(settings, optimiser, Imitation(context), EXAMPLES)
    assert step["loss"] == pytest.approx(sum(by_hand) / 7, rel=1e-5)
    assert step["tokens"] == 14


def test_gradients_depend_on_neither_the_micro_batch_nor_copies_of_the_batch(
    tmp_path: Path,
) -> None:
    whole = gradient(tmp_path, EXAMPLES, micro_batch=3)
    assert whole.norm() > 0
    for size in (1, 2):
        torch.testing.assert_close(gradient(tmp_path, EXAMPLES, micro_batch=size), whole)
    torch.testing.assert_close(gradient(tmp_path, EXAMPLES * 2, micro_batch=4), whole)


def test_the_gradient_is_that_of_the_loss_by_hand(tmp_path: Path) -> None:
    context, _ = make_context(tmp_path)
    loss = torch.zeros(())
    for example in EXAMPLES:
        logp = context.model(torch.tensor([example.tokens])).logits[0].log_softmax(-1)
        loss = loss - sum(
            logp[t - 1, example.tokens[t]] for t in range(example.start, len(example.tokens))
        )
    (loss / 7).backward()
    by_hand = torch.cat(
        [p.grad.flatten() for p in context.model.parameters() if p.grad is not None]
    )
    torch.testing.assert_close(gradient(tmp_path, EXAMPLES), by_hand)


def test_measuring_the_validation_loss_changes_nothing(tmp_path: Path) -> None:
    context, settings = make_context(tmp_path)
    before = [p.clone() for p in context.model.train().parameters()]
    validation_loss(context, settings, EXAMPLES)
    assert context.model.training
    assert all(
        torch.equal(p, b) and p.grad is None
        for p, b in zip(context.model.parameters(), before, strict=True)
    )


def test_an_example_is_prompt_response_and_end_token_and_a_long_one_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context, _ = make_context(tmp_path)
    a, b, c = context.tokenizer("a b c")["input_ids"]
    traces = [Trace("a b", "c a"), Trace("a", "b c a b")]
    assert encode_examples(traces, context, 6) == [
        Example([a, b, c, a, 1], 2),
        Example([a, b, c, a, b, 1], 1),
    ]
    assert encode_examples(traces, context, 5) == [Example([a, b, c, a, 1], 2)]
    assert "sft: 1 examples; 1 longer than max_length 5 left out" in capsys.readouterr().out
    with pytest.raises(
        DataError, match=r"every example is longer than sft.max_length \(4 tokens\)"
    ):
        encode_examples(traces, context, 4)


@pytest.mark.parametrize(
    ("rows", "settings", "steps"),
    [
        (64, {"batch": 16}, 4),
        (64, {"batch": 16, "epochs": 2.5}, 10),
        (70, {"batch": 16}, 4),
        (64, {"batch": 16, "max_steps": 3}, 3),
        (64, {"batch": 16, "max_steps": 9}, 4),
        (3, {"batch": 16}, 1),
    ],
)
def test_a_stage_has_as_many_steps_as_its_epochs_have_whole_batches(
    rows: int, settings: dict[str, Any], steps: int
) -> None:
    assert num_steps(rows, Sft(**settings)) == steps


def test_the_schedule_ends_with_the_last_step(tmp_path: Path) -> None:
    context, settings = make_context(tmp_path, epochs=2, schedule="linear", min_lr_ratio=0.1)
    train_sft(context, settings, TRACES)
    rows = rows_of(context)
    assert [row["lr"] for row in rows] == pytest.approx(
        [1e-2 * (1 - 0.9 * step / 5) for step in range(5)]
    )
    assert [row["total_steps"] for row in rows] == [5] * 5
    assert [row["epoch"] for row in rows] == [0.4, 0.8, 1.2, 1.6, 2.0]


def test_an_epoch_sees_every_example_once_and_none_that_is_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, settings = make_context(tmp_path, batch=2, epochs=2, val_rows=2, val_every=3)
    seen: list[list[Example]] = []

    def watched(
        settings: Sft, optimiser: Optimiser, task: Objective[Example], examples: list[Example]
    ) -> dict[str, Any]:
        seen.append(examples)
        return train_step(settings, optimiser, task, examples)

    monkeypatch.setattr("rlsp_cli.engine.supervised.train_step", watched)
    train_sft(context, settings, TRACES)
    examples = encode_examples(TRACES, context, 32)
    first, second = ([e for batch in seen[k : k + 4] for e in batch] for k in (0, 4))
    key = lambda example: example.start  # noqa: E731
    assert sorted(first, key=key) == sorted(second, key=key) == examples[:8]
    assert first != examples[:8] and first != second
    assert rows_of(context)[0]["step"] == 0
    assert [row["step"] for row in rows_of(context) if "eval_loss" in row] == [2, 5, 7]
    assert rows_of(context)[-1]["eval_loss"] == pytest.approx(
        validation_loss(context, settings, examples[8:])
    )


def test_training_lowers_the_loss_and_the_trained_model_is_what_is_saved(tmp_path: Path) -> None:
    context, settings = make_context(tmp_path, epochs=10)
    train_sft(context, settings, TRACES)
    rows = rows_of(context)
    assert rows[-1]["loss"] < rows[0]["loss"] / 2 and rows[0]["grad_norm"] > 0
    saved = type(context.model).from_pretrained(context.paths.final)
    assert all(
        torch.equal(p, q)
        for p, q in zip(context.model.parameters(), saved.parameters(), strict=True)
    )


def test_another_seed_is_another_order(tmp_path: Path) -> None:
    losses: list[list[float]] = []
    for seed in (0, 1, 0):
        context, settings = make_context(tmp_path / str(len(losses)), seed, batch=2)
        train_sft(context, settings, TRACES)
        losses.append([row["loss"] for row in rows_of(context)])
    assert losses[0] == losses[2] != losses[1]


def test_each_step_and_seed_draws_a_dropout_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    for seed in (0, 1):
        context, settings = make_context(tmp_path / str(seed), seed)
        with monkeypatch.context() as patch:
            patch.setattr(torch, "manual_seed", seeds.append)
            train_sft(context, settings, TRACES)
    assert len(seeds) == len(set(seeds)) == 2 * 2


@pytest.mark.parametrize(("epochs", "saved"), [(2, [2, 4]), (1.6, [2])])
def test_checkpoints_come_every_so_many_steps_and_not_beside_the_final_model(
    epochs: float, saved: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    monkeypatch.setattr(
        "rlsp_cli.engine.supervised.save_checkpoint",
        lambda _folder, _m, _t, step, _state: found.append(step),
    )
    context, settings = make_context(tmp_path, epochs=epochs, save_every=2)
    train_sft(context, settings, TRACES)
    assert found == saved


def test_the_speed_is_tokens_by_the_time_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, settings = make_context(tmp_path)
    optimiser = Optimiser(context.model.parameters(), settings, 1e-3, 1)
    clock = SimpleNamespace(perf_counter=iter([100.0, 104.0]).__next__)
    monkeypatch.setattr("rlsp_cli.engine.supervised.time", clock)
    assert (
        train_step(settings, optimiser, Imitation(context), EXAMPLES)["time/tokens_per_s"] == 14 / 4
    )


@pytest.mark.parametrize(
    "spec", [SPEC, SPEC.model_copy(update={"model_type": "gpt2"})]
)  # gpt2 drops out a tenth
def test_a_resumed_stage_is_the_uninterrupted_one(spec: FromScratch, tmp_path: Path) -> None:
    whole, settings = make_context(tmp_path / "whole", spec=spec, epochs=2, val_rows=2)
    train_sft(whole, settings, TRACES)
    stopped, _ = make_context(tmp_path / "parts", spec=spec, epochs=2, val_rows=2)
    stopped.stop.signal = signal.SIGINT  # it leaves after its first step
    with pytest.raises(StoppedError):
        train_sft(stopped, settings, TRACES)
    resumed, _ = make_context(tmp_path / "parts", spec=spec, epochs=2, val_rows=2)
    train_sft(resumed, settings, TRACES)
    assert rows_of(resumed) == rows_of(whole) and len(rows_of(whole)) == 4
    assert all(
        torch.equal(p, q)
        for p, q in zip(resumed.model.parameters(), whole.model.parameters(), strict=True)
    )
