"""`rlsp behaviour`: what responses do besides being right or wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.options import Json
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.evals.behaviour import Excerpt, JudgeReport
    from rlsp_cli.report.table import Table
    from rlsp_cli.rewards.lexicon import Lexicon


def behaviour(
    target: Annotated[
        Path,
        typer.Argument(help="A run, or a JSON Lines file with `response`, such as samples.jsonl."),
    ],
    lexicon: Annotated[
        str | None,
        typer.Option(help="Folder of YAML files, or one; the run's `reward.lexicon` if not given."),
    ] = None,
    excerpts: Annotated[int, typer.Option(help="Excerpts of each group.", min=0)] = 3,
    judge: Annotated[
        str | None, typer.Option(help="OpenAI-compatible URL of a model that labels responses.")
    ] = None,
    judge_model: Annotated[
        str, typer.Option(help="Its name there; the key is read from OPENAI_API_KEY.")
    ] = "judge",
    judge_samples: Annotated[
        int, typer.Option(help="Responses to label, drawn at random.", min=1)
    ] = 100,
    json: Json = False,
) -> None:
    """Count verification, backtracking and the like in responses.

    Example: rlsp behaviour runs/a/1 --judge http://127.0.0.1:8000/v1 --judge-model m
    """
    from rlsp_cli.evals.behaviour import behaviour_groups, behaviour_stretches
    from rlsp_cli.report.behaviour import CAVEAT, group_table, stretch_table

    words = _lexicon(target, lexicon)
    groups, stretches = (
        behaviour_groups(target, words, excerpts),
        behaviour_stretches(target, words),
    )
    if not groups and not stretches:
        raise UsageError(f"{target}: no responses in it yet")
    judged = _judge(target, words, judge, judge_model, judge_samples) if judge else None

    if json:
        data = {
            "groups": [group.to_json() for group in groups],
            "steps": [stretch.to_json() for stretch in stretches],
            "judge": judged.to_json() if judged else None,
            "note": CAVEAT,
        }
        print_json("behaviour", data)
        return

    if groups:
        _print_table(group_table(groups))
        print()
    if stretches:
        _print_table(stretch_table(stretches))
    for group in groups:
        for excerpt in group.excerpts:
            print(
                f"\n{group.model}, {group.bench}, {group.decoding}, {_verdict(excerpt)}:\n{_marked(excerpt)}"
            )
    if judged:
        _print_agreement(judged)
    print(f"\n{CAVEAT}")


def _lexicon(target: Path, given: str | None) -> "Lexicon":
    from rlsp_cli.rewards.lexicon import load_lexicon
    from rlsp_cli.runs.run import open_run

    return load_lexicon(
        given or (open_run(target).recipe.reward.lexicon if target.is_dir() else None)
    )


def _judge(target: Path, words: "Lexicon", url: str, model: str, number: int) -> "JudgeReport":
    """The judge's agreement with the lexicon on `number` responses, drawn at random."""
    import random

    from rlsp_cli.evals.behaviour import judge_responses, read_responses
    from rlsp_cli.evals.samplers import EndpointSampler

    texts = [
        one.text for _, responses in read_responses(target) for one in responses if one.text.strip()
    ]
    if not texts:
        raise UsageError(f"{target}: no evaluated responses for the judge; `rlsp eval` makes some")
    drawn = random.Random(0).sample(texts, min(number, len(texts)))
    return judge_responses(drawn, words, EndpointSampler(url, model))


def _print_table(table: "Table") -> None:
    print_table(table.columns, table.rows, table.title, table.keys)


def _print_agreement(judged: "JudgeReport") -> None:
    cells = []
    for name, found in judged.behaviour.items():
        kappa = "-" if found.kappa is None else f"{found.kappa:.2f}"
        cells.append(
            [
                name,
                kappa,
                *(f"{100 * share:.0f}" for share in (found.agree, found.judge, found.lexicon)),
            ]
        )

    title = f"\nJudge and lexicon on {judged.responses} responses, {judged.unlabelled} not labelled"
    print_table(
        ["behaviour", "Cohen's kappa", "agree %", "judge sees %", "lexicon sees %"],
        cells,
        title=title,
    )


def _verdict(excerpt: "Excerpt") -> str:
    from rlsp_cli.rewards.sample import is_right

    judged = (
        "not judged" if excerpt.value is None else "right" if is_right(excerpt.value) else "wrong"
    )
    return f"problem {excerpt.id or '?'}, {judged}"


def _marked(excerpt: "Excerpt") -> str:
    """The text with the words that were counted in brackets: [let me check: verify]."""
    return "".join(text if name is None else f"[{text}: {name}]" for text, name in excerpt.segments)
