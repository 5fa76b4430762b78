"""The command line: arguments -> one step -> print -> exit code. No logic lives here."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

from rlsp_cli import __version__
from rlsp_cli.cli import (
    backends,
    behaviour,
    benches,
    compare,
    data,
    evaluate,
    init,
    launch,
    plan,
    plugins,
    recipe,
    report,
    reward,
    run,
)
from rlsp_cli.errors import RlspError
from rlsp_cli.terminal import let_any_text_through, print, printable

app = typer.Typer(
    name="rlsp",
    help="Teach a language model to think: one YAML recipe in, a trained and honestly measured model out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_LONGEST = 10_000
"""Characters of an error that are shown; a reason that a server gives may be of any length."""

_PANELS: dict[str, dict[str, Callable[..., None] | typer.Typer]] = {
    "Train": {
        "init": init.init,
        "check": recipe.check,
        "plan": plan.plan,
        "run": run.run,
        "sft": run.sft,
        "ppo": run.ppo,
    },
    "Evaluate": {
        "eval": evaluate.evaluate,
        "compare": compare.compare,
        "behaviour": behaviour.behaviour,
        "benches": benches.app,
    },
    "Runs": {
        "report": report.report,
        "runs": report.runs_app,
    },
    "Recipes and data": {
        "recipes": recipe.recipes_app,
        "schema": recipe.schema,
        "data": data.app,
    },
    "Rewards and plugins": {
        "reward": reward.app,
        "plugins": plugins.app,
    },
    "Backends": {
        "backends": backends.app,
        "render": recipe.render,
        "launch": launch.app,
    },
}
"""Every command and group of commands, in the order and under the headings of `rlsp -h`."""
_CLASSES = {"eval": evaluate.Command}

for _panel, _commands in _PANELS.items():
    for _name, _command in _commands.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name, rich_help_panel=_panel)
        else:
            app.command(_name, cls=_CLASSES.get(_name), rich_help_panel=_panel)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    if debug:
        os.environ["RLSP_DEBUG"] = "1"


def main() -> None:
    """Entry point of `rlsp`: every known error is one line on stderr and its exit code (docs/errors.md)."""
    let_any_text_through()
    try:
        app()
    except RlspError as error:
        _leave(str(error), error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads: end quietly
        sys.exit(0)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _leave("no space left on the disk", 4)
        _leave(f"{error.filename or 'the system'} cannot be read or written: {error.strerror}", 4)
    except Exception as error:
        _leave(f"a bug of rlsp: {type(error).__name__}: {error}; `rlsp --debug` shows where", 1)


def _leave(message: str, code: int) -> None:
    if os.environ.get("RLSP_DEBUG"):
        print(traceback.format_exc(), file=sys.stderr)
    shown = printable(message, _LONGEST)
    print(f"rlsp: {shown}" if "\n" not in shown else shown, file=sys.stderr)
    sys.exit(code)
