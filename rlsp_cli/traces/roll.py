"""`rlsp data prompts`: sample responses to a recipe's prompts, and keep what a selector keeps."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rlsp_cli.backends.local.sampling import continuer_of
from rlsp_cli.backends.served_models import served_models
from rlsp_cli.data import PARENT, Problem, recipe_problems
from rlsp_cli.errors import DataError, UsageError
from rlsp_cli.evals.samplers import Decoding, Request, Response, Sampler, sampled
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.rewards.breaker import refuse_failing
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.model_use import models_at, models_of
from rlsp_cli.rewards.plain import rollout_row
from rlsp_cli.rewards.sample import Sample, SampleScore
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.selection import Choice, Selector, scored_groups
from rlsp_cli.runs.lock import locked
from rlsp_cli.runs.stream import append_rows, read_rows
from rlsp_cli.terminal import print
from rlsp_cli.traces.sampling import open_sampler

_CHUNK = 64
"""Prompts that are sampled, scored and written together."""
_TOP_P = 1.0
_DIGEST_SHOWN = 16
"""Characters of a digest in the name of a drafts file."""


@dataclass(frozen=True)
class RollJob:
    """Prompts to try with a model, folder or hub id, or the name of one at a server's `url`."""

    recipe: Recipe
    model: str
    url: str | None
    samples: int
    selector: SelectorUse
    out: Path

    @property
    def responses(self) -> Path:
        """All responses with their verdicts, those of dropped prompts too."""
        return self.out.with_suffix(".responses.jsonl")

    @property
    def dropped(self) -> Path:
        """The prompts that were dropped, each with the numbers of its responses."""
        return self.out.with_suffix(".dropped.jsonl")

    @property
    def drafts(self) -> Path:
        """Folder of what is not finished, so that an interrupted command resumes."""
        return self.out.with_suffix(".drafts")

    @property
    def settings(self) -> Ppo:
        """How responses are sampled: as in training."""
        return self.recipe.ppo or Ppo()


@dataclass
class Rolled:
    """How many prompts were tried, kept and dropped, and the responses to them."""

    prompts: int = 0
    kept: int = 0
    dropped: int = 0
    responses: int = 0

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return asdict(self)


class _Drawn(BaseModel):
    """A row of the drafts file: the response to a request of a chunk."""

    chunk: int
    request: int
    response: dict[str, Any]


def roll_prompts(job: RollJob) -> Rolled:
    """Write the kept prompts, the dropped ones and all responses, each into a file.

    UsageError for a file that exists, DataError if no prompt is kept, SafetyError when too many
    responses cannot be scored. The responses so far are kept in any case.
    """
    _refuse(job)
    # Two commands with one output would write into the same drafts.
    with locked(job.drafts):
        return _roll(job)


def _refuse(job: RollJob) -> None:
    if not job.recipe.data.prompt_sources:
        raise UsageError(f"{job.recipe.name}: it has no data.prompts to try")
    if job.recipe.continuation and job.url is not None:
        raise UsageError(
            f"{job.recipe.name}: its continuation answers a model of the embedded engine, and --url "
            "is a server; set continuation=null, or leave out --url"
        )
    if job.out.suffix != ".jsonl":
        raise UsageError(f"{job.out}: written as JSON Lines; name a file that ends in .jsonl")
    for path in (job.out, job.responses, job.dropped):
        if path.exists():
            raise UsageError(f"{path}: exists already; name another file by --out")


def _roll(job: RollJob) -> Rolled:
    recipe, found = job.recipe, Rolled()
    problems = recipe_problems(recipe)
    # Written under these names while they grow: what has its own name is whole.
    targets = (job.out, job.dropped, job.responses)
    drafts = {path: job.drafts / path.name for path in targets}
    for path in drafts.values():
        path.unlink(missing_ok=True)

    with ExitStack() as stack:
        asked = models_at(recipe, "reward", "continuation") | {*_asked_by(job.selector, recipe)}
        models = stack.enter_context(served_models(recipe, asked))
        continuer = stack.enter_context(continuer_of(recipe, models))
        sampler, prompt = open_sampler(job.model, job.url, recipe.data, continuer)
        scorer = stack.enter_context(Scorer(recipe.reward, recipe.plugins, models))
        selector = stack.enter_context(
            Selector(job.selector, recipe.reward, recipe.plugins, models)
        )
        rolling = _Rolling(job, sampler, prompt, problems)

        last = ""
        for chunk, samples in rolling.chunks():
            scores = scorer.score(samples, alpha_of(recipe, 0))
            refuse_failing(samples, scores, recipe.reward)
            choices = selector.choose(scored_groups(samples, scores, job.samples))

            rows = _rows(chunk, choices, scores)
            for path, some in zip(targets, rows, strict=True):
                append_rows(drafts[path], some)
            last = next((choice.reason for choice in choices if choice.drops_prompt), last)
            _count(found, choices)
            print(f"tried {found.prompts} of {len(problems)} prompts", file=sys.stderr, flush=True)

    if not found.kept:
        name = job.selector.use
        raise DataError(f"{name}: none of {found.prompts} prompts is left; one of them: {last}")
    for path in reversed(targets):
        drafts[path].rename(path)
    shutil.rmtree(job.drafts, ignore_errors=True)
    return found


def _asked_by(selector: SelectorUse, recipe: Recipe) -> Collection[str]:
    return models_of("selector", selector, recipe.plugins).values()


class _Rolling:
    """Samples the responses to chunks of problems, but for those that are in the drafts."""

    def __init__(
        self,
        job: RollJob,
        sampler: Sampler,
        prompt: Callable[[str], str],
        problems: Collection[Problem],
    ) -> None:
        self.job, self.sampler, self.prompt, self.problems = job, sampler, prompt, problems
        self.file = job.drafts / f"drawn-{self._digest()}.jsonl"

    def chunks(self) -> Iterator[tuple[list[Problem], list[Sample]]]:
        """Some problems, and the responses to each of them."""
        remaining, number = iter(self.problems), 0
        known = self._drawn()
        while chunk := list(islice(remaining, _CHUNK)):
            yield chunk, self._samples(number, chunk, known.pop(number, {}))
            number += 1

    def _samples(
        self, number: int, chunk: Sequence[Problem], found: dict[int, Response]
    ) -> list[Sample]:
        job, count = self.job, self.job.samples
        asked = [problem for problem in chunk for _ in range(count)]
        prompts = [self.prompt(problem.problem) for problem in asked]

        requests = []
        for row, (problem, prompt) in enumerate(zip(asked, prompts, strict=True)):
            system, columns = job.recipe.data.system, problem.metadata
            request = Request(problem.id, prompt, row % count, problem.start, system)
            requests.append(replace(request, metadata=columns))

        for row, response in self.sampler.answer(requests, self._decoding(number), set(found)):
            # Written as they come: a kill loses at most what is being decoded.
            drawn = {"chunk": number, "request": row, "response": asdict(response)}
            append_rows(self.file, [drawn])
            found[row] = response

        pairs = enumerate(zip(asked, prompts, strict=True))
        limit = job.settings.max_new_tokens
        return [sampled(problem, prompt, found[row], limit) for row, (problem, prompt) in pairs]

    def _decoding(self, chunk: int) -> Decoding:
        # Each chunk has a seed of its own: a request's number within it begins at 0 again.
        settings = self.job.settings
        seed = self.job.recipe.seed + chunk
        return Decoding(settings.temperature, _TOP_P, settings.max_new_tokens, seed=seed)

    def _drawn(self) -> dict[int, dict[int, Response]]:
        """The responses in the drafts, by chunk and request."""
        known: dict[int, dict[int, Response]] = {}
        for row in read_rows(self.file, _Drawn):
            known.setdefault(row["chunk"], {})[row["request"]] = Response.from_json(row["response"])
        return known

    def _digest(self) -> str:
        """Of all that the responses depend on. The selector is not among it: it may change."""
        job, settings = self.job, self.job.settings
        decoding = [settings.temperature, settings.max_new_tokens, job.recipe.seed]
        asked: list[Any] = [job.model, job.url, job.samples, job.recipe.data.system, decoding]
        if job.recipe.continuation:
            asked.append(job.recipe.continuation.model_dump(mode="json"))

        digest = hashlib.sha256(json.dumps(asked).encode())
        for problem in self.problems:
            begun = [problem.start] if problem.start else []
            line = json.dumps([problem.id, self.prompt(problem.problem), *begun])
            digest.update(line.encode())
        return digest.hexdigest()[:_DIGEST_SHOWN]


def _rows(
    problems: Sequence[Problem], choices: Sequence[Choice], scores: Sequence[SampleScore]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of kept prompts, of dropped ones, and of all responses."""
    kept, dropped, responses = [], [], []
    remaining = iter(scores)
    for problem, choice in zip(problems, choices, strict=True):
        numbers = {"id": problem.id, **choice.numbers}
        if choice.drops_prompt:
            dropped.append({**numbers, "reason": choice.reason})
        else:
            own = {"id": problem.id, "problem": problem.problem, "answer": problem.answer}
            parent = {PARENT: problem.parent} if problem.parent else {}
            kept.append({**problem.metadata, **own, **parent})

        for sample, keeps in zip(choice.samples, choice.kept, strict=True):
            row = rollout_row(0, sample, next(remaining))
            asked = {"problem": problem.problem, "step": None}
            responses.append({**row, **asked, "kept": keeps})
    return kept, dropped, responses


def _count(found: Rolled, choices: Sequence[Choice]) -> None:
    dropped = sum(choice.drops_prompt for choice in choices)
    found.prompts += len(choices)
    found.dropped += dropped
    found.kept += len(choices) - dropped
    found.responses += sum(len(choice.samples) for choice in choices)
