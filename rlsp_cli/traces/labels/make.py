"""`rlsp data steps`: read responses, label their steps, and write the rows with a data card."""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from rlsp_cli import __version__
from rlsp_cli.backends.served_models import served_models
from rlsp_cli.data import source_digest
from rlsp_cli.errors import SafetyError, UsageError
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.models import UnansweredError
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.runs.clock import now
from rlsp_cli.runs.lock import locked
from rlsp_cli.runs.stream import write_json, write_lines, write_text
from rlsp_cli.terminal import print
from rlsp_cli.traces.labels.card import StepCard
from rlsp_cli.traces.labels.chosen import chosen_labeller, split_of
from rlsp_cli.traces.labels.job import LabelJob
from rlsp_cli.traces.labels.labelled import Labelled, Labeller
from rlsp_cli.traces.labels.merge import merged
from rlsp_cli.traces.labels.read import as_solutions, file_samples, trace_samples
from rlsp_cli.traces.labels.remembered import Remembered
from rlsp_cli.traces.labels.solution import Solution
from rlsp_cli.traces.labels.sorm import balanced
from rlsp_cli.traces.tally import Tally, tally


def label_steps(job: LabelJob) -> StepCard:
    """Write rows with `prompt`, `completions` and `labels`, and their card.

    UsageError for contradicting settings or a file that exists, DataError if no row is left,
    SafetyError if more responses fail than `reward.failure_limit` allows; what models have answered
    is kept then, and is not asked again.
    """
    _refuse(job)
    # Two commands with one output would write into the same drafts.
    with locked(job.drafts):
        return _label(job)


def _refuse(job: LabelJob) -> None:
    """UsageError for what can be said before anything is read."""
    if job.out.suffix != ".jsonl":
        raise UsageError(f"{job.out}: written as JSON Lines; name a file that ends in .jsonl")
    for path in (job.out, job.card_to_read, job.card_json):
        if path.exists():
            raise UsageError(f"{path}: exists already; name another file by --out")

    if job.soft and job.label not in ("mc", "judge"):
        raise UsageError(f"--soft: {job.label} tells right from wrong alone; use mc or judge")
    if job.merge and job.label == "refine":
        raise UsageError("--merge: each pair of responses would stand twice; merge other labels")
    if job.asks_scorer and job.scorer is None:
        raise UsageError(f"--label {job.label}: which step scorer? name it by --scorer")
    asked = [("--model", job.model)] * job.asks_model + [("--critic", job.critic)] * job.asks_critic
    for option, name in asked:
        if name is None:
            raise UsageError(f"--label {job.label}: which model? name one in the recipe's models")
        if name not in job.recipe.models:
            known = ", ".join(job.recipe.models) or "none"
            raise UsageError(f"{option} {name}: not among the recipe's models ({known})")
    if job.samples is None and not job.recipe.data.trace_sources:
        raise UsageError(f"{job.recipe.name}: it has no data.traces; name responses by --samples")


def _label(job: LabelJob) -> StepCard:
    remembered = Remembered(job.drafts / "answers.jsonl")
    with (
        served_models(job.recipe, job.models) as models,
        Scorer(_reward(job), job.recipe.plugins, models) as scorer,
    ):
        solutions = _solutions(job, scorer)
        _say(f"verified {len(solutions)} responses, {sum(one.is_right for one in solutions)} right")
        labeller = chosen_labeller(job, scorer, models, remembered)
        found = _labelled(job, labeller, solutions)

    _refuse_failures(job, found)
    if job.label == "sorm":
        found = list(balanced(found, job.recipe.seed))
    rows = list(_rows(found, job.merge))
    card = _card(job, rows, [_tally(job, found)], remembered)
    _write(job, card, rows)
    return card


def _reward(job: LabelJob) -> Reward:
    """The recipe's verifier, and the step scorer in place of its exploration rewards."""
    exploration = (job.scorer,) if job.asks_scorer else ()
    return job.recipe.reward.model_copy(update={"exploration": exploration})


def _solutions(job: LabelJob, scorer: Scorer) -> list[Solution]:
    """The responses with the verifier's verdicts."""
    samples = file_samples(job.samples, job.recipe) if job.samples else trace_samples(job.recipe)
    found = as_solutions(list(samples), split_of(job))

    verdicts = scorer.verify([solution.sample for solution in found])
    return [
        replace(one, sample=replace(one.sample, correct=verdict.value))
        for one, verdict in zip(found, verdicts, strict=True)
    ]


def _labelled(job: LabelJob, labeller: Labeller, solutions: Sequence[Solution]) -> list[Labelled]:
    """Labels of all responses; those of one problem go together, and several problems at once."""
    faults = [fault for one in solutions if (fault := _unfit(job, one))]
    unfit = {id(one.solution) for one in faults}

    problems: dict[str, list[Solution]] = {}
    for solution in solutions:
        if id(solution) not in unfit:
            problems.setdefault(solution.sample.prompt, []).append(solution)

    with ThreadPoolExecutor(job.recipe.reward.workers) as threads:
        asked = threads.map(partial(_of_problem, labeller), problems.values())
        found = [*faults]
        for number, labelled in enumerate(asked, 1):
            found += labelled
            _say(f"labelled {number} of {len(problems)} problems")
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _of_problem(labeller: Labeller, solutions: Sequence[Solution]) -> list[Labelled]:
    try:
        return labeller.label(solutions)
    except UnansweredError as error:
        return [Labelled(one, fault=f"no answer: {error}", failed=True) for one in solutions]


def _unfit(job: LabelJob, solution: Solution) -> Labelled | None:
    """A fault of a response that cannot be labelled."""
    if not solution.steps:
        return Labelled(solution, fault="no steps")
    if solution.sample.correct is None and job.label != "judge":
        return Labelled(solution, fault="no verdict on the response", failed=True)
    return None


def _refuse_failures(job: LabelJob, found: Sequence[Labelled]) -> None:
    failed = [one for one in found if one.failed]
    limit = job.recipe.reward.failure_limit
    if len(failed) > limit * len(found):
        first = f"{failed[0].solution.place}: {failed[0].fault}"
        words = f"{len(failed)} of {len(found)} responses failed (reward.failure_limit {limit})"
        raise SafetyError(f"{words}, first {first}; the same command asks only what is missing")


def _tally(job: LabelJob, found: Sequence[Labelled]) -> Tally:
    faults = [(one.fault, one.solution.place) for one in found if one.fault]
    made = tally(f"label {job.label}", len(found), len(found) - len(faults), faults)
    made.refuse_nothing()
    return made


def _rows(found: Sequence[Labelled], merge: bool) -> Iterator[dict[str, Any]]:
    for one in found:
        if one.fault:
            continue
        row = one.to_row()
        yield row
        if merge and (longer := merged(row)):
            yield longer


def _card(
    job: LabelJob, rows: Sequence[dict[str, Any]], tallies: Sequence[Tally], asked: Remembered
) -> StepCard:
    digest = hashlib.sha256("".join(_lines(rows)).encode()).hexdigest()
    source = str(job.samples) if job.samples else "data.traces"
    correctness = job.recipe.reward.correctness
    return StepCard(
        file=job.out.name,
        sha256=digest,
        created=now(),
        version=__version__,
        command=job.command,
        source=source,
        identity=source_digest(source),
        settings=job.settings(),
        verifier=correctness.model_dump(mode="json"),
        models={name: one.model_dump() for name, one in job.recipe.models.items()},
        filters=tallies,
        rows=rows,
        questions=asked.questions,
        tokens=asked.tokens,
    )


def _lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _write(job: LabelJob, card: StepCard, rows: Sequence[dict[str, Any]]) -> None:
    # The rows come last: where they are, the card is.
    write_text(job.card_to_read, card.to_markdown())
    write_json(job.card_json, {"schema": "rlsp.steps/1", "data": card.to_json()})
    write_lines(job.out, _lines(rows))
    shutil.rmtree(job.drafts, ignore_errors=True)
