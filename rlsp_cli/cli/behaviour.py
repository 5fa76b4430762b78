"""`rlsp behaviour`: what responses do besides being right or wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.options import Json
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.evals.behaviour import Excerpt, Group, JudgeReport
    from rlsp_cli.report.table import Table
    from rlsp_cli.rewards.lexicon import Lexicon

Target = Annotated[
    Path,
    typer.Argument(help="A run, or a JSON Lines file with `response`, such as samples.jsonl."),
]
LexiconPath = Annotated[
    str | None,
    typer.Option(
        "--lexicon", metavar="PATH", help="YAML file or folder; by default the run's lexicon."
    ),
]
Excerpts = Annotated[int, typer.Option(metavar="N", help="Excerpts of each group.", min=0)]
Judge = Annotated[
    str | None,
    typer.Option(metavar="URL", help="OpenAI-compatible server of a model that labels responses."),
]
JudgeModel = Annotated[
    str, typer.Option(metavar="NAME", help="Its model there; the key is in OPENAI_API_KEY.")
]
JudgeSamples = Annotated[
    int, typer.Option(metavar="N", help="Responses to label, drawn at random.", min=1)
]


def behaviour(
    target: Target,
    lexicon: LexiconPath = None,
    excerpts: Excerpts = 3,
    judge: Judge = None,
    judge_model: JudgeModel = "judge",
    judge_samples: JudgeSamples = 100,
    json: Json = False,
) -> None:
    """Count verification, backtracking and the like in responses.

    Example: rlsp behaviour runs/a/1 --judge http://127.0.0.1:8000/v1
    """
    from rlsp_cli.evals.behaviour import behaviour_groups, behaviour_stretches
    from rlsp_cli.report.behaviour import CAVEAT, group_table, stretch_table

    words = _lexicon(target, lexicon)
    groups = behaviour_groups(target, words, excerpts)
    stretches = behaviour_stretches(target, words)
    # Groups are evaluated responses, stretches those of PPO: a run may have either.
    if not groups and not stretches:
        raise UsageError(f"{target}: no responses in it yet")

    # Before anything is printed, since the judge may fail.
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
    _print_excerpts(groups)
    if judged:
        _print_agreement(judged)
    print(f"\n{CAVEAT}")


def _lexicon(target: Path, given: str | None) -> "Lexicon":
    from rlsp_cli.rewards.lexicon import load_lexicon
    from rlsp_cli.runs.run import open_run

    # The words that the run's own reward counted, so that its numbers can be compared.
    if given is None and target.is_dir():
        given = open_run(target).recipe.reward.lexicon
    return load_lexicon(given)


def _judge(target: Path, words: "Lexicon", url: str, model: str, number: int) -> "JudgeReport":
    """The judge's agreement with the lexicon on `number` responses, drawn at random."""
    import random

    from rlsp_cli.evals.behaviour import judge_responses, read_responses
    from rlsp_cli.evals.samplers import EndpointSampler

    texts = []
    for _, responses in read_responses(target):
        texts += [one.text for one in responses if one.text.strip()]
    if not texts:
        raise UsageError(f"{target}: no evaluated responses for the judge; `rlsp eval` makes some")

    # Always the same ones, so that two judges or lexicons can be compared.
    drawn = random.Random(0).sample(texts, min(number, len(texts)))
    return judge_responses(drawn, words, EndpointSampler(url, model))


def _print_table(table: "Table") -> None:
    print_table(table.columns, table.rows, table.title, table.keys)


def _print_excerpts(groups: "Sequence[Group]") -> None:
    for group in groups:
        for excerpt in group.excerpts:
            print(f"\n{group.model}, {group.bench}, {group.decoding}, {_verdict(excerpt)}:")
            print(_marked(excerpt))


def _print_agreement(judged: "JudgeReport") -> None:
    cells = []
    for name, found in judged.behaviour.items():
        kappa = "-" if found.kappa is None else f"{found.kappa:.2f}"
        shares = (found.agree, found.judge, found.lexicon)
        cells.append([name, kappa, *(f"{100 * share:.0f}" for share in shares)])

    columns = ["behaviour", "Cohen's kappa", "agree %", "judge finds %", "lexicon finds %"]
    counted = f"{judged.responses} responses, {judged.unlabelled} not labelled"
    print_table(columns, cells, title=f"\nJudge and lexicon on {counted}")


def _verdict(excerpt: "Excerpt") -> str:
    from rlsp_cli.rewards.sample import is_right

    verdict = "not judged"
    if excerpt.value is not None:
        verdict = "right" if is_right(excerpt.value) else "wrong"
    return f"problem {excerpt.id or '?'}, {verdict}"


def _marked(excerpt: "Excerpt") -> str:
    """The text, with the words that were counted in brackets: [let me check: verify]."""
    parts = [text if name is None else f"[{text}: {name}]" for text, name in excerpt.segments]
    return "".join(parts)
