"""A model behind a server, as a plugin asks it: what is sent, what is read, what is counted, and what is no answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.recipe.load import resolve_recipe
from rlsp_cli.rewards import ServedModel, UnansweredError, served_model
from rlsp_cli.rewards.ledger import ledger
from rlsp_cli.rewards.models import Address, know_models
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.scorer import Scorer
from tests.openai_server import Reply, Server, chat, serving

USAGE = {"prompt_tokens": 3, "completion_tokens": 4}
TWO = {
    "choices": [
        {"text": " 4", "token_ids": [7, 2], "finish_reason": "stop"},
        {"text": " 5 and", "token_ids": [8, 9], "finish_reason": "length"},
    ],
    "usage": USAGE,
}


@contextmanager
def served(answer: Callable[[dict[str, Any]], Reply]) -> Iterator[tuple[Server, ServedModel]]:
    """A server of canned answers, and its model."""
    with (
        serving(answer) as server,
        ServedModel("prover", Address(server.url, "m", "secret")) as model,
    ):
        yield server, model


def test_completions_are_read_with_their_tokens_and_counted() -> None:
    with served(lambda _: (200, {}, TWO)) as (server, model):
        found = model.complete("2 + 2 =", count=2, max_tokens=5, seed=3, stop=["\n"])
        model.complete([1, 2])

    assert found == [(" 4", [7, 2], False), (" 5 and", [8, 9], True)]
    assert model.tokens_used == 14
    first, second = server.asked
    assert (first["path"], first["key"], first["model"]) == (
        "/v1/completions",
        "Bearer secret",
        "m",
    )
    assert (first["prompt"], first["n"], first["seed"], first["stop"]) == ("2 + 2 =", 2, 3, ["\n"])
    assert second["prompt"] == [1, 2]


def test_a_chat_gives_its_text() -> None:
    with served(lambda _: chat("fine")) as (server, model):
        assert model.chat([{"role": "user", "content": "well?"}]) == "fine"
    assert server.asked[0]["path"] == "/v1/chat/completions"


def test_log_probabilities_are_those_of_the_prompts_own_tokens() -> None:
    # vLLM adds the most probable token where it is another.
    places = [None, {"5": {"logprob": -0.5}}, {"9": {"logprob": -0.1}, "6": {"logprob": -2.0}}]
    reply = {"choices": [{"text": "", "prompt_logprobs": places}]}
    with served(lambda _: (200, {}, reply)) as (_, model):
        assert model.logprobs([4, 5, 6]) == [0.0, -0.5, -2.0]
        with pytest.raises(UnansweredError, match=r"model 'prover' at http.*cannot read the reply"):
            model.logprobs([4, 5])


def test_scores_of_tokens_are_one_row_for_each() -> None:
    reply = {"data": [{"data": [[0.25, 0.75], [1.0, 0.0]]}], "usage": {"prompt_tokens": 2}}
    with served(lambda _: (200, {}, reply)) as (_, model):
        assert model.token_scores([1, 2]) == [[0.25, 0.75], [1.0, 0.0]]
        with pytest.raises(UnansweredError, match="scores at 2 tokens of 3"):
            model.token_scores([1, 2, 3])
    assert model.tokens_used == 4


def test_a_busy_server_is_asked_again_and_a_refusal_is_an_error() -> None:
    replies: list[Reply] = [(503, {"Retry-After": "0"}, "busy"), (200, {}, {"tokens": [1, 2]})]
    with served(lambda _: replies.pop(0)) as (_, model):
        assert model.tokenize("a b") == [1, 2]

    refusal = {"error": {"message": "it has no classes"}}
    words = "HTTP 400 for /pooling: it has no classes"
    with (
        served(lambda _: (400, {}, refusal)) as (_, model),
        pytest.raises(UnansweredError, match=words),
    ):
        model.token_scores([1])


def test_only_models_that_are_served_are_found() -> None:
    know_models({"prm": Address("http://127.0.0.1:1/v1", "m")})
    assert served_model("prm") is served_model("prm")
    with pytest.raises(LookupError, match="no model 'judge' is served here, only: prm"):
        served_model("judge")
    know_models({})
    with pytest.raises(LookupError, match="only: none"):
        served_model("prm")


PLUGIN = '''
from collections.abc import Sequence

from rlsp_cli.rewards import ModelName, Sample, served_model, step_scorer


@step_scorer
def asks(sample: Sample, steps: Sequence[str], *, model: ModelName = "judge") -> list[float | None]:
    """What the model says of each step."""
    judge = served_model(model)
    return [float(judge.chat([{"role": "user", "content": step}])) for step in steps]
'''


@pytest.mark.integration
def test_plugins_in_workers_ask_models_whose_tokens_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "asks.py"
    file.write_text(PLUGIN)
    use = {"use": f"{file}:asks", "steps": {}}
    reward = {"correctness": {"use": "exact_match"}, "exploration": use}
    recipe = resolve_recipe({"name": "x", "reward": reward}, plugins=resolve_options)
    samples = [Sample("", "a\nb", "5", id="1"), Sample("", "c", "5", id="2")]

    with serving(lambda _: chat("0.5")) as server:
        models = {"judge": Address(server.url, "m")}
        with Scorer(recipe.reward, models=models) as scorer:
            scored = scorer.score(samples, 0.5)
    found = [score.exploration[0] for score in scored]
    assert [(one.value, one.tokens) for one in found] == [(0.5, 2), (0.5, 1)]

    assert ledger(samples, scored, recipe.reward, 0.5)["tokens/other"] == 3

    # A server that is gone costs samples, which are no zeros.
    with Scorer(recipe.reward, models=models) as scorer:
        (gone, _) = scorer.score(samples, 0.5)
    assert (gone.exploration[0].outcome, gone.exploration[0].value) == ("error", None)
    assert "model 'judge' at http" in str(gone.exploration[0].reason)
    assert gone.reward is None
