"""Arguments and options that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.key_completion import key_values
from rlsp_cli.cli.tab_completion import recipes, runs
from rlsp_cli.errors import PluginError

if TYPE_CHECKING:
    from rlsp_cli.recipe.plugin_use import ExplorationUse
    from rlsp_cli.recipe.selector_use import SelectorUse
    from rlsp_cli.recipe.steps import Steps

_RECIPE = typer.Argument(help="A recipe file, or a shipped recipe's name.", autocompletion=recipes)

RecipeArgument = Annotated[str, _RECIPE]
OptionalRecipe = Annotated[str | None, _RECIPE]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Keys to change: ppo.steps=10 seed=1.",
        autocompletion=key_values,
    ),
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


def named_selector(name: str, options: Sequence[str], files: Sequence[str]) -> "SelectorUse":
    """A selector with options as KEY=VALUE; `files` are a recipe's plugins.

    PluginError if there is no such selector, or if an option is wrong.
    """
    from rlsp_cli.recipe.selector_use import SelectorUse

    return SelectorUse.model_validate(_named("selector", name, options, files))


def named_step_scorer(
    name: str, options: Sequence[str], files: Sequence[str], steps: "Steps"
) -> "ExplorationUse":
    """A step scorer with options as KEY=VALUE; `files` are a recipe's plugins.

    PluginError if there is no such scorer, or if an option is wrong.
    """
    from rlsp_cli.recipe.plugin_use import ExplorationUse

    found = _named("step_scorer", name, options, files)
    return ExplorationUse.model_validate({**found, "steps": steps})


def _named(kind: str, name: str, options: Sequence[str], files: Sequence[str]) -> dict[str, Any]:
    """A plugin as a recipe names it, with all its options."""
    from rlsp_cli.recipe.issue import OptionsError
    from rlsp_cli.recipe.key_values import plain_settings
    from rlsp_cli.rewards.registry import resolve_options

    try:
        complete = resolve_options(kind, name, plain_settings(options), files)
    except OptionsError as error:
        raise PluginError(str(error)) from error
    return {"use": name, **complete}
