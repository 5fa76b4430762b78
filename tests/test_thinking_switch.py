"""Thinking on and off: which templates have the switch, what is refused, and the paired difference."""

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from rlsp_cli.backends.local.sampling import local_sampler
from rlsp_cli.data import Problem
from rlsp_cli.engine.prompt import prompt_text
from rlsp_cli.engine.thinking_switch import switched
from rlsp_cli.errors import RecipeError, UsageError
from rlsp_cli.evals.answer import Scored
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.compare import compare
from rlsp_cli.evals.provenance import provenance
from rlsp_cli.evals.saved_answers import SavedAnswers
from rlsp_cli.evals.thinking import check_thinking
from rlsp_cli.launch.evaluation import evaluation_recipe
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.eval import Eval, Thinking
from rlsp_cli.recipe.model import Model
from rlsp_cli.recipe.plugin_use import PluginUse
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.sample import Score
from tests.byte_model import byte_model, byte_tokenizer

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
QWEN3 = (
    CHAT + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
)
DEEPSEEK = CHAT + "{% if thinking %}<think>{% else %}</think>{% endif %}"
UNUSED = "{% set enable_thinking = enable_thinking %}" + CHAT


def asked(tokenizer: PreTrainedTokenizerFast, thinking: Thinking) -> str:
    return prompt_text("1+1", Data(), tokenizer, switched(tokenizer, thinking))


@pytest.mark.parametrize(
    ("template", "on", "off"),
    [(QWEN3, "", "<think></think>"), (DEEPSEEK, "<think>", "</think>")],
)
def test_the_switch_is_the_variable_that_changes_the_prompt(
    template: str, on: str, off: str
) -> None:
    tokenizer = byte_tokenizer(template)
    assert asked(tokenizer, "on") == "<user>1+1<assistant>" + on
    assert asked(tokenizer, "off") == "<user>1+1<assistant>" + off
    assert switched(tokenizer, None) == {}


def test_the_embedded_engine_asks_with_the_switch(tmp_path: Path) -> None:
    folder = str(byte_model(tmp_path, byte_tokenizer(QWEN3)))
    for thinking, end in (("off", "<think></think>"), ("on", ""), (None, "")):
        _, render = local_sampler(folder, gpus=0, thinking=thinking)  # type: ignore[arg-type]
        assert render("1+1", None) == "<user>1+1<assistant>" + end


@pytest.mark.parametrize("template", [None, CHAT, UNUSED])
def test_a_template_without_the_switch_is_refused(template: str | None) -> None:
    with pytest.raises(RecipeError, match=r"eval\.thinking: off: .* has no switch"):
        switched(byte_tokenizer(template), "off")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"url": "http://x/v1"}, "a server renders"),
        ({"responses": "r.jsonl"}, "responses are given"),
    ],
)
def test_prompts_that_others_render_are_refused(source: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"thinking is switched in the prompt, and {reason}"):
        Eval(thinking="on", **source)


def test_a_recipe_whose_model_cannot_have_the_switch_is_refused_before_training(
    tmp_path: Path,
) -> None:
    def issues(**model: Any) -> list[str]:
        recipe = Recipe(
            name="x", model=Model(**model), eval=Eval(benches=("aime24",), thinking="off")
        )
        return [str(issue) for issue in check_thinking(recipe)]

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "chat_template.jinja").write_text(CHAT)
    assert "has no switch" in issues(path=str(folder))[0]
    assert "has no switch" in issues(path="org/name", chat_template="none")[0]

    with pytest.raises(RecipeError, match=r"eval\.thinking: off: .* has no switch"):
        evaluation_recipe(str(folder), {"benches": ["aime24"], "thinking": "off"})

    (folder / "chat_template.jinja").write_text(QWEN3)
    assert issues(path=str(folder)) == []
    assert issues(path="org/name") == []  # its template is not at hand


def saved(thinking: Thinking, rights: str, template: str = "{problem}") -> SavedAnswers:
    """An evaluation with one response to each of some problems; `1` is right."""
    problems = [Problem(str(number), "1+1", "2") for number in range(len(rights))]
    bench = Bench("b", problems, "by hand", template, verifier=PluginUse(use="exact_match"))
    prompts = [f"{bench.ask(one.problem)} {thinking}" for one in problems]
    made = provenance(bench, 0, prompts, Eval(thinking=thinking))

    rows = []
    for number, right in enumerate(rights):
        score = Score("exact_match", "value", float(right == "1"))
        rows.append(Scored(id=str(number), kind="greedy", index=0, correctness=score))
    return SavedAnswers(thinking, "b", rows, made.to_json())


def test_on_and_off_are_compared_though_their_prompts_differ() -> None:
    found = compare([saved("off", "0011000000")], [saved("on", "1111100000")])
    (comparison,) = found.comparisons
    assert comparison.moved.difference == pytest.approx(0.3)
    assert comparison.moved.low < 0.3 < comparison.moved.high and comparison.moved.differ == 3
    assert "b: thinking differs: off and on" in found.differs


def test_another_template_is_a_difference_beside_the_switch() -> None:
    with pytest.raises(UsageError, match="turn_digest differs"):
        compare([saved("off", "01")], [saved("on", "11", template="Q: {problem}")])
    with pytest.raises(UsageError, match="prompt_digest differs"):
        compare([saved("on", "01")], [saved("on", "11", template="Q: {problem}")])
