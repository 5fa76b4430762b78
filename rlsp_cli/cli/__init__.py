"""The command line: arguments -> one step -> print -> exit code. No logic lives here."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from rlsp_cli import __version__
from rlsp_cli.cli import (
    ablate,
    backends,
    behaviour,
    benches,
    compare,
    data,
    evaluate,
    init,
    launch,
    pack,
    plan,
    plugins,
    recipe,
    report,
    reward,
    run,
    smoke,
    view,
)
from rlsp_cli.cli.command import Command, Group
from rlsp_cli.errors import RlspError
from rlsp_cli.terminal import let_any_text_through, print, printable

_LONGEST = 10_000
"""Characters of an error that are shown; a reason that a server gives may be of any length."""

_PANELS: dict[str, dict[str, Callable[..., None] | typer.Typer]] = {
    "Recipes": {
        "init": init.init,
        "recipes": recipe.recipes_app,
        "check": recipe.check,
        "plan": plan.plan,
        "smoke": smoke.smoke,
        "schema": recipe.schema,
    },
    "Runs": {
        "run": run.run,
        "sft": run.sft,
        "ppo": run.ppo,
        "ablate": ablate.ablate,
        "report": report.report,
        "view": view.view,
        "runs": report.runs_app,
        "pack": pack.pack,
        "reproduce": pack.reproduce,
    },
    "Evaluation": {
        "eval": evaluate.evaluate,
        "compare": compare.compare,
        "behaviour": behaviour.behaviour,
        "benches": benches.app,
    },
    "Data and rewards": {
        "data": data.app,
        "reward": reward.app,
        "plugins": plugins.app,
    },
    "Backends": {
        "backends": backends.app,
        "render": recipe.render,
        "launch": launch.app,
    },
}
"""Every command and group, as `rlsp -h` shows them: in the order in which a newcomer meets them."""

_CLASSES = {"eval": evaluate.EvalCommand}
"""Commands with a class of their own."""


class _Overview(Group):
    def list_commands(self, ctx: Any) -> list[str]:
        # Typer puts groups behind commands, so a panel with groups alone would come last.
        names: list[str] = []
        for panel in _PANELS.values():
            names += panel
        return names


app = typer.Typer(
    name="rlsp",
    help="Train a language model to reason, from one YAML recipe: SFT, PPO, evaluation.",
    cls=_Overview,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _panel, _commands in _PANELS.items():
    for _name, _command in _commands.items():
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, name=_name, rich_help_panel=_panel)
        else:
            _class = _CLASSES.get(_name, Command)
            app.command(_name, cls=_class, rich_help_panel=_panel)(_command)


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
    # A variable, because the processes that we start show their tracebacks too.
    if debug:
        os.environ["RLSP_DEBUG"] = "1"


def main() -> None:
    """Entry point of `rlsp`: known errors are one line on stderr, with their exit codes."""
    let_any_text_through()

    try:
        app()
    except RlspError as error:
        _leave(str(error), error.exit_code)

    except BrokenPipeError:
        # The reader, such as `head`, has left. Python would complain again when it flushes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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

    # Several lines begin with their places, `recipe.yaml:3:5: ...`, where editors look for them.
    shown = printable(message, _LONGEST)
    print(shown if "\n" in shown else f"rlsp: {shown}", file=sys.stderr)
    sys.exit(code)
