"""`rlsp check`, `rlsp schema`, `rlsp recipes list|show|copy`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.completion import recipes
from rlsp_cli.cli.options import Json, Overrides, RecipeArgument
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import RecipeError, UsageError
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.backends.local.example import Example
    from rlsp_cli.recipe.schema import Recipe

_SCHEMA_LINE = "# yaml-language-server: $schema=rlsp.schema.json\n"

ShippedName = Annotated[
    str, typer.Argument(help="A name of `rlsp recipes list`.", autocompletion=recipes)
]

recipes_app = typer.Typer(help="The recipes that come with rlsp.", no_args_is_help=True)


def check(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    resolved: Annotated[
        bool,
        typer.Option(
            "--resolved", help="Print the complete recipe, with the origin of each value."
        ),
    ] = False,
    show_example: Annotated[
        bool,
        typer.Option(
            "--show-example",
            help="Print the first example of SFT and prompt of PPO; loads the tokenizer.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """List every problem of a recipe, its data, model and rewards.

    Asks no network; what lies on the hub is looked at when the run starts.

    Example: rlsp check my.yaml ppo.steps=10 --resolved
    """
    from rlsp_cli.backends import backend_of, stages_of
    from rlsp_cli.preflight import inspect_recipe, read_recipe
    from rlsp_cli.recipe.dump import dump_recipe

    try:
        loaded, path = read_recipe(recipe, overrides or [])
        notes = inspect_recipe(loaded, path, stages_of(loaded))
    except RecipeError as error:
        if json:
            print_json("check", {"ok": False, "problems": str(error).splitlines()})
        raise
    examples = _first_examples(loaded) if show_example else []
    if json:
        shown = {"examples": [example.to_json() for example in examples]} if show_example else {}
        found = {"ok": True, "problems": [], "notes": notes}
        print_json("check", {**found, "recipe": loaded.model_dump(mode="json"), **shown})
    elif resolved:
        print(dump_recipe(loaded, origins=True), end="")
    else:
        stages = [f"{stage} on {backend_of(loaded, stage).name}" for stage in stages_of(loaded)]
        print("".join(f"{note}\n" for note in notes), end="")
        print(f"{path}: ok ({', '.join(stages) or 'no stage'})")
    if not json:
        print("".join(f"\n{example.to_text()}\n" for example in examples), end="")


def _first_examples(recipe: "Recipe") -> "list[Example]":
    """What training will see first; remarks on the way go to standard error."""
    from contextlib import redirect_stdout

    from rlsp_cli.backends.local.example import first_examples

    with redirect_stdout(sys.stderr):
        return first_examples(recipe)


def render(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    stage: Annotated[
        str | None,
        typer.Option(help="The stage to compile; the first that a backend runs if not given."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say where each of the backend's keys is from.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a backend is given for a stage; needs no backend.

    Example: rlsp render my.yaml --explain
    """
    from rlsp_cli.backends.render import render_stage
    from rlsp_cli.preflight import load_checked

    loaded, _ = load_checked(recipe, overrides or [])
    page = render_stage(loaded, stage)
    if json:
        print_json("render", page.to_json(loaded))
    else:
        print(page.text(loaded if explain else None), end="")


def schema() -> None:
    """Print the JSON Schema of recipes, for editors.

    Example: rlsp schema > rlsp.schema.json
    """
    import json

    from rlsp_cli.recipe.schema import Recipe

    document = Recipe.model_json_schema()
    text = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    document["properties"]["extends"] = {
        **text,
        "description": "Recipes to build on; later ones win.",
    }
    print(
        json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}, indent=2
        )
    )


@recipes_app.command("list")
def list_(json: Json = False) -> None:
    """List the shipped recipes.

    Example: rlsp recipes list
    """
    from rlsp_cli.recipe.load import load_recipe
    from rlsp_cli.recipe.shipped import shipped_recipes

    loaded = {
        name: load_recipe(path, plugins=resolve_options) for name, path in shipped_recipes().items()
    }
    if json:
        print_json(
            "recipes", [{"name": name, "description": r.description} for name, r in loaded.items()]
        )
    else:
        print_table(
            ["recipe", "what it does"], [(name, r.description) for name, r in loaded.items()]
        )


@recipes_app.command()
def show(name: ShippedName) -> None:
    """Print a shipped recipe.

    Example: rlsp recipes show quickstart
    """
    print(_shipped(name).read_text(encoding="utf-8"), end="")


@recipes_app.command()
def copy(
    name: ShippedName,
    to: Annotated[Path | None, typer.Argument(help="New file; NAME.yaml when not given.")] = None,
) -> None:
    """Copy a shipped recipe to change it; never overwrites.

    Example: rlsp recipes copy quickstart my.yaml
    """
    from rlsp_cli.runs.stream import write_text

    target = to or Path(f"{Path(name).name}.yaml")
    if target.exists():
        raise UsageError(f"{target}: exists already; name another file")
    write_text(
        target, _SCHEMA_LINE + _with_named_parents(_shipped(name).read_text(encoding="utf-8"))
    )
    print(target)


def _shipped(name: str) -> Path:
    from rlsp_cli.recipe.issue import did_you_mean
    from rlsp_cli.recipe.shipped import shipped_recipes

    recipes = shipped_recipes()
    if name not in recipes:
        raise UsageError(f"no shipped recipe {name!r} - {did_you_mean(name, recipes)}")
    return recipes[name]


def _with_named_parents(text: str) -> str:
    """A copy lies elsewhere: it extends shipped recipes by name instead of by relative path."""
    import re

    return re.sub(r"^(extends: )\.\./(\S+)\.yaml$", r"\1\2", text, flags=re.MULTILINE)
