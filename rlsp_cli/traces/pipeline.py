"""The filters that a job asks for, in their order."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from rlsp_cli.backends.served_models import served_models
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.overlap.against import index_of
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.model import Model
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.continuing import Continuer
from rlsp_cli.rewards.model_use import models_of
from rlsp_cli.rewards.models import NO_MODELS
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.selection import Selector
from rlsp_cli.rewards.token_count import token_counter
from rlsp_cli.terminal import print
from rlsp_cli.traces.filters import (
    Filter,
    apart_from,
    by_length,
    closed,
    count_words,
    one_per_problem,
    selected,
    verified,
)
from rlsp_cli.traces.job import TraceJob
from rlsp_cli.traces.keys import RejectionSampling, TraceSettings
from rlsp_cli.traces.rejection import RejectionSampler
from rlsp_cli.traces.sampling import open_sampler
from rlsp_cli.traces.tree_filter import tree_filter
from rlsp_cli.traces.trees import Verify


@contextmanager
def pipeline(
    job: TraceJob, recipe: Recipe | None, benches: Sequence[Bench], reward: Reward | None
) -> Iterator[list[Filter]]:
    """The filters that the settings ask for, in their order, with the verifier's processes."""
    settings = job.settings
    apart = [partial(apart_from, index=index_of(benches))] if benches else []
    last: list[Filter] = [one_per_problem] if settings.one_per_problem else []

    with ExitStack() as running:
        verify = running.enter_context(Scorer(reward)).verify if reward else None
        drawing = _drawing(job, recipe, reward, verify, running)
        # What costs nothing comes before the verifier, which may take seconds for each row.
        shaped: list[Filter] = [closed, _length_filter(settings)]
        judging = _judging(job, reward, verify, running)

        # A tree costs far more than a comparison with the benches, and a row less.
        if settings.search:
            yield [*apart, *drawing, *shaped, *judging, *last]
        else:
            yield [*drawing, *shaped, *judging, *apart, *last]


def _drawing(
    job: TraceJob,
    recipe: Recipe | None,
    reward: Reward | None,
    verify: Verify | None,
    running: ExitStack,
) -> list[Filter]:
    """The filter that searches or samples solutions, if the settings ask for one; it ends with `running`."""
    settings = job.settings
    if settings.search:
        assert settings.sample and reward and verify, "refused before"
        searching = tree_filter(
            settings.search,
            settings.sample,
            job.trees,
            recipe=recipe,
            reward=reward,
            verify=verify,
            tick=partial(_print_tick, "searched"),
        )
        return [running.enter_context(searching)]
    if settings.sample:
        sampling = _rejection_sampler(settings.sample, recipe, job.drafts)
        return [running.enter_context(sampling).sample]
    return []


def _length_filter(settings: TraceSettings) -> Filter:
    count = token_counter(Model(), settings.tokenizer) or count_words
    shortest, longest = settings.min_tokens, settings.max_tokens
    return partial(by_length, count=count, shortest=shortest, longest=longest)


def _judging(
    job: TraceJob, reward: Reward | None, verify: Verify | None, running: ExitStack
) -> list[Filter]:
    """The selector or the verifier, if there is one; step values of trees need neither."""
    settings, tick = job.settings, partial(_print_tick, "verified")
    if job.selector:
        selector = running.enter_context(Selector(job.selector, reward or Reward()))
        keep_wrong = settings.keep_wrong
        return [
            partial(selected, selector=selector, verify=verify, keep_wrong=keep_wrong, tick=tick)
        ]
    if verify and not (settings.search and settings.search.write == "values"):
        return [partial(verified, verify=verify, tick=tick)]
    return []


@contextmanager
def _rejection_sampler(
    sampling: RejectionSampling, recipe: Recipe | None, drafts: Path
) -> Iterator[RejectionSampler]:
    """The sampler of solutions; the recipe has the prompt, and models that a continuation asks."""
    data, use = recipe.data if recipe else Data(), sampling.continuation
    with ExitStack() as running:
        continuer = None
        if use:
            asked = models_of("continuation", use).values()
            models = running.enter_context(served_models(recipe, asked)) if recipe else NO_MODELS
            limits = Reward(workers=os.cpu_count() or 1)
            continuer = running.enter_context(Continuer(use, limits, models=models))

        sampler, prompt = open_sampler(sampling.model, sampling.url, data, continuer)
        yield RejectionSampler(
            sampler,
            sampling,
            prompt,
            drafts,
            data,
            tick=partial(_print_tick, "sampled"),
        )


def _print_tick(what: str, done: int, total: int) -> None:
    print(f"{what} {done} of {total}", file=sys.stderr, flush=True)
