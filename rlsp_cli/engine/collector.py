"""Responses of the policy to a step's problems, on which PPO trains."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from transformers import PreTrainedTokenizerBase

from rlsp_cli.data import Problem
from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.dialogue import Dialogue, own_text, turn_seeds
from rlsp_cli.engine.draw import row_seeds
from rlsp_cli.engine.ending import end_ids
from rlsp_cli.engine.hints import hinted_prompts
from rlsp_cli.engine.prompt import (
    decode_responses,
    encode_begun,
    encode_prompts,
    encode_start,
    prompt_text,
)
from rlsp_cli.engine.self_play import told_first
from rlsp_cli.engine.stage import Context
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.terminal import print


class PolicySampler(Protocol):
    """Draws responses from the policy as it is now.

    `records`: it computes as the trainer does, so that what it records is the policy's own.
    """

    records: bool

    def draw(
        self,
        prompts: Sequence[list[int]],
        step: int,
        first: int = 0,
        samples: Sequence[Sample] = (),
    ) -> list[Generated]:
        """A response to each prompt, both as tokens; `first` counts those drawn before in the step.

        `samples` have what is known of each prompt, where a continuation answers.
        Equal steps of equal policies draw equal responses, up to the rounding of sums.
        """
        ...


@dataclass(frozen=True)
class Collected:
    """One step's responses, as tokens and as what rewards see of them."""

    prompts: list[list[int]]
    generated: list[Generated]
    samples: list[Sample]

    def put(self, rows: slice, other: "Collected", others: slice) -> None:
        """Put responses of another in the place of some."""
        self.prompts[rows] = other.prompts[others]
        self.generated[rows] = other.generated[others]
        self.samples[rows] = other.samples[others]

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
        self.hinted = hinted_prompts(problems, context.recipe, context.tokenizer)
        self._looked = False

    def collect(self, step: int, rows: Sequence[int], asked: int = 0) -> Collected:
        """The responses to some problems of a step, `asked` of which were taken before these."""
        problems = self._each(rows)
        texts = [self._text(problem) for problem in problems]
        starts = [problem.start for problem in problems]
        prompts = encode_begun(texts, starts, self.context.tokenizer)
        return self._answered(problems, texts, prompts, step, asked)

    def collect_hinted(self, step: int, rows: Sequence[int], asked: int) -> Collected:
        """As `collect`, of problems that are shown with their hints.

        The token prompts are those without: the policy is to give these responses unaided.
        """
        problems, size = self._each(rows), self.settings.samples_per_prompt
        shown = [self.hinted[row] for row in rows for _ in range(size)]
        texts, prompts = [one.text for one in shown], [one.ids for one in shown]
        answered = self._answered(problems, texts, prompts, step, asked)

        unaided = [self._text(problem) for problem in problems]
        return replace(answered, prompts=encode_prompts(unaided, self.context.tokenizer))

    def _each(self, rows: Sequence[int]) -> list[Problem]:
        """The problem of each response; in self-play every other one has the second seat."""
        size = self.settings.samples_per_prompt
        problems = [self.problems[row] for row in rows for _ in range(size)]
        if self.settings.self_play is None:
            return problems
        return [
            replace(problem, metadata={**problem.metadata, "seat": place % 2})
            for place, problem in enumerate(problems)
        ]

    def _answered(
        self,
        problems: Sequence[Problem],
        texts: Sequence[str],
        prompts: list[list[int]],
        step: int,
        asked: int,
    ) -> Collected:
        """The responses to prompts, given as texts and as token ids."""
        size, limit = self.settings.samples_per_prompt, self.settings.max_new_tokens
        asking = unanswered(problems, texts, limit, step)
        generated = self.sampler.draw(prompts, step, asked * size, asking)
        self._note_endless(generated)

        texts, prompts = self._read(texts, prompts, generated)
        samples = as_samples(problems, texts, generated, self.context.tokenizer, limit, step)
        return Collected(prompts, generated, samples)

    def _read(
        self,
        texts: Sequence[str],
        prompts: Sequence[list[int]],
        generated: Sequence[Generated],
    ) -> tuple[list[str], list[list[int]]]:
        """The prompts that the model has read: in self-play the second player's comes during the game."""
        if self.settings.self_play is None:
            return list(texts), list(prompts)

        told = [told_first(response.turns) for response in generated]
        read = [
            text if first is None else self._asked(first)
            for text, first in zip(texts, told, strict=True)
        ]
        return read, encode_prompts(read, self.context.tokenizer)

    def _note_endless(self, generated: Sequence[Generated]) -> None:
        """Say once that no response ended in the first rollout, which may be for want of an end token."""
        if self._looked:
            return
        self._looked = True
        if all(_is_endless(response) for response in generated):
            end = self.context.tokenizer.eos_token
            print(
                f"note: no response of the first rollout ended: {end} was never drawn within "
                f"ppo.max_new_tokens={self.settings.max_new_tokens}; raise it, or run SFT with this tokenizer first",
                file=sys.stderr,
            )

    def _text(self, problem: Problem) -> str:
        return self._asked(problem.problem)

    def _asked(self, words: str) -> str:
        return prompt_text(words, self.context.recipe.data, self.context.tokenizer)


def _is_endless(response: Generated) -> bool:
    """Whether the model's words reached the limit of tokens."""
    return response.truncated and (response.turns is None or response.turns.outcome == "length")


def unanswered(
    problems: Sequence[Problem], prompts: Sequence[str], max_tokens: int, step: int
) -> list[Sample]:
    """What is known before there are responses to some problems, whose prompts are given as texts."""
    return [
        Sample(
            prompt=prompt,
            response="",
            reference=problem.answer,
            id=problem.id,
            metadata=problem.metadata,
            max_tokens=max_tokens,
            step=step,
        )
        for prompt, problem in zip(prompts, problems, strict=True)
    ]


def as_samples(
    problems: Sequence[Problem],
    prompts: Sequence[str],
    generated: Sequence[Generated],
    tokenizer: PreTrainedTokenizerBase,
    max_tokens: int,
    step: int,
) -> list[Sample]:
    """What rewards see of the responses to some problems, whose prompts are given as texts.

    They see the response whole, with the start that it went on from.
    """
    starts = [
        encode_start(prompt, problem.start, tokenizer)
        for prompt, problem in zip(prompts, problems, strict=True)
    ]
    # Together, since a text's first word may be decoded otherwise than the same word behind others.
    tokens = [[*start, *response.tokens] for start, response in zip(starts, generated, strict=True)]
    replies = decode_responses(prompts, tokens, tokenizer)
    begun = decode_responses(prompts, starts, tokenizer)
    return [
        replace(
            sample,
            response=reply if response.turns is None else own_text(sample.prompt, response.turns),
            num_tokens=response.own_tokens,
            truncated=response.truncated,
            turns=response.turns,
            start=len(start) if problem.start else 0,
        )
        for problem, sample, reply, start, response in zip(
            problems,
            unanswered(problems, prompts, max_tokens, step),
            replies,
            begun,
            generated,
            strict=True,
        )
    ]


class EmbeddedSampler:
    """Draws responses with the policy's own weights in this process."""

    records = True

    def __init__(
        self,
        context: Context,
        settings: Ppo,
        models: ActorCritic,
        dialogue: Dialogue | None = None,
    ) -> None:
        self.context, self.settings, self.models = context, settings, models
        self.dialogue = dialogue

    def draw(
        self,
        prompts: Sequence[list[int]],
        step: int,
        first: int = 0,
        samples: Sequence[Sample] = (),
    ) -> list[Generated]:
        """A response to each prompt, in the order of the prompts, with log-probabilities."""
        settings, tokenizer = self.settings, self.context.tokenizer
        sampling = Sampling(
            settings.max_new_tokens, settings.temperature, record=settings.temperature
        )
        seeds = row_seeds(self.context.recipe.seed, "rollout", step, len(prompts), first)
        at_once, dialogue = settings.decode_batch, self.dialogue
        return respond(self.models, tokenizer, prompts, sampling, seeds, at_once, dialogue, samples)


def respond(
    models: ActorCritic,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    sampling: Sampling,
    seeds: Sequence[int],
    at_once: int,
    dialogue: Dialogue | None = None,
    samples: Sequence[Sample] = (),
) -> list[Generated]:
    """The policy's response to each prompt, in the order of the prompts; a seed for each.

    With a `dialogue` in turns, of which `samples` have what is known before.
    """
    if dialogue is not None:
        sampling = replace(sampling, stops=dialogue.stops)

    def draw(
        rows: Sequence[int], sequences: Sequence[list[int]], limits: Sequence[int], turn: int
    ) -> list[Generated]:
        responses = dict(
            generate(
                models.policy,
                sequences,
                sampling,
                seeds=turn_seeds([seeds[row] for row in rows], turn),
                eos_ids=end_ids(models.policy, tokenizer),
                pad_id=tokenizer.pad_token_id,
                at_once=at_once,
                limits=limits,
            )
        )
        return [responses[place] for place in range(len(rows))]

    limit = sampling.max_new_tokens
    with models.autocast():
        if dialogue is not None:
            return dialogue.respond(prompts, samples, limit, draw)
        return draw(range(len(prompts)), prompts, [limit] * len(prompts), 0)
