"""The command line: arguments -> one step -> print -> exit code. No logic lives here."""

import errno
import os
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rlsp_cli import __version__
from rlsp_cli.cli import backends, behaviour, benches, data, launch, plan, plugins, recipe, report, reward, run
from rlsp_cli.errors import RlspError
from rlsp_cli.terminal import let_any_text_through, print, printable


class _Commands(TyperGroup):
    """A command's name may have two words: `eval compare` is another command than `eval`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Click's, with the first two words as the name where a command is called so."""
        two = " ".join(args[:2])
        return super().resolve_command(ctx, [two, *args[2:]] if two in self.commands else args)


app = typer.Typer(
    name="rlsp",
    cls=_Commands,
    help="Teach a language model to think: one YAML recipe in, a trained and honestly measured model out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_LONGEST = 10_000
"""Characters of an error that are shown: whoever wrote its reason may have had more to say."""
_COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "sft": run.sft,
    "ppo": run.ppo,
    "eval": run.eval_,
    "eval compare": run.eval_compare,
    "report": report.report,
    "behaviour": behaviour.behaviour,
    "check": recipe.check,
    "plan": plan.plan,
    "render": recipe.render,
    "schema": recipe.schema,
}
_GROUPS = {
    "data": data.app,
    "benches": benches.app,
    "recipes": recipe.recipes_app,
    "plugins": plugins.app,
    "reward": reward.app,
    "backends": backends.app,
    "launch": launch.app,
    "runs": report.runs_app,
}
for _name, _command in _COMMANDS.items():
    app.command(_name)(_command)
for _name, _group in _GROUPS.items():
    app.add_typer(_group, name=_name)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
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
