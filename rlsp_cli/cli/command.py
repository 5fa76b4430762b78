"""Typer's commands and groups, with shorter help, and an error for keys given as options."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

from rlsp_cli.errors import UsageError

if TYPE_CHECKING:
    from rlsp_cli.recipe.section import Section

_SIMILAR = 0.75
"""Similarity, from 0 to 1, at which an unknown option is taken for a key."""


class Command(TyperCommand):
    """A command whose help shows no type behind switches."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, with the switches' types blanked."""
        return _without_switch_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group whose help shows no type behind switches."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, with the switches' types blanked."""
        return _without_switch_types(super().get_params(ctx))


class Commands(typer.Typer):
    """A group of commands; alone, it prints its help."""

    def __init__(self, help: str) -> None:
        super().__init__(help=help, cls=Group, no_args_is_help=True)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Typer's decorator, for a `Command` unless `cls` says otherwise."""
        return super().command(name, **{"cls": Command, **options})


def command_with_keys(section: "Callable[[], type[Section]]", prefix: str = "") -> type[Command]:
    """A command that takes a section's keys as KEY=VALUE, and refuses them as options.

    `section` is called only for an unknown option: printing help must not load the schema.
    """

    class KeyCommand(Command):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            options = {"--", "--help"}
            for parameter in self.params:
                options.update(parameter.opts)

            # Before Typer sees them, whose error would not say what to write instead.
            for word in args:
                # --samples=16 is refused like --samples 16.
                option = word.partition("=")[0]
                if option.startswith("--") and option not in options:
                    keys = [key for key in section().model_fields if f"--{key}" not in options]
                    _refuse_key(option, keys, prefix)

            return super().parse_args(ctx, args)

    return KeyCommand


def _without_switch_types(parameters: Sequence[Any]) -> list[Any]:
    # Typer writes `--json <bool>`, which reads as if a value had to follow.
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return list(parameters)


def _refuse_key(option: str, keys: Sequence[str], prefix: str) -> None:
    """UsageError for an option that is nearly a key: `--strategy` for `strategies`."""
    name = option.removeprefix("--").replace("-", "_")
    for key in get_close_matches(name, keys, n=1, cutoff=_SIMILAR):
        raise UsageError(f"no option {option}; write {prefix}{key}=VALUE, as in a recipe")
