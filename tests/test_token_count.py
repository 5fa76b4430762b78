"""Counting tokens where no engine did."""

from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.model import Model
from rlsp_cli.rewards.token_count import special_tokens, token_counter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tokenizer of three words, with two special tokens that end responses and one that does not."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "one": 1, "two": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["<end>", "<|im_end|>", "</think>"]
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_a_model_from_scratch_counts_words_signs_and_a_box_as_one_and_the_end_token() -> None:
    count = token_counter(Model.model_validate({"from_scratch": {}}))
    assert count is not None
    assert count(r"so \boxed{4}!") == len(["so", r"\boxed{", "4", "}", "!", "end"])


def test_a_folders_tokenizer_counts_with_the_end_token(folder: Path) -> None:
    count = token_counter(Model.model_validate({"path": str(folder)}))
    assert count is not None
    assert count("one two two") == 4


def test_a_tokenizer_that_is_named_goes_before_the_models(folder: Path) -> None:
    count = token_counter(Model.model_validate({"from_scratch": {}}), str(folder))
    assert count is not None
    assert count("one <end>") == 3


def test_special_tokens_end_a_response_the_longest_first_and_tags_of_thinking_end_none(
    folder: Path,
) -> None:
    model = Model.model_validate({"path": str(folder)})
    assert special_tokens(model) == ["<|im_end|>", "<end>"]
    assert special_tokens(Model.model_validate({"from_scratch": {}})) == []


def test_a_file_that_is_no_tokenizer_is_named_with_the_next_move(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(NotReadyError, match="no tokenizer to count tokens with") as error:
        token_counter(Model.model_validate({"path": str(folder)}))
    assert str(folder) in str(error.value)
    assert "name a folder that has one" in str(error.value)
