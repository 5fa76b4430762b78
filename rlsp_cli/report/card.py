"""The model card: README.md beside a trained model, in the format of the Hugging Face hub."""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rlsp_cli.evals.overlap import contamination_notes
from rlsp_cli.evals.overlap.index import CANNOT_FIND
from rlsp_cli.recipe.dump import dump_data
from rlsp_cli.report.behaviour import CAVEAT, group_table
from rlsp_cli.report.cells import NOTHING
from rlsp_cli.report.evaluation import difference_table, eval_table
from rlsp_cli.report.hub_metadata import base_model, metadata
from rlsp_cli.report.summary import Report
from rlsp_cli.report.table import Table
from rlsp_cli.runs.run import Run
from rlsp_cli.runs.stream import write_text

CARD = "README.md"
_TRAINING = ("sft", "ppo")
_DIGEST_SHOWN = 12
_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_FENCE = "~~~~"


def write_cards(run: Run, report: Report) -> None:
    """Write the card of each stage's final model that is in the run folder."""
    for stage in _TRAINING:
        final = run.paths.stage(stage).final
        if final.is_dir():
            write_text(final / CARD, model_card(run, report, stage))


def model_card(run: Run, report: Report, stage: str) -> str:
    """The card of the model that a stage left, as Markdown; text of others is escaped."""
    recipe = run.recipe
    parts = [
        f"---\n{metadata(recipe, report, stage)}\n---",
        f"# {recipe.name}, after {stage.upper()}",
        f"Made from {_text(base_model(recipe))} by rlsp {_text(_version(report))}. "
        f"{_text(recipe.description)}".strip(),
        "## Scores",
        *_scores(report, stage),
        "## Data",
        _markdown(_data(report)),
        "## Training",
        _markdown(_training(report, stage)),
        *_behaviours(report, stage),
        "## Limits",
        "\n".join(f"- {_text(line)}" for line in _limits(report, stage)),
        "## Recipe",
        "The keys that differ from their defaults:",
        f"{_FENCE}yaml\n{_recipe(run)}{_FENCE}",
    ]
    return "\n\n".join(parts) + "\n"


def _version(report: Report) -> str:
    return str(report.manifest["versions"].get("rlsp", "of an unknown version"))


def _scores(report: Report, stage: str) -> Iterator[str]:
    results = report.evaluation
    if stage not in results.models:
        yield "This model was not evaluated in this run."
        return

    own = replace(results, models={stage: results.models[stage]})
    yield "Shares in percent, with 95% intervals over problems:"
    yield _markdown(eval_table(own).without_blanks())

    beside = [one for one in results.comparisons if one.after == stage]
    if beside:
        yield "The difference to the model before it, paired over problems:"
        yield _markdown(difference_table(beside).without_blanks())


def _data(report: Report) -> Table:
    rows = []
    for entry in report.manifest["data"]:
        # A file is known by its fingerprint; the folder that it was in says nothing to others.
        digest, source = entry["digest"], str(entry["source"])
        name = Path(source).name if digest else source
        rows.append([entry["role"], name, str(entry["rows"] or "all"), digest or NOTHING])
    return Table("", ["used as", "source", "rows", "SHA-256"], rows)


def _training(report: Report, stage: str) -> Table:
    manifest = report.manifest
    steps = {"sft": report.sft, "ppo": report.ppo}
    rows = [
        ["recipe", manifest["recipe_digest"][:_DIGEST_SHOWN]],
        ["seed", str(manifest["seed"])],
        ["started", manifest["created"]],
    ]
    rows += [[f"steps of {name}", str(len(found))] for name, found in steps.items() if found]
    rows += [[f"version of {name}", version] for name, version in manifest["versions"].items()]
    if origin := manifest.get("forked_from"):
        rows.append(["forked from", f"{origin['run']}, {origin['checkpoint']}"])
    for change in manifest.get("changes", ()):
        rows.append([f"changed at {change['at']}", "; ".join(change["keys"])])
    return Table("", ["", ""], rows)


def _behaviours(report: Report, stage: str) -> Iterator[str]:
    groups = [group for group in report.behaviour if group.model == stage]
    if groups:
        yield "## Behaviours"
        yield _markdown(group_table(groups).without_blanks())
        yield _text(CAVEAT)


def _limits(report: Report, stage: str) -> Iterator[str]:
    """What a reader should know before relying on the model or on its scores."""
    results = report.evaluation
    if stage not in results.models:
        yield "Not evaluated: nothing was measured of what this model can do."
    else:
        yield "Only the benches above were measured: not safety, bias, other tasks or languages."
    yield "One run with one seed: the intervals count problems, and not how runs differ."
    yield from _contamination(report)
    yield from report.notes


def _contamination(report: Report) -> Iterator[str]:
    """For each bench without a finding that its training data were searched, or were not."""
    results = report.evaluation
    benches = {bench for model in results.models.values() for bench in model.benches}
    for bench in sorted(benches):
        sets = results.contaminated.get(bench, {})
        if not sets:
            yield f"{bench}: not compared with training data."
        elif not contamination_notes({bench: sets}):
            searched = " and ".join(f"data.{role}" for role in sets)
            yield f"{bench}: no copies in {searched}; the search finds no {CANNOT_FIND}."


def _recipe(run: Run) -> str:
    return dump_data(run.recipe.model_dump(mode="json", exclude_defaults=True))


def _markdown(table: Table) -> str:
    lines = [_row(table.columns), "|" + "---|" * len(table.columns)]
    return "\n".join([*lines, *map(_row, table.rows)])


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(_text, cells)) + " |"


def _text(value: object) -> str:
    """Text on one line that neither Markdown nor HTML takes for markup."""
    line = " ".join(str(value).split())
    return _MARKUP.sub(r"\\\1", html.escape(line, quote=False))
