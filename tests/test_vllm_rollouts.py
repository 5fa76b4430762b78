"""Rollouts by vLLM: the policy's own weights, whatever was sampled before, and the embedded engine's rules."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from transformers import PreTrainedModel

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.local import rollouts
from rlsp_cli.backends.local.rollouts import ServedPolicy
from rlsp_cli.backends.local.untied import save_untied
from rlsp_cli.backends.vllm import Server, for_rollouts, server, serving
from rlsp_cli.engine.checkpoint import save_model
from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.model import load_model, load_tokenizer
from rlsp_cli.engine.roles import Adapters
from rlsp_cli.engine.stage import Context
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.data import Data, PromptSource
from rlsp_cli.recipe.lora import Lora
from rlsp_cli.recipe.model import Model as ModelSection
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import StagePaths
from tests.test_gguf import gguf  # noqa: F401 (a fixture)
from tests.test_vllm import engine_of, session_of

pytestmark = pytest.mark.integration

CPU = torch.device("cpu")
LORA = Lora(rank=12, alpha=24)
LONG = list(range(1000, 1260))
"""A prompt that fills two blocks of vLLM's cache."""
PROMPTS = [[504, 1330, 282], LONG, [28, 216, 33, 1232, 216, 34, 446]]


@pytest.fixture(scope="module")
def smol(gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """SmolLM2-135M-Instruct as a folder."""
    folder = tmp_path_factory.mktemp("smol") / "model"
    save_model(folder, load_model(str(gguf), CPU), load_tokenizer(str(gguf)))
    return folder


@pytest.fixture(scope="module")
def served(
    smol: Path, openrlhf_environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server that takes adapters as well as whole weights."""
    log = tmp_path_factory.mktemp("served") / "vllm.log"
    served_one = smol.with_name("served")
    save_untied(load_model(str(smol), CPU), served_one)
    load_tokenizer(str(smol)).save_pretrained(served_one)
    plain, adapted = (for_rollouts(8, 400, 2**30, rank) for rank in (None, LORA.rank))
    both = replace(adapted, variables={**plain.variables, **adapted.variables})
    with serving(
        str(served_one), openrlhf_environment, 0, "float32", log.parent, log, lambda: None, both
    ) as found:
        yield found


def policy_on(
    served: Server, folder: Path, lora: Lora | None = None, **settings: Any
) -> ServedPolicy:
    """SmolLM2 as it is, on the server; greedy unless `settings` say else."""
    path = str(Path(served.model).with_name("model"))
    model, tokenizer = load_model(path, CPU).eval(), load_tokenizer(path)
    prompts = Data(prompts=PromptSource(source="task:pair_sum"))
    ppo = Ppo(lora=lora, **{"max_new_tokens": 8, **settings})
    if "temperature" not in settings:
        ppo = ppo.model_copy(update={"temperature": 0.0})
    recipe = Recipe(name="x", model=ModelSection(path=path), data=prompts, ppo=ppo)
    context = Context(recipe, StagePaths(folder), model, tokenizer, CPU)
    if lora:
        # An earlier test may have left weights of its own beneath the adapters.
        ServedPolicy(served, context, ppo.model_copy(update={"lora": None})).hand_over()
    return ServedPolicy(served, context, ppo)


@torch.no_grad()
def change(weights: Sequence[torch.nn.Parameter], seed: int, size: float) -> None:
    """What an update does to a policy, larger."""
    random = torch.Generator().manual_seed(seed)
    for weight in weights:
        spread = weight.std().clamp_min(0.05)  # an adapter's B begins at 0
        weight.add_(torch.randn(weight.shape, generator=random), alpha=size * float(spread))


@torch.no_grad()
def by_transformers(model: PreTrainedModel, prompts: Sequence[list[int]]) -> list[list[int]]:
    found = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        mask = torch.ones_like(ids)
        said = model.generate(ids, attention_mask=mask, max_new_tokens=8, do_sample=False)
        found.append(said[0, len(prompt) :].tolist())
    return found


@torch.no_grad()
def by_trainer(policy: ServedPolicy, prompt: list[int], response: list[int]) -> list[float]:
    """Log-probabilities of a response as the trainer computes them."""
    tokens = torch.tensor([prompt + response])
    mask = torch.zeros(1, tokens.shape[1] - 1)
    mask[:, len(prompt) - 1 :] = 1
    states = last_states(policy.policy, tokens)
    temperature = policy.settings.temperature
    found = token_logp(policy.policy, states, tokens, mask, temperature)[0, :, 0]
    return found[len(prompt) - 1 :].tolist()


@torch.no_grad()
def entropy(policy: ServedPolicy, prompt: list[int]) -> float:
    """Entropy of the first token, in nats."""
    logits = policy.policy(torch.tensor([prompt])).logits[0, -1] / policy.settings.temperature
    return float(torch.distributions.Categorical(logits=logits).entropy())


def learning_of(policy: ServedPolicy) -> list[torch.nn.Parameter]:
    """The weights that training changes; with adapters, a critic's is beside the policy's."""
    if policy.settings.lora is None:
        return list(policy.policy.parameters())
    return Adapters(policy.policy, policy.settings.lora, 0, ("critic",)).parameters("policy")


def tokens_of(responses: Sequence[Generated]) -> list[list[int]]:
    return [response.tokens for response in responses]


@pytest.mark.parametrize("lora", [LORA, None], ids=["adapter", "all-weights"])
def test_greedy_responses_after_each_update_are_those_of_transformers(
    served: Server, tmp_path: Path, lora: Lora | None
) -> None:
    policy = policy_on(served, tmp_path, lora)
    learning = learning_of(policy)
    seen = []
    for step in range(3 if lora else 2):
        if step:
            change(learning, step, 0.3 if lora else 0.05)
        expected = by_transformers(policy.policy, PROMPTS)
        assert tokens_of(policy.draw(PROMPTS, step)) == expected
        assert expected not in seen, "the update changes nothing"
        seen.append(expected)
    assert not policy.folder.exists()


@pytest.mark.parametrize("lora", [LORA, None], ids=["adapter", "all-weights"])
def test_cached_prompts_would_be_stale_under_one_name(
    served: Server, tmp_path: Path, lora: Lora | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the names of weights are for: with one name for all, vLLM answers from old weights."""
    policy = policy_on(served, tmp_path, lora, temperature=1.0, max_new_tokens=1)

    def gap() -> float:
        (response,) = policy.draw([LONG], 0)
        return abs(response.logp[0] - by_trainer(policy, LONG, response.tokens)[0])

    monkeypatch.setattr(rollouts, "_new_name", lambda: "policy")
    learning = learning_of(policy)
    assert gap() < 1e-3
    change(learning, 1, 0.3 if lora else 0.05)
    assert gap() > 1e-2


def test_tokens_are_drawn_by_their_seeds_with_the_probabilities_that_are_reported(
    served: Server, tmp_path: Path
) -> None:
    policy = policy_on(served, tmp_path, temperature=0.7)
    prompts = [prompt for prompt in PROMPTS for _ in range(4)]
    drawn = policy.draw(prompts, 0)
    for prompt, response in zip(prompts, drawn, strict=True):
        assert response.logp == pytest.approx(by_trainer(policy, prompt, response.tokens), abs=1e-3)
    assert len({tuple(response.tokens) for response in drawn[:4]}) > 1
    again = zip(tokens_of(drawn), tokens_of(policy.draw(prompts, 0)), strict=True)
    equal = sum(one == another for one, another in again)
    assert equal >= 8, "in other company sums are rounded differently, and few tokens change"
    assert tokens_of(policy.draw(prompts, 1)) != tokens_of(drawn)


def test_as_many_tokens_are_drawn_as_are_probable(served: Server, tmp_path: Path) -> None:
    """Minus the log-probability of a draw is the entropy on average."""
    policy = policy_on(served, tmp_path, temperature=0.7, max_new_tokens=1)
    surprise = [-response.logp[0] for response in policy.draw([PROMPTS[0]] * 300, 0)]
    mean = torch.tensor(surprise).mean().item()
    error = torch.tensor(surprise).std().item() / len(surprise) ** 0.5
    assert abs(mean - entropy(policy, PROMPTS[0])) < 4 * error


def test_a_response_ends_with_an_end_token_of_the_policy_or_at_the_limit(
    served: Server, tmp_path: Path
) -> None:
    policy = policy_on(served, tmp_path)
    whole = tokens_of(policy.draw(PROMPTS, 0))
    end = whole[0][2]
    policy.policy.generation_config.eos_token_id = [end]

    found = policy.draw(PROMPTS, 0)
    for response, tokens in zip(found, whole, strict=True):
        expected = tokens[: tokens.index(end) + 1] if end in tokens else tokens
        assert (response.tokens, response.truncated) == (expected, end not in tokens)
    assert {response.truncated for response in found} == {True, False}


def test_no_address_of_a_server_that_takes_weights_is_open(served: Server) -> None:
    for path in ("/collective_rpc", "/v1/load_lora_adapter", "/reset_prefix_cache"):
        assert httpx2.post(served.root + path, json={}).status_code == 401
    assert httpx2.get(f"{served.root}/health").status_code == 401


def test_a_server_that_hangs_is_given_up(
    served: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_QUIET_S", 12.0)
    policy = policy_on(served, tmp_path)
    engines = session_of(served.process.log) - {served.process.child.pid}
    for engine in engines:
        os.kill(engine, signal.SIGSTOP)
    try:
        with pytest.raises(NotReadyError, match="without any output for 12 s"):
            policy.draw(PROMPTS, 0)
    finally:
        for engine in engines:
            os.kill(engine, signal.SIGCONT)


def test_a_server_whose_engine_dies_over_new_weights_is_given_up(
    served: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test, since the server does not live on: vLLM would wait for the weights for ever."""
    monkeypatch.setattr(server, "_QUIET_S", 120.0)
    policy = policy_on(served, tmp_path, LORA)
    learning_of(policy)
    engine = engine_of(served.process.log)
    assert engine is not None
    os.kill(engine, signal.SIGSTOP)

    # By then it has been given the weights, which it cannot take.
    death = threading.Timer(3, os.kill, (engine, signal.SIGKILL))
    death.start()
    try:
        with pytest.raises(NotReadyError, match="vLLM ended with code"):
            policy.draw(PROMPTS, 0)
    finally:
        death.join()
