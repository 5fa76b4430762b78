"""Arguments and options that several commands share."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from rlsp_cli.cli.completion import recipes, runs
from rlsp_cli.errors import UsageError

if TYPE_CHECKING:
    from rlsp_cli.recipe.section import Section

_NEAR = 0.75
"""How alike an unknown option and a key must be to take one for the other, from 0 to 1."""

_RECIPE = typer.Argument(
    help="A recipe file, or the name of a shipped recipe.", autocompletion=recipes
)

RecipeArgument = Annotated[str, _RECIPE]
OptionalRecipe = Annotated[str | None, _RECIPE]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Recipe keys to change: ppo.steps=10 seed=1 ..."),
]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.", autocompletion=runs)]

Out = Annotated[Path | None, typer.Option(help="Run folder; runs/NAME/TIME if not given.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with the run in --out, or with the newest of this name."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BenchData = Annotated[
    Path | None,
    typer.Option("--data", help="File, or folder with BENCH.jsonl, to read benches from."),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(help="Folder or hub id that counts tokens; the recipe's model if not given."),
]


def comma_separated(texts: list[str] | None) -> list[str]:
    """The names given in several options, or between commas in one."""
    return [name.strip() for text in texts or () for name in text.split(",")]


def is_override(word: str) -> bool:
    """Whether a word is KEY=VALUE, and not the name of a file with such a name."""
    return "=" in word and not Path(word).exists()


def command_with_keys(
    section: "Callable[[], type[Section]]", prefix: str = ""
) -> type[TyperCommand]:
    """A command that takes the keys of a section as KEY=VALUE, and says so if one is given as an option.

    `section` is called only then: printing help should not load the schema.
    """

    class Command(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            known = {name for parameter in self.params for name in parameter.opts}

            for word in args:
                option = word.partition("=")[0]  # --samples=16 is refused like --samples 16
                if option.startswith("--") and option not in {"--", "--help", *known}:
                    _refuse_key(
                        option,
                        [key for key in section().model_fields if f"--{key}" not in known],
                        prefix,
                    )
            return super().parse_args(ctx, args)

    return Command


def _refuse_key(option: str, keys: Sequence[str], prefix: str) -> None:
    """UsageError when an option that is not there is one of these keys, or nearly: `--strategy` for `strategies`."""
    name = option.removeprefix("--").replace("-", "_")
    for key in get_close_matches(name, keys, n=1, cutoff=_NEAR):
        raise UsageError(f"no option {option}; write {prefix}{key}=VALUE, as in a recipe")
