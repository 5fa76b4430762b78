"""`rlsp data`: data to train on, without benches' problems."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.command import Commands, command_with_keys
from rlsp_cli.cli.filters import show_filters
from rlsp_cli.cli.options import (
    BenchData,
    Json,
    Overrides,
    RecipeArgument,
    comma_separated,
    is_override,
    named_selector,
)
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.pairs import pair_keys, pairs
from rlsp_cli.cli.starts import start_keys, starts
from rlsp_cli.cli.step_labels import steps
from rlsp_cli.cli.tab_completion import selectors
from rlsp_cli.errors import CheckError, DataError, UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.evals.overlap import OverlapReport
    from rlsp_cli.recipe.section import Section
    from rlsp_cli.recipe.selector_use import SelectorUse
    from rlsp_cli.traces import Cleaned, Rolled

_MOST = 50
"""Overlaps that are shown as a table."""
_COUNTS = {
    "name": "bench",
    "problems": "problems",
    "problems_found": "copied",
    "rows_found": "by rows",
    "likely_problems": "likely",
    "likely_rows": "by rows",
    "rule": "what counts as a copy",
    "source": "read from",
}
"""Key of a bench's counts -> column of the table."""

Against = Annotated[
    list[str],
    typer.Option(
        metavar="NAME,...",
        help="Names of `rlsp benches list`, bench files, or a recipe; may be repeated.",
    ),
]
ColumnKeys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Columns of plain rows, e.g. problem=question answer=gold."
    ),
]
Roll = Annotated[
    str, typer.Option("--roll", metavar="MODEL", help="A folder or hub id; with --url, its name.")
]
ServerUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="OpenAI-compatible server that answers for the model."),
]
SamplesPerPrompt = Annotated[
    int, typer.Option("--samples", metavar="K", help="Responses to each prompt.", min=1)
]
Select = Annotated[
    str | None,
    typer.Option(
        "--select",
        metavar="NAME",
        help="Selector of the responses to each problem.",
        autocompletion=selectors,
    ),
]
SelectorOption = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="Option of --select; may be repeated."),
]
app = Commands("Make, check and clean data for training.")
app.command()(steps)
app.command(cls=command_with_keys(pair_keys))(pairs)
app.command(cls=command_with_keys(start_keys))(starts)


def _trace_keys() -> "type[Section]":
    from rlsp_cli.traces import TraceSettings

    return TraceSettings


def _column_keys() -> "type[Section]":
    from rlsp_cli.traces import ColumnSettings

    return ColumnSettings


def _handbook_keys() -> "type[Section]":
    from rlsp_cli.traces import HandbookSettings

    return HandbookSettings


@app.command(cls=command_with_keys(_trace_keys))
def traces(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE... [KEY=VALUE]...", help="Files, hf:org/name or task:NAME, then keys."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help="The .jsonl file to write; its card is written too."),
    ],
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", help="Read only the first N rows of each source.", min=1),
    ] = None,
    select: Select = None,
    option: SelectorOption = None,
    json: Json = False,
) -> None:
    """Make traces for SFT: convert, sample or search, verify, select, decontaminate.

    Keys: format, problem, solution, answer, verifier, keep_wrong, decontaminate,
    one_per_problem, tokenizer, min_tokens, max_tokens, sample.model,
    sample.url, sample.samples, sample.temperature, sample.max_new_tokens,
    sample.continuation, sample.start, search.use, search.write (paths,
    linear, pairs or values) and other keys of search, trees.

    Example: rlsp data traces qwq.jsonl --out traces.jsonl verifier=math_verify
    """
    from rlsp_cli.recipe.key_values import read_settings
    from rlsp_cli.traces import TraceJob, TraceSettings, make_traces

    # One argument for both, because click gives a first list all words.
    keys = [word for word in sources if is_override(word)]
    named = [word for word in sources if word not in keys]
    if not named:
        raise UsageError("which rows? name a file or hf:org/name before the keys")

    # The card has the command line, so that the file can be made again.
    settings = read_settings(keys, TraceSettings)
    command = shlex.join(["rlsp", *sys.argv[1:]])
    selector = _chosen_selector(select, option or [])
    card = make_traces(TraceJob(named, out, command, settings, limit, selector))
    if json:
        print_json("traces", card.to_json())
        return

    show_filters(card.filters)
    _show_renamed(settings.model_dump(include={"problem", "solution", "answer"}))
    print(out)


@app.command()
def prompts(
    recipe: RecipeArgument,
    roll: Roll,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .jsonl file to write.")],
    overrides: Overrides = None,
    samples: SamplesPerPrompt = 8,
    url: ServerUrl = None,
    select: Select = None,
    option: SelectorOption = None,
    json: Json = False,
) -> None:
    """Try a recipe's prompts with a model; keep those that a selector keeps.

    Responses are sampled and scored as the recipe's ppo does it, and selected by
    --select, or else by its ppo.select. FILE has the
    kept prompts; files beside it have the dropped ones with their numbers, and
    all responses. An interrupted command resumes.

    Example: rlsp data prompts my.yaml --roll runs/a/1/sft/checkpoints/final
    --samples 8 --select pass_rate --option lo=0.1 --out prompts.jsonl
    """
    from rlsp_cli.recipe.load import load_recipe
    from rlsp_cli.recipe.shipped import find_recipe
    from rlsp_cli.rewards.registry import resolve_options
    from rlsp_cli.traces import RollJob, roll_prompts

    loaded = load_recipe(find_recipe(recipe), overrides or [], plugins=resolve_options)
    selector = _chosen_selector(select, option or [], loaded.plugins)
    if selector is None:
        selector = loaded.ppo.select if loaded.ppo else None
    if selector is None:
        raise UsageError(f"{loaded.name}: it has no ppo.select; name a selector by --select")
    if selector.has_schedules:
        message = "ppo.select follows a schedule over rollout steps, and there are none here"
        raise UsageError(f"{loaded.name}: {message}; name a selector by --select")
    made = roll_prompts(RollJob(loaded, roll, url, samples, selector, out))
    if json:
        print_json("prompts", made.to_json())
        return

    _show_rolled(made)
    print(out)


@app.command(cls=command_with_keys(_handbook_keys))
def handbook(
    source: Annotated[str, typer.Argument(help="Traces: a file of rows, or a hub id.")],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="A folder or hub id; with --url, its name.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .yaml file to write.")],
    columns: ColumnKeys = None,
    url: ServerUrl = None,
    json: Json = False,
) -> None:
    """Draw named behaviours from traces into a handbook, a file to edit.

    A model is asked which general steps each solution shows. The row function
    behavior_handbook puts those that fit a problem before it. An interrupted
    command resumes. Keys: problem, solution, rows.

    Example: rlsp data handbook traces.jsonl --model NAME
    --url http://127.0.0.1:8000/v1 --out handbook.yaml
    """
    from rlsp_cli.recipe.key_values import read_settings
    from rlsp_cli.recipe.rows import Traces
    from rlsp_cli.traces import HandbookJob, HandbookSettings, draw_handbook

    keys = read_settings(columns or [], HandbookSettings)
    traces = Traces(source=source, prompt=keys.problem, response=keys.solution, rows=keys.rows)
    drawn = draw_handbook(HandbookJob(traces, model, url, out))
    if json:
        print_json("handbook", drawn.to_json())
        return

    print(
        f"{drawn.behaviours} behaviours from {drawn.traces} traces; "
        f"{drawn.without} replies named none"
    )
    print(out)


@app.command()
def criteria(
    samples: Annotated[
        Path, typer.Argument(metavar="FILE", help="Responses with verdicts, as a run has them.")
    ],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="A folder or hub id; with --url, its name.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The text file to write.")],
    url: ServerUrl = None,
    responses: Annotated[
        int, typer.Option(metavar="N", help="Wrong responses to ask about.", min=1)
    ] = 20,
    most: Annotated[int, typer.Option(metavar="N", help="Most criteria to write.", min=1)] = 10,
    json: Json = False,
) -> None:
    """Write criteria by which a judge tells wrong responses, a file to edit.

    A model is asked what is wrong with responses that the verifier found wrong,
    and sums it up. The reward autorace judges by the file. An interrupted command
    resumes.

    Example: rlsp data criteria runs/a/1/ppo/rollouts.jsonl --model NAME
    --url http://127.0.0.1:8000/v1 --out criteria.txt
    """
    from rlsp_cli.traces import CriteriaJob, write_criteria

    written = write_criteria(CriteriaJob(samples, model, url, out, responses, most))
    if json:
        print_json("criteria", written.to_json())
        return

    print(f"{written.criteria} criteria from {written.responses} wrong responses")
    print(out)


@app.command(cls=command_with_keys(_column_keys))
def check(
    train: Annotated[
        str, typer.Argument(metavar="TRAIN", help="A file of rows, a hub id, or a recipe.")
    ],
    against: Against,
    columns: ColumnKeys = None,
    data: BenchData = None,
    json: Json = False,
) -> None:
    """Find copies of benches' problems in training data; exits with 6 if any.

    Likely copies (near-duplicates) are listed, and do not change the exit code.

    Example: rlsp data check train.jsonl --against aime24,math500
    """
    from rlsp_cli.evals.overlap import compare_data
    from rlsp_cli.recipe.key_values import read_settings
    from rlsp_cli.traces import ColumnSettings

    names = read_settings(columns or [], ColumnSettings).columns
    found = compare_data(train, comma_separated(against), data, names)
    if json:
        print_json("overlap", found.to_json())
    else:
        _show_overlaps(found)

    _refuse_copies(train, found)


@app.command(cls=command_with_keys(_column_keys))
def clean(
    source: Annotated[str, typer.Argument(help="A file of rows, or a hub id.")],
    against: Against,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .jsonl file to write.")],
    columns: ColumnKeys = None,
    data: BenchData = None,
    drop_likely: Annotated[
        bool, typer.Option("--drop-likely", help="Remove likely copies too.")
    ] = False,
    json: Json = False,
) -> None:
    """Remove copies of benches' problems from rows; keep all columns.

    Example: rlsp data clean prompts.jsonl --against my.yaml --out clean.jsonl
    """
    from rlsp_cli.recipe.key_values import read_settings
    from rlsp_cli.traces import ColumnSettings, clean_rows

    names = read_settings(columns or [], ColumnSettings).columns
    made = clean_rows(source, comma_separated(against), data, names, out, drop_likely=drop_likely)
    if json:
        print_json("clean", made.to_json())
        return

    show_filters([made.tally])
    _show_likely(made)
    print(out)


def _chosen_selector(
    name: str | None, options: Sequence[str], files: Sequence[str] = ()
) -> "SelectorUse | None":
    """The selector of `--select` with its options; None if it is not given."""
    if name is not None:
        return named_selector(name, options, files)
    if options:
        raise UsageError("--option: an option of which selector? name it by --select")
    return None


def _show_rolled(made: "Rolled") -> None:
    cells = [(key, count) for key, count in made.to_json().items()]
    print_table(["", ""], cells)


def _refuse_copies(train: str, found: "OverlapReport") -> None:
    """CheckError for copies; DataError for rows without a problem, since they may be copies."""
    if found.copies:
        # One row can be a copy of several problems.
        rows = {(copy.role, copy.place) for copy in found.copies}
        counted = "1 row copies" if len(rows) == 1 else f"{len(rows)} rows copy"
        benches = dict.fromkeys(copy.bench for copy in found.copies)
        raise CheckError(f"{train}: {counted} problems of {' and '.join(benches)}")

    if found.unread:
        counted = f"{len(found.unread)}, such as {found.unread[0]}"
        raise DataError(f"{train}: rows without a problem to compare: {counted}")


def _show_renamed(columns: dict[str, str]) -> None:
    """Name the columns that are called otherwise in the source."""
    # Otherwise a recipe with the source's names would not find its columns in the new file.
    renamed = [f"{ours} (was {theirs})" for ours, theirs in columns.items() if ours != theirs]
    if renamed:
        print(f"columns are renamed to what a recipe reads by default: {', '.join(renamed)}")


def _show_likely(made: "Cleaned") -> None:
    if made.likely:
        place, why = made.likely[0]
        print(
            f"likely copies kept: {len(made.likely)}, such as {place} ({why}); "
            "rlsp data check lists them"
        )


def _show_overlaps(found: "OverlapReport") -> None:
    facts = found.to_json()
    cells = [list(map(bench.get, _COUNTS)) for bench in facts["benches"]]
    print_table(list(_COUNTS.values()), cells)

    columns = ["set", "row", "its text", "bench", "problem", "its text", "rule"]
    for title, overlaps in (("Copies", found.copies), ("Likely copies, to be read", found.likely)):
        rows = []
        for one in overlaps[:_MOST]:
            row, problem = (one.role, one.place, one.text), (one.problem, one.problem_text)
            rows.append((*row, one.bench, *problem, one.rule))
        if rows:
            print_table(columns, rows, title=f"\n{title}")
        if len(overlaps) > _MOST:
            print(f"and {len(overlaps) - _MOST} more: --json has all")

    # Also when nothing was found: "clean" means no more than this.
    print(f"No rule here finds {facts['cannot_find']}.")
