"""`rlsp check --roll N`: what the recipe's own model answers before any training."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rlsp_cli.backends.local.sampling import continuer_of, local_sampler
from rlsp_cli.data import Problem, recipe_problems
from rlsp_cli.errors import UsageError
from rlsp_cli.evals.samplers import Decoding, Request, Sampler, sampled
from rlsp_cli.preflight.checked import Checked
from rlsp_cli.preflight.made_checks import look_at_made_replies
from rlsp_cli.preflight.prompts import look_at_prompts
from rlsp_cli.preflight.replies import Reply, look_at_replies
from rlsp_cli.preflight.reward import asks_a_server, without_servers
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.model_use import models_of
from rlsp_cli.rewards.plain import plain_score
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.token_count import token_counter

_BEFORE_SFT = "the recipe's SFT comes before"
_GROUP = 4
"""Most replies to a prompt, for more prompts to be seen."""


@dataclass(frozen=True)
class Rolled:
    """Replies of the recipe's model, and the checks of them."""

    replies: Sequence[Reply]
    checks: tuple[Checked, ...]

    @property
    def failed(self) -> list[Checked]:
        """The checks that do not hold."""
        return [one for one in self.checks if one.state == "failed"]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        replies = [
            {
                **plain_score(sample, score),
                "prompt": sample.prompt,
                "response": sample.response,
                "truncated": sample.truncated,
            }
            for sample, score in self.replies
        ]
        return {"checks": [one.to_json() for one in self.checks], "replies": replies}


def roll(recipe: Recipe, number: int) -> Rolled:
    """Sample so many replies to the first prompts as PPO would, score them, and look at them.

    UsageError where the recipe has no such model or nothing that asks it.
    """
    ppo = _refuse(recipe)
    replies = _replies(recipe, ppo, number)
    count = token_counter(recipe.model)
    assert count, "a model with a path"
    checks = [
        *look_at_prompts(recipe, recipe),
        *look_at_made_replies(recipe, count),
        *look_at_replies(replies, _BEFORE_SFT if recipe.sft else None),
    ]
    return Rolled(replies, tuple(checks))


def _refuse(recipe: Recipe) -> Ppo:
    if recipe.ppo is None:
        raise UsageError(f"{recipe.name}: --roll samples as PPO does, and there is no `ppo`")
    if recipe.model.path is None:
        raise UsageError(
            f"{recipe.name}: a model from scratch has nothing to say before SFT; "
            "use `rlsp smoke`, or name a trained one by model.path"
        )
    if asks_a_server(recipe, "verifier", recipe.reward.correctness):
        verifier = recipe.reward.correctness.use
        raise UsageError(f"{verifier} asks a model; set reward.correctness to one that does not")
    use = recipe.continuation
    if use is not None and models_of("continuation", use, recipe.plugins):
        raise UsageError(f"{use.use} asks a model; set continuation=null")
    return recipe.ppo


def _replies(recipe: Recipe, ppo: Ppo, number: int) -> list[Reply]:
    with ExitStack() as stack:
        continuer = stack.enter_context(continuer_of(recipe))
        sampler, render = local_sampler(
            str(recipe.model.path),
            recipe.model.precision,
            recipe.cluster.gpus_per_node,
            recipe.model.chat_template,
            ppo.decode_batch,
            continuer=continuer,
        )
        asked = list(_asked(recipe, ppo, number))
        prompts = [render(recipe.data.ask(one.problem), recipe.data.system) for one in asked]
        samples = _sampled(sampler, asked, prompts, _decoding(recipe, ppo))

    reward = without_servers(recipe, recipe.reward)
    with Scorer(reward, recipe.plugins) as scorer:
        scores = scorer.score(samples, alpha_of(recipe, 0))
    return [Reply(*pair) for pair in zip(samples, scores, strict=True)]


def _asked(recipe: Recipe, ppo: Ppo, number: int) -> Iterator[Problem]:
    """The problem of each reply: some replies to a problem, as to see whether they differ."""
    problems = list(islice(recipe_problems(recipe), number))
    group = max(2, min(ppo.samples_per_prompt, _GROUP), math.ceil(number / len(problems)))
    repeated = (one for one in problems for _ in range(group))
    return islice(repeated, number)


def _decoding(recipe: Recipe, ppo: Ppo) -> Decoding:
    return Decoding(ppo.temperature, ppo.top_p, ppo.max_new_tokens, seed=recipe.seed)


def _sampled(
    sampler: Sampler, problems: Sequence[Problem], prompts: Sequence[str], decoding: Decoding
) -> list[Sample]:
    requests = [
        Request(problem.id, prompt, number, problem.start, metadata=problem.metadata)
        for number, (problem, prompt) in enumerate(zip(problems, prompts, strict=True))
    ]
    responses = dict(sampler.answer(requests, decoding))
    return [
        sampled(problem, prompt, responses[row], decoding.max_new_tokens)
        for row, (problem, prompt) in enumerate(zip(problems, prompts, strict=True))
    ]
