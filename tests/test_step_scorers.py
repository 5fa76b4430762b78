"""The step scorers that ask models: their scores against the models themselves, and what they refuse."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from rlsp_cli.backends.local.model_server.model import Model
from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.rewards import Sample, UnansweredError
from rlsp_cli.rewards.model_use import check_models, models_at
from rlsp_cli.rewards.models import Address, know_models, served_model
from rlsp_cli.rewards.registry import get_plugin, resolve_options
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.steps import step_pieces
from tests.byte_model import byte_model, byte_tokenizer
from tests.model_server import byte_classifier, serving_model
from tests.openai_server import Reply, Server, chat, serving

STEPS = ["2 + 3 = 5", "5 + 4 = 9", "so \\boxed{9}"]
SAMPLE = Sample("2 + 3 + 4 = ?", "\n".join(STEPS), "9", id="a")


def scores(
    name: str, sample: Sample = SAMPLE, steps: Sequence[str] = STEPS, **options: Any
) -> list[Any]:
    found: list[Any] = get_plugin("step_scorer", name).function(sample, steps, **options)
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Model]]:
    """A classifier, one of three classes, and two writers with one tokenizer, for all plugins of this process."""
    folder, tokenizer = tmp_path_factory.mktemp("models"), byte_tokenizer()
    with (
        serving_model(byte_classifier(folder / "prm", tokenizer)) as (prm, prm_model),
        serving_model(byte_classifier(folder / "three", tokenizer, 3)) as (three, _),
        serving_model(byte_model(folder / "tuned", tokenizer)) as (tuned, tuned_model),
        serving_model(byte_model(folder / "base", tokenizer)) as (base, base_model),
    ):
        know_models({"prm": prm, "three": three, "tuned": tuned, "base": base})
        yield {"prm": prm_model, "tuned": tuned_model, "base": base_model}
    know_models({})


def ids(model: Model, text: str) -> list[int]:
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def test_prm_reads_the_class_right_at_the_end_of_each_step_and_its_separator(
    models: dict[str, Model],
) -> None:
    model = models["prm"]
    tokens = ids(model, SAMPLE.prompt)
    ends = []
    for step in STEPS:
        tokens += [*ids(model, step), *ids(model, "\n\n")]
        ends.append(len(tokens) - 1)
    with torch.no_grad():
        expected = model.model(torch.tensor([tokens])).logits[0].softmax(-1)[ends, 1].tolist()

    found = scores("prm", separator="\n\n")
    assert found == pytest.approx(expected, abs=1e-5)
    assert scores("prm", steps=STEPS[:2], separator="\n\n") == pytest.approx(found[:2], abs=1e-5)


def test_a_learned_reward_model_ranks_within_right_and_wrong_answers_and_never_across(
    models: dict[str, Model],
) -> None:
    use = {"use": "prm", "steps": {"aggregate": "last"}}
    reward = {"combine": "rm_shaping", "correctness": {"use": "exact_match"}, "exploration": use}
    responses = [*(f"{words}\n\\boxed{{{n}}}" for words in ("Hm.", "Then:") for n in (9, 8))]
    samples = [replace(SAMPLE, response=one, id=one) for one in responses]
    addresses = {"prm": served_model("prm").address}
    with Scorer(resolved({**reward, "workers": 1}).reward, models=addresses) as scorer:
        found = scorer.score(samples, 0.5)

    for sample, score in zip(samples, found, strict=True):
        learned = scores("prm", sample, sample.response.split("\n"))[-1]
        is_right = "{9}" in sample.response
        assert score.reward == pytest.approx(1 / (1 + math.exp(-0.5 * learned)) + is_right - 1)
    rewards = [one.reward or 0.0 for one in found]
    assert len(set(rewards)) == 4 and min(rewards[::2]) > max(rewards[1::2])


def test_a_model_that_is_no_prm_is_refused_in_words(models: dict[str, Model]) -> None:
    with pytest.raises(
        ValueError, match="model 'three' has 3 classes of tokens, expected 2: wrong, right"
    ):
        scores("prm", model="three")
    with pytest.raises(UnansweredError, match="does not classify tokens"):
        scores("prm", model="tuned")


def test_implicit_prm_is_the_log_ratio_of_each_step(models: dict[str, Model]) -> None:
    pieces = [SAMPLE.prompt, *step_pieces(SAMPLE.response, STEPS)]
    parts = [ids(models["tuned"], piece) for piece in pieces]
    tokens = torch.tensor([[token for part in parts for token in part]])

    ratios = torch.zeros(tokens.shape[1])
    for name, sign in (("tuned", 1), ("base", -1)):
        with torch.no_grad():
            logp = models[name].model(tokens).logits[0, :-1].log_softmax(-1)
        ratios[1:] += sign * logp.gather(1, tokens[0, 1:, None])[:, 0]

    expected, begin = [], len(parts[0])
    for part in parts[1:]:
        reward = 0.5 * float(ratios[begin : begin + len(part)].sum())
        expected.append(1 / (1 + math.exp(-reward)))
        begin += len(part)
    assert scores("implicit_prm", beta=0.5) == pytest.approx(expected, abs=1e-5)
    assert scores("implicit_prm", steps=STEPS[:1], beta=0.5) == pytest.approx(
        expected[:1], abs=1e-5
    )


@contextmanager
def answering(answer: Callable[[dict[str, Any]], Reply]) -> Iterator[Server]:
    """A server whose tokens are bytes; all else is answered by `answer`, which sees the text of a prompt."""

    def reply(body: dict[str, Any]) -> Reply:
        if "add_special_tokens" in body:
            return 200, {}, {"tokens": list(body["prompt"].encode())}
        if "prompt" in body:
            body = {**body, "text": bytes(body["prompt"]).decode()}
        return answer(body)

    with serving(reply) as server:
        know_models({"prover": Address(server.url, "m"), "judge": Address(server.url, "m")})
        yield server
    know_models({})


def test_value_mc_is_the_share_of_right_completions_from_each_step() -> None:
    shares = {"2 + 3 = 5": 3, "5 + 4 = 9": 4, "so \\boxed{9}": 2}

    def complete(body: dict[str, Any]) -> Reply:
        last = body["text"].removeprefix(SAMPLE.prompt).rpartition("\n")[2]
        texts = ["\\boxed{9}"] * shares.get(last, 1) + ["\\boxed{8}"] * 4
        choices = [{"text": text, "token_ids": [1]} for text in texts[: body["n"]]]
        return 200, {}, {"choices": choices}

    with answering(complete) as server:
        assert scores("value_mc", completions=4) == [3 / 4, 1.0, 2 / 4]
        gains = [(1 + 3 / 4 - 1 / 4) / 2, (1 + 1 / 4) / 2, (1 - 2 / 4) / 2]
        assert scores("value_mc", completions=4, progress=True) == gains
        assert len({body["seed"] for body in server.asked if "seed" in body}) == 4

        asked = len(server.asked)
        assert scores("value_mc", Sample(SAMPLE.prompt, SAMPLE.response)) == [None] * 3
        assert len(server.asked) == asked


def test_several_prompts_vote_on_each_step_and_what_is_no_verdict_is_no_vote() -> None:
    def judge(body: dict[str, Any]) -> Reply:
        question, work = (message["content"] for message in body["messages"])
        if "so \\boxed{9}" in work:
            return chat("I cannot say. Verdict: right or wrong")
        is_strict = "Compute" in question
        return chat(
            "Hm.\nVerdict: wrong" if is_strict and "5 + 4" in work else "**Verdict: right**"
        )

    with answering(judge) as server:
        assert scores("judge_steps") == [1.0, pytest.approx(2 / 3), None]
        assert scores("judge_steps", votes=1) == [1.0, 1.0, None]
        shown = [body["messages"][1]["content"] for body in server.asked]
        assert not any(
            "5 + 4" in work
            for work in shown
            if "last step:\n<<<" in work and STEPS[0] in work.rpartition("last step:")[2]
        )
        with pytest.raises(ValueError, match="votes is 4, expected 1 to 3"):
            scores("judge_steps", votes=4)


def test_the_second_pass_of_the_judge_sees_the_reference() -> None:
    def judge(body: dict[str, Any]) -> Reply:
        knows = "known: 9" in body["messages"][0]["content"]
        return chat("Verdict: wrong" if knows else "Verdict: right")

    with answering(judge):
        assert scores("judge_steps_by_reference", votes=2) == [0.5] * 3
        alone = Sample(SAMPLE.prompt, SAMPLE.response)
        assert scores("judge_steps_by_reference", alone, votes=2) == [1.0] * 3
        assert scores("judge_steps", votes=2) == [1.0] * 3


def test_pieces_join_to_the_response_and_do_not_depend_on_later_steps() -> None:
    response = "  a\n\nb - c"
    assert step_pieces(response, ["a", "b", "c"]) == ["  a", "\n\nb", " - c"]
    assert step_pieces(response, ["a", "x", "c"]) == ["  a", "\nx", "\n\nb - c"]
    assert step_pieces(response, ["a", "x"]) == ["  a", "\nx"]


def resolved(reward: dict[str, Any], **more: Any) -> Any:
    data = {"name": "x", "model": {"path": "m"}, "reward": reward, **more}
    return resolve_recipe(data, plugins=resolve_options)


def test_only_models_that_are_named_are_asked_for_and_unknown_names_are_refused() -> None:
    use = {"use": "prm", "steps": {}, "model": "prn"}
    recipe = resolved({"exploration": use}, models={"prm": {"path": "a"}, "judge": {"path": "b"}})
    (issue,) = check_models(recipe)
    assert issue.path == "reward.exploration.0.model"
    assert "`models` has no 'prn'" in str(issue) and 'did you mean "prm"?' in str(issue)

    recipe = resolved(
        {"exploration": {**use, "model": "prm"}},
        models={"prm": {"path": "a"}, "judge": {"path": "b"}},
    )
    assert list(check_models(recipe)) == []
    assert models_at(recipe, "reward") == {"prm"} and models_at(recipe, "eval") == set()


def test_self_is_the_model_under_evaluation_and_nothing_else() -> None:
    (issue,) = check_models(resolved({"exploration": {"use": "self", "steps": {}}}))
    assert "there is none here" in str(issue)

    chosen = {
        "scorer": {"use": "self", "steps": {}},
        "strategies": ["best_of_n"],
        "benches": ["gsm8k"],
    }
    settings = {"samples": 4, "k": [1], **chosen}
    assert list(check_models(resolved({}, eval=settings))) == []
    (issue,) = check_models(resolved({}, eval={**settings, "responses": "gold"}))
    assert issue.path == "eval.scorer.model"

    (issue,) = check_models(resolved({}, models={"self": {"path": "a"}}))
    assert issue.path == "models.self"
