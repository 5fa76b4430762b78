"""Batches, tokenizer, optimiser and seeds of the embedded engine."""

import math
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from rlsp_cli.data import Problem
from rlsp_cli.engine.batch import batch_rows, micro_batches
from rlsp_cli.engine.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint, save_model
from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.ending import end_ids
from rlsp_cli.engine.logprobs import choice_facts, last_states
from rlsp_cli.engine.model import (
    ValueHead,
    add_special_tokens,
    load_model,
    load_tokenizer,
    new_model,
    pick_device,
    refuse_overflow,
)
from rlsp_cli.engine.optimise import Optimiser, rate_factor
from rlsp_cli.engine.prompt import fitting
from rlsp_cli.engine.roles import Copies
from rlsp_cli.engine.rollout import as_tensors
from rlsp_cli.engine.seed import derive_seed, generator
from rlsp_cli.engine.tokenizer import word_tokenizer
from rlsp_cli.errors import DataError, NotReadyError
from rlsp_cli.recipe.data import Data, PromptSource
from rlsp_cli.recipe.model import FromScratch, Model
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft

TEXTS = ["Which two of 3, 7 add up to 10?", "3 + 7 = 10, 10 wanted: correct. \\boxed{3 + 7}"]


def test_batches_pass_over_all_rows_before_any_comes_again() -> None:
    rows = [row for step in range(6) for row in batch_rows(10, 5, step, seed=0)]
    assert sorted(rows[:10]) == sorted(rows[10:20]) == sorted(rows[20:]) == list(range(10))
    assert rows[:10] != rows[10:20] and rows[:5] == batch_rows(10, 5, 0, seed=0) != batch_rows(
        10, 5, 0, seed=1
    )


def test_a_rollout_larger_than_the_prompts_uses_each_about_equally() -> None:
    rows = batch_rows(3, 7, 0, seed=0)
    assert sorted(rows.count(row) for row in range(3)) == [2, 2, 3]


def test_micro_batches_hold_every_row_once() -> None:
    lengths = torch.tensor([5, 1, 9, 3, 7])
    parts = list(micro_batches(lengths, torch.tensor([0, 2, 3, 4]), 2))
    assert [part.tolist() for part in parts] == [[3, 0], [4, 2]]


def test_the_word_tokenizer_gives_text_back() -> None:
    tokenizer = word_tokenizer(TEXTS, 64)
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == text


def test_new_models_are_the_same_for_the_same_seed_and_load_again(tmp_path) -> None:  # type: ignore[no-untyped-def]
    spec = FromScratch(hidden_size=32, num_heads=2, num_layers=1, intermediate_size=64)
    model, tokenizer = new_model(spec, TEXTS, 1)
    again, _ = new_model(spec, TEXTS, 1)
    other, _ = new_model(spec, TEXTS, 2)
    tokens = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])
    save_model(tmp_path / "final", model, tokenizer)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "final")
    with torch.no_grad():
        logits = model.eval()(tokens).logits
        assert torch.equal(logits, again.eval()(tokens).logits)
        assert torch.equal(logits, loaded.eval()(tokens).logits)
        assert not torch.equal(logits, other.eval()(tokens).logits)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and its tokenizer as a stage leaves them."""
    path = tmp_path_factory.mktemp("saved") / "final"
    save_model(
        path,
        *new_model(FromScratch(hidden_size=32, num_heads=2, num_layers=1, max_length=16), TEXTS, 1),
    )
    return path


def test_a_saved_model_is_loaded_in_float32_and_a_missing_one_is_named(folder: Path) -> None:
    model = load_model(str(folder), torch.device("cpu"))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    (folder.parent / "empty").mkdir()
    with pytest.raises(NotReadyError, match=r"model '.*empty' cannot be loaded: [^\n]+$"):
        load_model(str(folder.parent / "empty"), torch.device("cpu"))


def test_a_tokenizer_has_the_recipes_chat_template_and_something_to_pad_with(folder: Path) -> None:
    own = load_tokenizer(str(folder))
    assert own.chat_template is None and own.pad_token == "[PAD]"
    (folder.parent / "chat.jinja").write_text("hello")
    assert load_tokenizer(str(folder), str(folder.parent / "chat.jinja")).chat_template == "hello"
    own.chat_template, own.pad_token = "its own", None
    own.save_pretrained(folder.parent / "other")
    other = str(folder.parent / "other")
    assert (
        load_tokenizer(other).chat_template == "its own"
        and load_tokenizer(other).pad_token == "[EOS]"
    )
    assert load_tokenizer(other, "none").chat_template is None


def test_a_tokenizer_that_cannot_be_used_says_why(folder: Path) -> None:
    with pytest.raises(NotReadyError, match=r"model.chat_template: no.jinja: No such file"):
        load_tokenizer(str(folder), "no.jinja")
    endless = load_tokenizer(str(folder))
    endless.eos_token = None
    endless.save_pretrained(folder.parent / "endless")
    with pytest.raises(NotReadyError, match=r"endless' has no end token"):
        load_tokenizer(str(folder.parent / "endless"))
    with pytest.raises(NotReadyError, match=r"has no usable tokenizer: [^\n]+$"):
        load_tokenizer(str(folder.parent))


def test_a_new_token_gets_a_row_of_its_own_and_a_known_one_none(folder: Path) -> None:
    model, tokenizer = load_model(str(folder), torch.device("cpu")), load_tokenizer(str(folder))
    rows = len(tokenizer)
    add_special_tokens(model, tokenizer, ["add"])
    assert len(tokenizer) == rows == model.get_input_embeddings().num_embeddings
    add_special_tokens(model, tokenizer, ["<think>", "</think>"])
    assert len(tokenizer) == rows + 2 == model.get_input_embeddings().num_embeddings
    assert len(tokenizer("<think>")["input_ids"]) == 1


def test_a_response_ends_at_the_tokenizers_end_and_at_those_of_the_models_settings(
    folder: Path,
) -> None:
    model, tokenizer = load_model(str(folder), torch.device("cpu")), load_tokenizer(str(folder))
    for stated, ends in ((None, {1}), (1, {1}), (7, {1, 7}), ([7, 8], {1, 7, 8})):
        model.generation_config.eos_token_id = stated
        assert end_ids(model, tokenizer) == ends
    model.generation_config = None
    assert end_ids(model, tokenizer) == {1}


def test_prompt_and_response_may_fill_all_positions_and_no_more(folder: Path) -> None:
    model = load_model(str(folder), torch.device("cpu"))
    refuse_overflow(model, [[3] * 6, [3]], 10)
    with pytest.raises(
        DataError, match=r"prompt \(6 tokens\) and max_new_tokens 11 do not fit the model's 16"
    ):
        refuse_overflow(model, [[3] * 6, [3]], 11)
    del model.config.max_position_embeddings
    refuse_overflow(model, [[3] * 6], 1000)


def test_a_recipe_without_gpus_runs_on_the_cpu_and_one_with_them_needs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert pick_device(0).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NotReadyError, match=r"cluster.gpus_per_node is 2, but torch sees no GPU"):
        pick_device(2)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device(1).type == "cuda"


def test_prompts_are_measured_as_the_model_sees_them_and_long_ones_left_out() -> None:
    tokenizer = word_tokenizer(TEXTS, 64)
    problems = [Problem(str(n), "3, " * n + "7", "10") for n in range(1, 5)]
    lengths = [len(tokenizer(f"add up to {problem.problem}")["input_ids"]) for problem in problems]

    def recipe(limit: int) -> Recipe:
        data = Data(template="add up to {problem}", prompts=PromptSource(source="task:pair_sum"))
        ppo = Ppo(max_prompt_tokens=limit)
        return Recipe(name="x", model=Model(path="x"), data=data, ppo=ppo)

    assert lengths == sorted(set(lengths))
    said: list[str] = []

    def kept(limit: int) -> list[Problem]:
        found = list(fitting(problems, recipe(limit), tokenizer, said.append))
        assert [len(ids) for _, ids in found] == lengths[: len(found)]
        return [problem for problem, _ in found]

    assert kept(lengths[-1]) == problems and said == []
    assert kept(lengths[1]) == problems[:2]
    (line,) = said
    assert line.startswith("2 of 4 problems left out: prompt longer than max_prompt_tokens=")
    with pytest.raises(DataError, match=f"the shortest has {lengths[0]} tokens"):
        kept(lengths[0] - 1)


def test_a_new_critic_predicts_zero_and_one_of_its_own_shares_nothing() -> None:
    model, tokenizer = new_model(FromScratch(hidden_size=32, num_heads=2, num_layers=1), TEXTS, 0)
    tokens = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])
    roles = Copies(model, ("critic",))
    with roles.playing("critic") as layers:
        states = last_states(layers, tokens)
    torch.testing.assert_close(states, last_states(model, tokens))
    assert ValueHead(model)(states).abs().max() == 0
    assert not {id(p) for p in roles.parameters("critic")} & {id(p) for p in model.parameters()}


def test_only_the_newest_checkpoint_is_kept_and_a_draft_is_none(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model, tokenizer = new_model(FromScratch(hidden_size=32, num_heads=2, num_layers=1), TEXTS, 0)
    optimiser = Optimiser(model.parameters(), Sft(), 1e-3, 10)
    assert newest_checkpoint(tmp_path) is None
    for step in (2, 10):
        save_checkpoint(
            tmp_path / f"step-{step:06d}",
            model,
            tokenizer,
            step,
            {"optimiser": optimiser.state_dict()},
        )
    (tmp_path / "draft-step-000011").mkdir()
    found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 10
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000010"]


@pytest.mark.parametrize("broken", ["trainer.pt", "model.safetensors", "config.json"])
@pytest.mark.parametrize("harm", ["cut", "empty", "missing"])
def test_a_broken_checkpoint_is_passed_over_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str, harm: str
) -> None:
    model, tokenizer = new_model(FromScratch(hidden_size=32, num_heads=2, num_layers=1), TEXTS, 0)
    for step in (3, 999_999, 1_000_000):
        save_checkpoint(tmp_path / str(step) / f"step-{step:06d}", model, tokenizer, step, {})
        (tmp_path / str(step) / f"step-{step:06d}").rename(tmp_path / f"step-{step:06d}")
    assert newest_checkpoint(tmp_path) == Checkpoint(tmp_path / "step-1000000", 1_000_000, {})
    file = tmp_path / "step-1000000" / broken
    content = file.read_bytes()
    file.unlink()
    if harm != "missing":
        file.write_bytes(content[: len(content) // 2] if harm == "cut" else b"")
    capsys.readouterr()
    assert newest_checkpoint(tmp_path) == Checkpoint(tmp_path / "step-999999", 999_999, {})
    told = capsys.readouterr().err
    assert (
        told.startswith(f"note: {tmp_path / 'step-1000000'} is not whole") and told.count("\n") == 1
    )
    shutil.rmtree(tmp_path / "step-999999")
    (tmp_path / "step-000003" / "trainer.pt").unlink()
    assert newest_checkpoint(tmp_path) is None


def test_a_checkpoint_that_is_written_again_is_never_there_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill at any removal leaves a whole checkpoint; what it left behind is gone after the next save."""
    model, tokenizer = new_model(FromScratch(hidden_size=32, num_heads=2, num_layers=1), TEXTS, 0)
    save_checkpoint(tmp_path / "step-000003", model, tokenizer, 3, {"kl_coef": 1.0})
    removed: list[Path] = []
    monkeypatch.setattr(shutil, "rmtree", lambda path, **_: removed.append(path))
    save_checkpoint(tmp_path / "step-000003", model, tokenizer, 3, {"kl_coef": 2.0})
    assert removed and not any(path.name.startswith("step-") for path in removed)
    monkeypatch.undo()
    found = newest_checkpoint(tmp_path)
    assert found is not None and found.trainer == {"kl_coef": 2.0}
    save_checkpoint(tmp_path / "step-000004", model, tokenizer, 4, {})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000004"]


def test_the_learning_rate_warms_up_falls_and_ends_at_its_floor() -> None:
    settings = Sft(warmup_ratio=0.1, min_lr_ratio=0.1)
    rates = [rate_factor(step, 100, settings) for step in range(101)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == 1 and rates[100] == pytest.approx(0.1)
    assert rates[55] == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi / 2)) / 2)
    assert all(a >= b for a, b in pairwise(rates[10:]))


def test_a_schedule_falls_along_a_line_or_not_at_all() -> None:
    line = Sft(schedule="linear", warmup_ratio=0.2, min_lr_ratio=0.1)
    assert [rate_factor(step, 10, line) for step in (0, 1, 2, 6, 10)] == pytest.approx(
        [0.5, 1, 1, 0.55, 0.1]
    )
    flat = Sft(schedule="constant", warmup_ratio=0.2, min_lr_ratio=0.1)
    assert [rate_factor(step, 10, flat) for step in (0, 1, 2, 6, 10)] == [0.5, 1, 1, 1, 1]


def test_an_optimiser_that_goes_on_keeps_the_settings_of_its_own_recipe() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    first = Optimiser([weight], Sft(betas=(0.5, 0.6), weight_decay=0.3), 0.2, 4)
    weight.grad = torch.ones(2)
    first.step()

    second = Optimiser([weight], Sft(betas=(0.7, 0.8), weight_decay=0.1), 0.2, 4)
    second.load_state_dict(first.state_dict())
    (group,) = second.adamw.param_groups
    assert (group["betas"], group["weight_decay"]) == ((0.7, 0.8), 0.1)
    assert second.steps == 1 and second.adamw.state[weight]["exp_avg"].norm() > 0


def test_a_step_is_adamws_with_the_recipes_numbers_on_the_clipped_gradient() -> None:
    settings = Sft(
        betas=(0.8, 0.6), weight_decay=0.5, grad_clip=2.0, schedule="constant", warmup_ratio=0.5
    )
    weight = torch.nn.Parameter(torch.tensor([1.0]))
    optimiser = Optimiser([weight], settings, 0.2, 4)
    weight.grad = torch.tensor([8.0])
    assert optimiser.step() == pytest.approx((8.0, 0.1))  # the first of two steps of warm-up
    state = optimiser.adamw.state[weight]
    assert float(state["exp_avg"]) == pytest.approx(0.2 * 2.0)
    assert float(state["exp_avg_sq"]) == pytest.approx(0.4 * 2.0**2)
    # The first step of Adam is the learning rate; the decay is its product with weight and
    # weight_decay.
    assert float(weight.detach()) == pytest.approx(1.0 - 0.1 - 0.1 * 0.5 * 1.0)
    assert weight.grad is None


def test_the_mask_covers_exactly_the_response_tokens() -> None:
    tokens, mask, lengths = as_tensors(
        [[5, 6], [5]],
        [Generated([7, 1], False), Generated([8, 9, 1], False)],
        0,
        torch.device("cpu"),
    )
    assert tokens.tolist() == [[5, 6, 7, 1], [5, 8, 9, 1]]
    assert mask.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert lengths.tolist() == [4, 4]


def test_log_probabilities_are_those_of_the_sampling_temperature() -> None:
    logits = torch.randn(1, 3, 5, generator=torch.manual_seed(0))
    tokens = torch.tensor([[1, 2, 3]])
    expected = (logits / 0.7).log_softmax(-1)[0, [0, 1], [2, 3]]
    states, chosen = logits[0, :-1], tokens[0, 1:]
    found = choice_facts(torch.nn.Identity(), states, chosen, 0.7, entropy=False)[:, 0]
    torch.testing.assert_close(found, expected)


def test_seeds_differ_by_place_and_do_not_depend_on_the_process() -> None:
    assert derive_seed(0, "ppo", 1) == derive_seed(0, "ppo", 1)
    assert (
        len(
            {
                derive_seed(s, place, step)
                for s in (0, 1)
                for place in ("sft", "ppo")
                for step in (0, 1)
            }
        )
        == 8
    )


def test_a_seed_draws_the_random_numbers_that_published_figures_were_made_with() -> None:
    assert derive_seed(0, "ppo", 3) == 1260818983363156705
    assert generator(torch.device("cpu"), 0, "ppo", 3).initial_seed() == 1260818983363156705


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_model_whose_file_was_cut_is_named(name: str, tmp_path: Path) -> None:
    spec = FromScratch(
        hidden_size=16, num_layers=1, num_heads=1, intermediate_size=16, max_length=16
    )
    save_model(tmp_path / "model", *new_model(spec, ["a b c"], 0))
    file = tmp_path / "model" / name
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(
        NotReadyError,
        match=r"^model '.*/model' (cannot be loaded|has no usable tokenizer): [^\n]+$",
    ):
        _ = (
            load_tokenizer(str(tmp_path / "model")),
            load_model(str(tmp_path / "model"), torch.device("cpu")),
        )
