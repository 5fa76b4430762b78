"""SFT with masked inputs: the share of each step, the tokens that it hides, and the loss on what stays."""

import signal
from pathlib import Path

import pytest
import torch

from rlsp_cli.backends.axolotl.backend import AxolotlBackend
from rlsp_cli.engine.examples import Example
from rlsp_cli.engine.input_mask import InputMask, mask_token
from rlsp_cli.engine.sft import train_sft
from rlsp_cli.errors import StoppedError
from rlsp_cli.recipe.data import Data, TraceSource
from rlsp_cli.recipe.model import Model
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft
from tests.test_sft import TRACES, make_context, rows_of, validation_loss

pytestmark = pytest.mark.usefixtures("one_thread")

MASK = 99


def test_the_share_rises_over_two_thirds_of_the_steps_as_in_the_authors_code() -> None:
    # 9 steps: 0.4 * step / (9 * 2/3 + 1), and 0.4 at most.
    mask = InputMask(0.4, 9, MASK, seed=0)
    shares = [mask.share_at(step) for step in range(9)]
    assert shares[:4] == pytest.approx([0, 0.4 / 7, 0.8 / 7, 1.2 / 7])
    assert shares[7:] == pytest.approx([0.4, 0.4])


def test_only_response_tokens_are_hidden_and_in_their_share() -> None:
    mask = InputMask(0.4, 1, MASK, seed=3)
    long = Example(list(range(10, 20)) * 500, start=1000)
    (masked,) = mask.over([long], step=5)

    assert masked.inputs is not None and masked.inputs[:1000] == long.tokens[:1000]
    assert masked.tokens == long.tokens and masked.start == long.start

    # 4,000 draws: three standard deviations of the share are 0.023.
    assert masked.inputs.count(MASK) / 4000 == pytest.approx(0.4, abs=0.023)
    assert all(new in (old, MASK) for new, old in zip(masked.inputs, long.tokens, strict=True))


def test_a_step_hides_the_same_tokens_again_and_another_step_others() -> None:
    mask = InputMask(0.4, 1, MASK, seed=3)
    long = [Example(list(range(50)), start=5)] * 2
    first, again, later = (mask.over(long, step) for step in (5, 5, 6))
    assert first == again != later
    assert first[0].inputs != first[1].inputs


@torch.no_grad()
def test_the_model_reads_the_mask_and_learns_the_hidden_token(tmp_path: Path) -> None:
    context, settings = make_context(tmp_path)
    example = Example([3, 4, 5, 6, 1], start=2, inputs=[3, 4, 7, 6, 1])
    logp = context.model(torch.tensor([[3, 4, 7, 6, 1]])).logits[0].log_softmax(-1)
    by_hand = -(logp[1, 5] + logp[2, 6] + logp[3, 1]) / 3
    assert validation_loss(context, settings, [example]) == pytest.approx(float(by_hand), rel=1e-5)


def test_a_new_mask_token_is_the_mean_of_all_others(tmp_path: Path) -> None:
    context, _ = make_context(tmp_path)
    model, tokenizer = context.model, context.tokenizer
    before = model.get_input_embeddings().weight.detach().clone()

    token = mask_token(model, tokenizer)
    after = model.get_input_embeddings().weight
    assert token == len(before) and tokenizer.convert_ids_to_tokens(token) == "<mask>"
    torch.testing.assert_close(after[token], before.mean(0))
    torch.testing.assert_close(after[:token], before)
    assert mask_token(model, tokenizer) == token and len(tokenizer) == token + 1


def test_training_says_the_share_and_goes_on_after_a_stop_as_without_one(tmp_path: Path) -> None:
    whole, settings = make_context(tmp_path / "whole", epochs=2, mask_input=0.4)
    train_sft(whole, settings, TRACES)
    stopped, _ = make_context(tmp_path / "parts", epochs=2, mask_input=0.4)
    stopped.stop.signal = signal.SIGINT
    with pytest.raises(StoppedError):
        train_sft(stopped, settings, TRACES)
    resumed, _ = make_context(tmp_path / "parts", epochs=2, mask_input=0.4)
    train_sft(resumed, settings, TRACES)

    assert rows_of(resumed) == rows_of(whole)
    # 5 steps of 4 of the 10 examples: 0.4 * step / (10/3 + 1).
    shares = [row["mask_input"] for row in rows_of(whole)]
    assert shares == pytest.approx(
        [0, 0.4 / (13 / 3), 0.8 / (13 / 3), 1.2 / (13 / 3), 1.6 / (13 / 3)]
    )


def test_axolotl_refuses_to_mask_inputs() -> None:
    recipe = Recipe(
        name="x",
        model=Model(path="org/name"),
        data=Data(traces=TraceSource(source="traces.jsonl")),
        sft=Sft(backend="axolotl", mask_input=0.4),
    )
    issues = [str(issue) for issue in AxolotlBackend().check(recipe, "sft")]
    assert any("sft.mask_input has no effect on Axolotl" in issue for issue in issues), issues
