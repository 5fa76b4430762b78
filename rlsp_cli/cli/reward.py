"""`rlsp reward try|diff|select|audit|serve`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.command import Commands
from rlsp_cli.cli.options import (
    Json,
    OptionalRecipe,
    Overrides,
    RecipeArgument,
    Tokenizer,
    named_selector,
)
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.scoring_recipe import note_reasons, scoring_recipe
from rlsp_cli.cli.tab_completion import selectors, step_scorers, verifiers
from rlsp_cli.errors import CheckError, NotReadyError, UsageError
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.recipe.schema import Recipe
    from rlsp_cli.rewards.audit import Finding
    from rlsp_cli.rewards.sample import Sample, SampleScore, Score
    from rlsp_cli.rewards.scorer import Scorer
    from rlsp_cli.rewards.selection import Choice

_EPILOG = "Exit codes: docs/errors.md"
_MOST = 50
"""Dropped prompts that are shown as a table."""

VerifierName = Annotated[
    str | None,
    typer.Option(
        "--verifier",
        metavar="NAME",
        help="Score with this verifier alone, without a recipe.",
        autocompletion=verifiers,
    ),
]
StepScorerName = Annotated[
    str | None,
    typer.Option(
        "--step-scorer",
        metavar="NAME",
        help="Score the steps of --samples; KEY=VALUE are its options, steps.by=tag too.",
        autocompletion=step_scorers,
    ),
]
ResponseText = Annotated[
    str | None, typer.Option("--response", metavar="TEXT", help="A response to score.")
]
ReferenceText = Annotated[
    str | None, typer.Option("--reference", metavar="TEXT", help="Its reference answer.")
]
PromptText = Annotated[str, typer.Option("--prompt", metavar="TEXT", help="Its prompt.")]
Samples = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Responses to score: JSON Lines with response and reference."
    ),
]
OtherRecipe = Annotated[
    str | None,
    typer.Option(metavar="RECIPE", help="Score by this recipe; by default by the run's own."),
]
SelectorName = Annotated[
    str,
    typer.Option(
        "--selector", metavar="NAME", help="A name, or file.py:function.", autocompletion=selectors
    ),
]
SelectorOptions = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Options of the selector: lo=0.1 hi=0.9."),
]
Host = Annotated[
    str,
    typer.Option(
        metavar="HOST", help="Address; any but loopback needs a token in RLSP_REWARD_TOKEN."
    ),
]
Port = Annotated[int, typer.Option(metavar="PORT", help="Port; 0 takes a free one, and prints it.")]
Backlog = Annotated[
    int, typer.Option(metavar="N", help="Samples in work at which further requests get 503.", min=1)
]
GroupWait = Annotated[
    float, typer.Option(metavar="SECONDS", help="Longest wait for the samples of one prompt.")
]

app = Commands("Try, compare, attack and serve a recipe's rewards.")


@app.command("try", epilog=_EPILOG)
def try_(
    recipe: OptionalRecipe = None,
    overrides: Overrides = None,
    verifier: VerifierName = None,
    step_scorer: StepScorerName = None,
    response: ResponseText = None,
    reference: ReferenceText = None,
    prompt: PromptText = "",
    samples: Samples = None,
    tokenizer: Tokenizer = None,
    json: Json = False,
) -> None:
    r"""Score responses; show each component's value and its reason.

    Example: rlsp reward try quickstart --response '\boxed{3+7}' --reference 3+7
    """
    from rlsp_cli.rewards.combine import alpha_of

    if step_scorer:
        _try_steps(step_scorer, recipe, overrides or [], samples, json)
        return

    # Both would be as unclear as neither: a recipe has a verifier of its own.
    if (recipe is None) == (verifier is None):
        raise UsageError(
            "nothing to score with; give either a recipe, --verifier NAME or --step-scorer NAME"
        )

    loaded = _load(recipe, overrides or []) if recipe else _recipe_of(str(verifier))
    rows = _samples(response, reference, prompt, samples, _token_counter(loaded, tokenizer))
    with _scorer(loaded) as scorer:
        # Of a verifier alone there is no reward to show, only its verdicts.
        if verifier:
            _show_verdicts(rows, scorer.verify(rows), json)
        else:
            _show_scores(rows, scorer.score(rows, alpha_of(loaded, 0)), json)


@app.command(epilog=_EPILOG)
def diff(
    run: Annotated[Path, typer.Argument(help="A run with rollouts.")],
    overrides: Overrides = None,
    recipe: OtherRecipe = None,
    tokenizer: Tokenizer = None,
    json: Json = False,
) -> None:
    """Score a run's rollouts again, with another reward.

    Counts flipped verdicts, and compares rewards and advantages.

    Example: rlsp reward diff runs/a/1 reward.combine=gated_correct
    """
    from rlsp_cli.data import read_samples
    from rlsp_cli.rewards.combine import alpha_of
    from rlsp_cli.rewards.rescore import rescore
    from rlsp_cli.rewards.token_count import token_counter
    from rlsp_cli.runs.run import open_run
    from rlsp_cli.runs.shapes import RolloutRow
    from rlsp_cli.runs.stream import read_rows

    # The run's own recipe, so that one override changes one thing.
    paths = open_run(run).paths
    loaded = _load(recipe or str(paths.resolved), overrides or [])
    file = paths.stage("ppo").rollouts
    rows = list(read_rows(file, RolloutRow))
    samples = read_samples(file, token_counter(loaded.model, tokenizer))

    # Each step with the alpha that it had, which a schedule changes.
    with _scorer(loaded) as scorer:
        found = rescore(
            rows, samples, lambda part, step: scorer.score(part, alpha_of(loaded, step))
        )
    if json:
        print_json("reward-diff", found.to_json())
        return

    facts = {key: value for key, value in found.to_json().items() if key != "flips"}
    print_table(["", ""], [(key.replace("_", " "), _number(value)) for key, value in facts.items()])
    if found.flips:
        _show_flips(found.flips)


@app.command(epilog=_EPILOG)
def select(
    run: Annotated[Path, typer.Argument(help="A run with rollouts.")],
    selector: SelectorName,
    options: SelectorOptions = None,
    json: Json = False,
) -> None:
    """Show which prompts of a run's rollouts a selector would have dropped.

    It is asked about the responses to each prompt of each step, without a model.

    Example: rlsp reward select runs/a/1 --selector pass_rate lo=0.1 hi=0.9
    """
    from rlsp_cli.backends.served_models import served_models
    from rlsp_cli.data import read_samples
    from rlsp_cli.rewards.model_use import models_of
    from rlsp_cli.rewards.selection import Selector, grouped, with_scores
    from rlsp_cli.runs.run import open_run
    from rlsp_cli.runs.shapes import RolloutRow
    from rlsp_cli.runs.stream import read_rows

    opened = open_run(run)
    recipe, file = opened.recipe, opened.paths.stage("ppo").rollouts
    samples = with_scores(read_samples(file), list(read_rows(file, RolloutRow)))

    use = named_selector(selector, options or [], recipe.plugins)
    asked = models_of("selector", use, recipe.plugins).values()
    with (
        served_models(recipe, asked) as models,
        Selector(use, recipe.reward, recipe.plugins, models) as running,
    ):
        _show_choices(running.choose(grouped(samples)), json)


@app.command(epilog=_EPILOG)
def audit(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    problems: Annotated[
        int, typer.Option(metavar="N", help="Problems of the data to attack with.", min=2)
    ] = 4,
    tokenizer: Tokenizer = None,
    json: Json = False,
) -> None:
    """Attack a recipe's reward; exits with 6 if a trick beats honesty.

    Example: rlsp reward audit my.yaml
    """
    from rlsp_cli.data import audit_cases
    from rlsp_cli.rewards.audit import audit as run_audit
    from rlsp_cli.rewards.combine import alpha_of

    loaded = _load(recipe, overrides or [])
    with _scorer(loaded) as scorer:
        found = run_audit(
            audit_cases(loaded, problems),
            lambda samples: scorer.score(samples, alpha_of(loaded, 0)),
            scorer.deadline_s,
            _token_counter(loaded, tokenizer),
            by_steps=any(use.steps for use in loaded.reward.exploration),
        )

    _show_findings(found, json)
    _refuse_holes(found)


@app.command(epilog=_EPILOG)
def serve(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    backlog: Backlog = 1024,
    group_wait: GroupWait = 60.0,
    tokenizer: Tokenizer = None,
) -> None:
    """Serve a recipe's rewards over HTTP, in OpenRLHF's protocol.

    OpenRLHF posts to /, other clients to /score, which returns all components;
    /health and /metrics are for operation.

    Example: rlsp reward serve my.yaml --port 8000
    """
    from rlsp_cli.backends.served_models import served_models
    from rlsp_cli.rewards.model_use import models_at

    # Starlette and uvicorn are an extra.
    try:
        from rlsp_cli.rewards.service.server import run_service
    except ImportError as error:
        raise NotReadyError(
            f"serving needs `pip install 'rlsp[serve]'` ({error.name} is missing)"
        ) from error

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    loaded = _load(recipe, overrides or [])
    with served_models(loaded, models_at(loaded, "reward")) as models:
        run_service(
            loaded,
            host,
            port,
            say,
            tokenizer=tokenizer,
            backlog=backlog,
            group_wait_s=group_wait,
            models=models,
        )


@contextmanager
def _scorer(recipe: "Recipe") -> Iterator["Scorer"]:
    """The recipe's scorer, with the models that its plugins ask."""
    from rlsp_cli.backends.served_models import served_models
    from rlsp_cli.rewards.model_use import models_at
    from rlsp_cli.rewards.scorer import Scorer

    with (
        served_models(recipe, models_at(recipe, "reward")) as models,
        Scorer(recipe.reward, recipe.plugins, models) as scorer,
    ):
        yield scorer


def _token_counter(recipe: "Recipe", tokenizer: str | None) -> Callable[[str], int] | None:
    """Counts tokens as the model does; words, with a note, where its tokenizer cannot be loaded."""
    from rlsp_cli.preflight.hub import model_on_hub
    from rlsp_cli.rewards.token_count import token_counter

    name = tokenizer or recipe.model.path
    # Rewards by length should be tried offline too, so counting words is better than failing.
    if name and not Path(name).exists() and (reason := model_on_hub(name)):
        print(f"note: words are counted instead of tokens of {name}: {reason}", file=sys.stderr)
        return lambda text: len(text.split()) + 1  # and the end of sequence

    return token_counter(recipe.model, tokenizer)


def _load(name: str, overrides: list[str]) -> "Recipe":
    """A recipe whose rewards are valid; its stages are not looked at."""
    from rlsp_cli.recipe.load import load_recipe
    from rlsp_cli.recipe.shipped import find_recipe

    return load_recipe(find_recipe(name), overrides, plugins=resolve_options)


def _recipe_of(verifier: str) -> "Recipe":
    """A recipe of one verifier, on all cores."""
    import os

    from rlsp_cli.recipe.load import resolve_recipe

    reward = {"correctness": {"use": verifier}, "workers": os.cpu_count() or 1}
    return resolve_recipe({"name": "try", "reward": reward}, plugins=resolve_options)


def _try_steps(
    name: str, recipe: str | None, overrides: list[str], file: Path | None, json: bool
) -> None:
    """`rlsp reward try --step-scorer`; of a recipe it takes the models and the plugins."""
    from rlsp_cli.backends.served_models import served_models
    from rlsp_cli.data import read_stepped
    from rlsp_cli.rewards.model_use import models_at
    from rlsp_cli.rewards.step_scoring import StepScorer

    if file is None:
        raise UsageError("no steps to score; give --samples FILE, with response or steps")

    loaded = scoring_recipe(name, recipe, overrides)
    rows = read_stepped(file)
    use, reward, plugins = loaded.reward.exploration[0], loaded.reward, loaded.plugins
    with (
        served_models(loaded, models_at(loaded, "reward")) as models,
        StepScorer(use, reward, plugins, models) as scorer,
    ):
        scores = scorer.score_and_check(rows)
        texts = [scorer.texts(row) for row in rows]
    _show_steps([row.sample for row in rows], texts, scores, json)


def _samples(
    response: str | None,
    reference: str | None,
    prompt: str,
    file: Path | None,
    count: Callable[[str], int] | None,
) -> list["Sample"]:
    from rlsp_cli.data import read_samples
    from rlsp_cli.rewards.plain import as_sample

    if (response is None) == (file is None):
        raise UsageError("nothing to score; give either --response TEXT or --samples FILE")
    if file is not None:
        return read_samples(file, count)

    row = {"prompt": prompt, "response": response, "reference": reference}
    return [as_sample(row, "--response", count)]


def _show_verdicts(samples: Sequence["Sample"], scores: Sequence[Any], json: bool) -> None:
    from rlsp_cli.rewards.plain import plain_part

    rows = []
    for sample, score in zip(samples, scores, strict=True):
        rows.append({"id": sample.id, **plain_part(score)})

    if json:
        keys = ("id", "outcome", "value", "seconds", "reason")
        print_json("reward-try", [_picked(row, keys) for row in rows])
    else:
        columns = ["id", "outcome", "value", "answer", "reason"]
        print_table(columns, [list(map(row.get, columns)) for row in rows])


def _show_steps(
    samples: Sequence["Sample"],
    texts: Sequence[list[str]],
    scores: Sequence["Score"],
    json: bool,
) -> None:
    # One score for each step also where the scorer failed, which leaves them unknown.
    values: list[list[float | None]] = []
    for steps, score in zip(texts, scores, strict=True):
        known = [step.value for step in score.steps or ()]
        values.append(known or [None for _ in steps])

    note_reasons(scores)
    rows = list(zip(samples, texts, values, scores, strict=True))
    if json:
        print_json("reward-try", [_plain_steps(*row) for row in rows])
        return

    cells: list[tuple[Any, ...]] = []
    for sample, steps, found, score in rows:
        for number, (step, value) in enumerate(zip(steps, found, strict=True)):
            cells.append((sample.id, number, _number(value), step))
        cells.append((sample.id, score.outcome, _number(score.value), ""))
    print_table(["id", "step", "score", "text"], cells, keys=2)


def _plain_steps(
    sample: "Sample", texts: list[str], values: list[float | None], score: "Score"
) -> dict[str, Any]:
    outcome = {"id": sample.id, "outcome": score.outcome}
    return {**outcome, "steps": texts, "scores": values, "aggregate": score.value}


def _picked(row: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: row[key] for key in keys}


def _show_scores(samples: Sequence["Sample"], scores: Sequence["SampleScore"], json: bool) -> None:
    from rlsp_cli.rewards.plain import plain_score

    rows = [plain_score(sample, score) for sample, score in zip(samples, scores, strict=True)]
    if json:
        print_json("reward-try", rows)
        return

    # A line for each component, and one for the reward that they come to.
    cells: list[tuple[Any, ...]] = []
    for row in rows:
        for part in row["components"]:
            value = (part["outcome"], _number(part["value"]))
            cells.append((row["id"], part["component"], *value, part["answer"], part["reason"]))
        cells.append((row["id"], "reward", "", _number(row["reward"]), "", ""))
    print_table(["id", "component", "outcome", "value", "answer", "reason"], cells)


def _show_flips(flips: Sequence[dict[str, Any]]) -> None:
    cells = []
    for flip in flips:
        answers = (flip["reference"], flip["answer_before"], flip["answer_now"])
        cells.append(
            (flip["id"], _from_one(flip["step"]), *answers, "right" if flip["now"] else "wrong")
        )

    columns = ["id", "step", "reference", "answer before", "answer now", "now"]
    print_table(columns, cells, title="Flipped verdicts, the first of them")


def _show_choices(choices: Sequence["Choice"], json: bool) -> None:
    dropped = [choice for choice in choices if choice.drops_prompt]
    counts = {
        "groups": len(choices),
        "kept": len(choices) - len(dropped),
        "dropped": len(dropped),
    }
    if json:
        named = []
        for choice in dropped:
            first = choice.samples[0]
            named.append({"id": first.id, "step": first.step, "reason": choice.reason})
        print_json("reward-select", {**counts, "dropped_ids": named})
        return

    cells = [(key, count, _number(count / len(choices))) for key, count in counts.items()]
    print_table(["", "prompts", "share"], cells)

    # Within the prompts that are kept, a selector may leave out single responses.
    kept = sum(sum(choice.kept) for choice in choices)
    print(f"responses kept: {kept} of {sum(len(choice.kept) for choice in choices)}")
    _show_dropped(dropped)


def _show_dropped(dropped: Sequence["Choice"]) -> None:
    cells = []
    for choice in dropped[:_MOST]:
        first = choice.samples[0]
        cells.append((first.id, _from_one(first.step), choice.reason))
    if cells:
        print_table(["id", "step", "reason"], cells, title="\nDropped prompts")
    if len(dropped) > _MOST:
        print(f"and {len(dropped) - _MOST} more: --json has all")


def _from_one(step: int | None) -> int | None:
    """A step for people, who count from 1; in files they are counted from 0."""
    return None if step is None else step + 1


def _show_findings(found: Sequence["Finding"], json: bool) -> None:
    if json:
        rows = [{**asdict(finding), "is_hole": finding.is_hole} for finding in found]
        print_json("reward-audit", rows)
        return

    cells = []
    for one in found:
        rewards = map(_number, (one.reward, one.honest_wrong, one.honest_right))
        beats = (f"{one.beats_wrong}/{one.problems}", f"{one.beats_right}/{one.problems}")
        cells.append((one.attack, *rewards, *beats, one.overdue, one.unscored, _gravity(one)))

    columns = ["attack", "reward", "honest wrong", "honest right"]
    columns += ["beats wrong", "beats right", "overdue", "unscored", ""]
    print_table(columns, cells)


def _gravity(finding: "Finding") -> str:
    # A trick that beats only a wrong answer still earns less than a right one.
    if finding.beats_right or finding.overdue:
        return "GRAVE"
    return "look here" if finding.beats_wrong else ""


def _refuse_holes(found: Sequence["Finding"]) -> None:
    """CheckError for attacks that earn more than an honest answer."""
    holes = [finding for finding in found if finding.is_hole]
    if not holes:
        return

    grave = [finding.attack for finding in holes if finding.beats_right or finding.overdue]
    slight = [finding.attack for finding in holes if finding.attack not in grave]
    parts = [f"{len(holes)} of {len(found)} attacks pay"]
    if grave:
        parts.append(f"more than a right answer, or outlive the deadline: {', '.join(grave)}")
    if slight:
        parts.append(f"more than an honest wrong answer alone: {', '.join(slight)}")
    raise CheckError("; ".join([*parts, "docs/reward_tests.md says what helps"]))


def _number(value: Any) -> Any:
    return f"{value:.3f}" if isinstance(value, float) else value
