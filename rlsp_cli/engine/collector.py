"""Responses of the policy to a step's problems, on which PPO trains."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from rlsp_cli.data import Problem
from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.draw import row_seeds
from rlsp_cli.engine.ending import end_ids
from rlsp_cli.engine.prompt import decode_responses, encode_prompts, prompt_text
from rlsp_cli.engine.stage import Context
from rlsp_cli.recipe.schema import Ppo
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.terminal import print


class PolicySampler(Protocol):
    """Draws responses from the policy as it is now.

    `records`: it computes as the trainer does, so that what it records is the policy's own.
    """

    records: bool

    def draw(self, prompts: Sequence[list[int]], step: int, first: int = 0) -> list[Generated]:
        """A response to each prompt, both as tokens; `first` counts those drawn before in the step.

        Equal steps of equal policies draw equal responses, up to the rounding of sums.
        """
        ...


@dataclass(frozen=True)
class Collected:
    """One step's responses, as tokens and as what rewards see of them."""

    prompts: list[list[int]]
    generated: list[Generated]
    samples: list[Sample]

    def extend(self, other: "Collected", rows: slice) -> None:
        """Add some responses of another."""
        self.prompts.extend(other.prompts[rows])
        self.generated.extend(other.generated[rows])
        self.samples.extend(other.samples[rows])


class Collector:
    """Has the policy respond to problems, each `samples_per_prompt` times in a row."""

    def __init__(
        self, context: Context, settings: Ppo, problems: Sequence[Problem], sampler: PolicySampler
    ) -> None:
        self.context, self.settings, self.problems = context, settings, problems
        self.sampler = sampler
        self._looked = False

    def collect(self, step: int, rows: Sequence[int], asked: int = 0) -> Collected:
        """The responses to some problems of a step, `asked` of which were taken before these."""
        size, tokenizer = self.settings.samples_per_prompt, self.context.tokenizer
        problems = [self.problems[row] for row in rows for _ in range(size)]
        texts = [self._text(problem) for problem in problems]
        prompts = encode_prompts(texts, tokenizer)

        generated = self.sampler.draw(prompts, step, asked * size)
        self._note_endless(generated)

        limit = self.settings.max_new_tokens
        samples = as_samples(problems, texts, generated, tokenizer, limit, step)
        return Collected(prompts, generated, samples)

    def _note_endless(self, generated: Sequence[Generated]) -> None:
        """Say once that no response ended in the first rollout, which may be for want of an end token."""
        if self._looked:
            return
        self._looked = True
        if all(response.truncated for response in generated):
            end = self.context.tokenizer.eos_token
            print(
                f"note: no response of the first rollout ended: {end} was never drawn within "
                f"ppo.max_new_tokens={self.settings.max_new_tokens}; raise it, or run SFT with this tokenizer first",
                file=sys.stderr,
            )

    def _text(self, problem: Problem) -> str:
        return prompt_text(problem.problem, self.context.recipe.data, self.context.tokenizer)


def as_samples(
    problems: Sequence[Problem],
    prompts: Sequence[str],
    generated: Sequence[Generated],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    step: int,
) -> list[Sample]:
    """What rewards see of the responses to some problems, whose prompts are given as texts."""
    replies = decode_responses(prompts, [response.tokens for response in generated], tokenizer)
    return [
        Sample(
            prompt=prompt,
            response=reply,
            reference=problem.answer,
            id=problem.id,
            metadata=problem.metadata,
            num_tokens=len(response.tokens),
            max_tokens=max_tokens,
            truncated=response.truncated,
            step=step,
        )
        for prompt, reply, problem, response in zip(
            prompts, replies, problems, generated, strict=True
        )
    ]


class EmbeddedSampler:
    """Draws responses with the policy's own weights in this process."""

    records = True

    def __init__(self, context: Context, settings: Ppo, models: ActorCritic) -> None:
        self.context, self.settings, self.models = context, settings, models

    def draw(self, prompts: Sequence[list[int]], step: int, first: int = 0) -> list[Generated]:
        """A response to each prompt, in the order of the prompts, with log-probabilities."""
        settings, tokenizer = self.settings, self.context.tokenizer
        sampling = Sampling(
            settings.max_new_tokens, settings.temperature, record=settings.temperature
        )
        seeds = row_seeds(self.context.recipe.seed, "rollout", step, len(prompts), first)
        return respond(self.models, tokenizer, prompts, sampling, seeds, settings.decode_batch)


def respond(
    models: ActorCritic,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    sampling: Sampling,
    seeds: Sequence[int],
    at_once: int,
) -> list[Generated]:
    """The policy's response to each prompt, in the order of the prompts; a seed for each."""
    with models.autocast():
        responses = dict(
            generate(
                models.policy,
                prompts,
                sampling,
                seeds=seeds,
                eos_ids=end_ids(models.policy, tokenizer),
                pad_id=tokenizer.pad_token_id,
                at_once=at_once,
            )
        )
    return [responses[row] for row in range(len(prompts))]
