"""`rlsp behaviour`: what responses do besides being right or wrong."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.evals.behaviour import Excerpt
    from rlsp_cli.rewards.lexicon import Lexicon


def behaviour(
    target: Annotated[Path, typer.Argument(help="A run, or a JSON Lines file with `response`, such as samples.jsonl.")],
    lexicon: Annotated[
        str | None, typer.Option(help="Folder of YAML files, or one; the run's `reward.lexicon` if not given.")
    ] = None,
    excerpts: Annotated[int, typer.Option(help="Excerpts of each group.", min=0)] = 3,
    judge: Annotated[str | None, typer.Option(help="OpenAI-compatible URL of a model that labels responses.")] = None,
    judge_model: Annotated[str, typer.Option(help="Its name there; the key is read from OPENAI_API_KEY.")] = "judge",
    judge_samples: Annotated[int, typer.Option(help="Responses to label, drawn at random.", min=1)] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count verification, backtracking, alternatives, self-correction and subgoals, beside repetition and accuracy.

    Examples: rlsp behaviour runs/a/1  |  rlsp behaviour samples.jsonl --judge http://127.0.0.1:8000/v1 --judge-model m
    """
    from rlsp_cli.report.behaviour import CAVEAT, behaviour_groups, behaviour_steps, group_table, step_table

    words = _lexicon(target, lexicon)
    groups, steps = behaviour_groups(target, words, excerpts), behaviour_steps(target, words)
    if not groups and not steps:
        raise UsageError(f"{target}: no responses in it yet")
    agreed = _agreement(target, words, judge, judge_model, judge_samples) if judge else None
    if json:
        print_json(
            "behaviour",
            {"groups": [asdict(group) for group in groups], "steps": steps, "judge": agreed, "note": CAVEAT},
        )
        return
    for table in [group_table(groups)] if groups else []:
        print_table(table.columns, table.rows, table.title, table.keys)
    for table in [step_table(steps)] if steps else []:
        print_table(table.columns, table.rows, f"\n{table.title}", table.keys)
    for group in groups:
        for excerpt in group.excerpts:
            print(f"\n{group.model}, {group.bench}, {group.decoding}, {_verdict(excerpt)}:\n{_marked(excerpt)}")
    if agreed:
        _print_agreement(agreed)
    print(f"\n{CAVEAT}")


def _lexicon(target: Path, given: str | None) -> "Lexicon":
    from rlsp_cli.rewards.lexicon import load_lexicon
    from rlsp_cli.runs.run import open_run

    return load_lexicon(given or (open_run(target).recipe.reward.lexicon if target.is_dir() else None))


def _agreement(target: Path, words: "Lexicon", url: str, model: str, number: int) -> dict[str, Any]:
    import random

    from rlsp_cli.evals.judge import agreement
    from rlsp_cli.evals.samplers import EndpointSampler
    from rlsp_cli.report.behaviour import read_responses

    texts = [row["response"] for _, rows in read_responses(target) for row in rows if row["response"].strip()]
    if not texts:
        raise UsageError(f"{target}: no evaluated responses for the judge; `rlsp eval` makes some")
    drawn = random.Random(0).sample(texts, min(number, len(texts)))
    return agreement(drawn, words, EndpointSampler(url, model))


def _print_agreement(agreed: dict[str, Any]) -> None:
    cells = []
    for name, found in agreed["behaviour"].items():
        shares = (f"{100 * found[key]:.0f}" for key in ("agree", "judge", "lexicon"))
        cells.append([name, "-" if found["kappa"] is None else f"{found['kappa']:.2f}", *shares])
    title = f"\nJudge and lexicon on {agreed['responses']} responses, {agreed['unlabelled']} not labelled"
    print_table(["behaviour", "Cohen's kappa", "agree %", "judge sees %", "lexicon sees %"], cells, title=title)


def _verdict(excerpt: "Excerpt") -> str:
    from rlsp_cli.rewards.sample import is_right

    judged = "not judged" if excerpt.value is None else "right" if is_right(excerpt.value) else "wrong"
    return f"problem {excerpt.id or '?'}, {judged}"


def _marked(excerpt: "Excerpt") -> str:
    """The text with the words that were counted in brackets: [let me check: verify]."""
    return "".join(text if name is None else f"[{text}: {name}]" for text, name in excerpt.segments)
