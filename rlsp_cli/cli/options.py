"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from rlsp_cli.cli.tab_completion import recipes, runs

_RECIPE = typer.Argument(help="A recipe file, or a shipped recipe's name.", autocompletion=recipes)

RecipeArgument = Annotated[str, _RECIPE]
OptionalRecipe = Annotated[str | None, _RECIPE]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="Keys to change: ppo.steps=10 seed=1."),
]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.", autocompletion=runs)]

Out = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Run folder; by default runs/NAME/TIME."),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Resume the run in --out, or the newest one of this recipe."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
BenchData = Annotated[
    Path | None,
    typer.Option("--data", metavar="PATH", help="The bench's file, or a folder of BENCH.jsonl."),
]
Tokenizer = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL", help="Folder or hub id that counts tokens; by default the recipe's model."
    ),
]


def comma_separated(texts: list[str] | None) -> list[str]:
    """The names given in several options, or between commas in one."""
    names = []
    for text in texts or ():
        names += [name.strip() for name in text.split(",")]
    return names


def is_override(word: str) -> bool:
    """Whether a word is KEY=VALUE, and not the name of a file with such a name."""
    return "=" in word and not Path(word).exists()
