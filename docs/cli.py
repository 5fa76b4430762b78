"""Writes docs/cli.md from the commands of Typer: `make docs`. A test notices when the page is out of date."""

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from rlsp_cli.cli import app

HEAD = """\
# Commands

Written from `rlsp` itself by `make docs`; `rlsp COMMAND -h` prints the same. Keys of the recipe
follow a command as `key.path=value` ([recipe.md](recipe.md) lists them). [errors.md](errors.md) has the exit codes.
"""


def page() -> str:
    """The whole page."""
    root = typer.main.get_command(app)
    return HEAD + "".join(_section(path, command) for path, command in _commands("rlsp", root))


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Every command below this one by its words, in the order of the help; groups have their own lines there."""
    if not isinstance(command, TyperGroup):
        yield path, command
        return
    context = typer.Context(command, info_name=path)
    for name in command.list_commands(context):
        yield from _commands(f"{path} {name}", command.commands[name])


def _section(path: str, command: Any) -> str:
    context = typer.Context(command, info_name=path)
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    what, _, example = command.help.partition("\n\nExample: ")
    rows = [_row(parameter, context) for parameter in command.get_params(context)]
    table = "| argument or option | meaning |\n|---|---|\n" + "".join(filter(None, rows))
    return f"\n## {path}\n\n{what}\n\n```text\n{usage}\n```\n\nExample: `{example}`\n\n{table}"


def _row(parameter: Any, context: typer.Context) -> str | None:
    record = parameter.get_help_record(context)
    if record is None:
        return None
    name, meaning = (" ".join(part.split()).replace("|", "\\|") for part in record)
    return None if name.startswith(("-h", "--help")) else f"| `{name}` | {meaning} |\n"


if __name__ == "__main__":
    print(page(), end="")
