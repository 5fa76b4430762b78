"""`rlsp reward try|diff|audit|serve`."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.completion import verifiers
from rlsp_cli.cli.options import Json, OptionalRecipe, Overrides, RecipeArgument, Tokenizer
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import CheckError, UsageError
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.recipe.schema import Recipe
    from rlsp_cli.rewards.audit import Finding
    from rlsp_cli.rewards.sample import Sample, SampleScore

app = typer.Typer(help="Try, compare, attack and serve a recipe's rewards.", no_args_is_help=True)
_EPILOG = "Exit codes: docs/errors.md"


@app.command("try", epilog=_EPILOG)
def try_(
    recipe: OptionalRecipe = None,
    overrides: Overrides = None,
    verifier: Annotated[
        str | None,
        typer.Option(help="Only this verifier, without a recipe.", autocompletion=verifiers),
    ] = None,
    response: Annotated[str | None, typer.Option(help="A response to score.")] = None,
    reference: Annotated[str | None, typer.Option(help="Its reference answer.")] = None,
    prompt: Annotated[str, typer.Option(help="Its prompt.")] = "",
    samples: Annotated[
        Path | None,
        typer.Option(help="JSON Lines with response, reference, and any other field of a sample."),
    ] = None,
    tokenizer: Tokenizer = None,
    json: Json = False,
) -> None:
    r"""Score responses with every component and its reason.

    Example: rlsp reward try quickstart --response '\boxed{3 + 7}' --reference '3 + 7'
    """
    from rlsp_cli.rewards.combine import alpha_of
    from rlsp_cli.rewards.scorer import Scorer

    if (recipe is None) == (verifier is None):
        raise UsageError("what shall score? give either a recipe or --verifier NAME")
    loaded = _load(recipe, overrides or []) if recipe else _only(str(verifier))
    rows = _samples(response, reference, prompt, samples, _counter(loaded, tokenizer))
    with Scorer(loaded.reward, loaded.plugins) as scorer:
        if verifier:
            _show_verdicts(rows, scorer.verify(rows), json)
        else:
            _show_scores(rows, scorer.score(rows, alpha_of(loaded, 0)), json)


@app.command(epilog=_EPILOG)
def diff(
    run: Annotated[Path, typer.Argument(help="A run with rollouts.")],
    overrides: Overrides = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="The recipe whose reward is tried; the run's own if not given."),
    ] = None,
    tokenizer: Tokenizer = None,
    json: Json = False,
) -> None:
    """Score a run's rollouts again with another reward: flipped verdicts, advantages.

    Example: rlsp reward diff runs/a/1 reward.combine=gated_correct
    """
    from rlsp_cli.data import read_samples
    from rlsp_cli.rewards.combine import alpha_of
    from rlsp_cli.rewards.rescore import rescore
    from rlsp_cli.rewards.scorer import Scorer
    from rlsp_cli.rewards.token_count import token_counter
    from rlsp_cli.runs.run import open_run
    from rlsp_cli.runs.shapes import Rollout
    from rlsp_cli.runs.stream import read_rows

    paths = open_run(run).paths
    loaded = _load(recipe or str(paths.resolved), overrides or [])
    file = paths.stage("ppo").rollouts
    rows, samples = (
        list(read_rows(file, Rollout)),
        read_samples(file, token_counter(loaded.model, tokenizer)),
    )
    with Scorer(loaded.reward, loaded.plugins) as scorer:
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
def audit(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    problems: Annotated[
        int, typer.Option(help="Problems of the recipe's data to attack with.", min=2)
    ] = 4,
    tokenizer: Tokenizer = None,
    json: Json = False,
) -> None:
    """Attack a recipe's reward; exits with 6 if a trick beats an honest answer.

    Example: rlsp reward audit my.yaml
    """
    from rlsp_cli.data import audit_cases
    from rlsp_cli.rewards.audit import audit as run_audit
    from rlsp_cli.rewards.combine import alpha_of
    from rlsp_cli.rewards.scorer import Scorer

    loaded = _load(recipe, overrides or [])
    with Scorer(loaded.reward, loaded.plugins) as scorer:
        found = run_audit(
            audit_cases(loaded, problems),
            lambda samples: scorer.score(samples, alpha_of(loaded, 0)),
            scorer.deadline_s,
            _counter(loaded, tokenizer),
        )
    _show_findings(found, json)
    holes = [finding for finding in found if finding.is_hole]
    if holes:
        grave = [finding.attack for finding in holes if finding.beats_right or finding.overdue]
        slight = [finding.attack for finding in holes if finding.attack not in grave]
        parts = (
            [f"more than a right answer, or outlive the deadline: {', '.join(grave)}"]
            if grave
            else []
        )
        parts += [f"more than an honest wrong answer alone: {', '.join(slight)}"] if slight else []
        raise CheckError(
            f"{len(holes)} of {len(found)} attacks pay; {'; '.join(parts)}; docs/rewards.md says what helps"
        )


@app.command(epilog=_EPILOG)
def serve(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    host: Annotated[
        str, typer.Option(help="Address; others than loopback need a token in RLSP_REWARD_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one and says which.")] = 8000,
    backlog: Annotated[
        int, typer.Option(help="Samples in work before requests are refused with 503.", min=1)
    ] = 1024,
    group_wait: Annotated[
        float,
        typer.Option(
            help="Seconds to wait for the other samples of a prompt, for rewards that take a group."
        ),
    ] = 60.0,
    tokenizer: Tokenizer = None,
) -> None:
    """Serve a recipe's rewards over HTTP, in OpenRLHF's protocol.

    OpenRLHF asks /, other clients /score for all components; /health and
    /metrics are for operation.

    Example: rlsp reward serve my.yaml --port 8000
    """
    from rlsp_cli.errors import NotReadyError

    try:
        from rlsp_cli.rewards.service.serve import serve as run_service
    except ImportError as error:
        raise NotReadyError(
            f"serving needs `pip install 'rlsp[serve]'` ({error.name} is missing)"
        ) from error

    loaded = _load(recipe, overrides or [])

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    run_service(
        loaded, host, port, say, tokenizer=tokenizer, backlog=backlog, group_wait_s=group_wait
    )


def _counter(recipe: "Recipe", tokenizer: str | None) -> Callable[[str], int] | None:
    """Counts tokens as the model would; words, and says so, where its tokenizer is on a hub that nobody reaches."""
    from rlsp_cli.preflight.hub import model_on_hub
    from rlsp_cli.rewards.token_count import token_counter

    name = tokenizer or recipe.model.path
    if name and not Path(name).exists() and (reason := model_on_hub(name)):
        print(f"note: words are counted instead of tokens of {name}: {reason}", file=sys.stderr)
        return lambda text: len(text.split()) + 1
    return token_counter(recipe.model, tokenizer)


def _load(name: str, overrides: list[str]) -> "Recipe":
    """A recipe whose rewards are valid; its stages are not looked at."""
    from rlsp_cli.recipe.load import load_recipe
    from rlsp_cli.recipe.shipped import find_recipe

    return load_recipe(find_recipe(name), overrides, plugins=resolve_options)


def _only(verifier: str) -> "Recipe":
    """A recipe of one verifier, on all cores."""
    import os

    from rlsp_cli.recipe.load import resolve_recipe

    reward = {"correctness": {"use": verifier}, "workers": os.cpu_count() or 1}
    return resolve_recipe({"name": "try", "reward": reward}, plugins=resolve_options)


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
        raise UsageError("what shall be scored? give either --response TEXT or --samples FILE")
    if file is not None:
        return read_samples(file, count)
    return [
        as_sample(
            {"prompt": prompt, "response": response, "reference": reference}, "--response", count
        )
    ]


def _show_verdicts(samples: Sequence["Sample"], scores: Sequence[Any], json: bool) -> None:
    from rlsp_cli.rewards.plain import plain_part

    keys = ("outcome", "value", "seconds", "reason")
    parts = [plain_part(score) for score in scores]
    if json:
        data = [
            {"id": s.id, **{key: part[key] for key in keys}}
            for s, part in zip(samples, parts, strict=True)
        ]
        print_json("reward-try", data)
    else:
        cells = [
            (s.id, p["outcome"], p["value"], p["answer"], p["reason"])
            for s, p in zip(samples, parts, strict=True)
        ]
        print_table(["id", "outcome", "value", "answer", "reason"], cells)


def _show_scores(samples: Sequence["Sample"], scores: Sequence["SampleScore"], json: bool) -> None:
    from rlsp_cli.rewards.plain import plain_score

    rows = [plain_score(sample, score) for sample, score in zip(samples, scores, strict=True)]
    if json:
        print_json("reward-try", rows)
        return
    cells: list[tuple[Any, ...]] = []
    for row in rows:
        cells += [
            (row["id"], p["component"], p["outcome"], _number(p["value"]), p["answer"], p["reason"])
            for p in row["components"]
        ]
        cells.append((row["id"], "reward", "", _number(row["reward"]), "", ""))
    print_table(["id", "component", "outcome", "value", "answer", "reason"], cells)


def _show_flips(flips: Sequence[dict[str, Any]]) -> None:
    columns = ["id", "step", "reference", "answer before", "answer now", "now"]
    cells = []
    for flip in flips:
        step = None if flip["step"] is None else flip["step"] + 1
        answers = (flip["answer_before"], flip["answer_now"])
        cells.append(
            (flip["id"], step, flip["reference"], *answers, "right" if flip["now"] else "wrong")
        )
    print_table(columns, cells, title="Flipped verdicts, the first of them")


def _show_findings(found: Sequence["Finding"], json: bool) -> None:
    from dataclasses import asdict

    if json:
        print_json(
            "reward-audit", [{**asdict(finding), "is_hole": finding.is_hole} for finding in found]
        )
        return
    columns = [
        "attack",
        "reward",
        "honest wrong",
        "honest right",
        "beats wrong",
        "beats right",
        "overdue",
        "unscored",
        "",
    ]
    cells = []
    for one in found:
        rewards = map(_number, (one.reward, one.honest_wrong, one.honest_right))
        beats = (f"{one.beats_wrong}/{one.problems}", f"{one.beats_right}/{one.problems}")
        cells.append((one.attack, *rewards, *beats, one.overdue, one.unscored, _hole(one)))
    print_table(columns, cells)


def _hole(finding: "Finding") -> str:
    """How grave a hole is: a trick that beats a wrong answer alone still earns less than a right one."""
    if finding.beats_right or finding.overdue:
        return "GRAVE"
    return "look here" if finding.beats_wrong else ""


def _number(value: Any) -> Any:
    return f"{value:.3f}" if isinstance(value, float) else value
