"""`rlsp check`, `rlsp render`, `rlsp schema`, `rlsp recipes list|show|copy`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.checks import refuse_failed, show_checks
from rlsp_cli.cli.command import Commands
from rlsp_cli.cli.options import Json, Overrides, RecipeArgument
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.tab_completion import recipes
from rlsp_cli.errors import RecipeError, UsageError
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.backends.local.example import Example
    from rlsp_cli.preflight.roll import Rolled
    from rlsp_cli.recipe.schema import Recipe

_SCHEMA_LINE = "# yaml-language-server: $schema=rlsp.schema.json\n"
"""Tells editors where the schema is that `rlsp schema > rlsp.schema.json` writes."""

ShippedName = Annotated[
    str, typer.Argument(help="A name of `rlsp recipes list`.", autocompletion=recipes)
]
Resolved = Annotated[
    bool, typer.Option("--resolved", help="Print every key, with the origin of its value.")
]
ShowExample = Annotated[
    bool,
    typer.Option(
        "--show-example", help="Print the first SFT example and PPO prompt; loads the tokenizer."
    ),
]
Roll = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Sample N replies of the recipe's model, and look at them too."
    ),
]

recipes_app = Commands("List, print and copy the recipes that come with rlsp.")


def check(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    resolved: Resolved = False,
    show_example: ShowExample = False,
    roll: Roll = None,
    json: Json = False,
) -> None:
    """List every problem of a recipe, its data, model and rewards.

    Uses no network: what is on the hub is looked at when the run starts, or with --roll.

    Example: rlsp check my.yaml ppo.steps=10 --resolved
    """
    from rlsp_cli.backends import stages_of
    from rlsp_cli.preflight import inspect_recipe, read_recipe

    try:
        loaded, path = read_recipe(recipe, overrides or [])
        notes = inspect_recipe(loaded, path, stages_of(loaded), ask_hub=roll is not None)
    except RecipeError as error:
        if json:
            print_json("check", {"ok": False, "problems": str(error).splitlines()})
        raise

    # Only on request: the tokenizer takes seconds to load.
    examples = _first_examples(loaded) if show_example else []
    rolled = _rolled(loaded, roll) if roll else None
    if json:
        found = {"ok": True, "problems": [], "notes": notes}
        shown = {"examples": [example.to_json() for example in examples]} if show_example else {}
        replies = {"roll": rolled.to_json()} if rolled else {}
        whole = {"recipe": loaded.model_dump(mode="json"), **shown, **replies}
        print_json("check", {**found, **whole})
    elif resolved:
        _show_resolved(loaded)
    else:
        _show_verdict(loaded, path, notes)
    for example in examples if not json else ():
        print(f"\n{example.to_text()}")
    if rolled:
        _show_rolled(rolled, json)


def _rolled(recipe: "Recipe", number: int) -> "Rolled":
    """Replies of the model; libraries that print meanwhile do so on standard error."""
    from contextlib import redirect_stdout

    from rlsp_cli.preflight.roll import roll

    with redirect_stdout(sys.stderr):
        return roll(recipe, number)


def _show_rolled(rolled: "Rolled", json: bool) -> None:
    """One reply whole, then the checks of all; CheckError if one failed."""
    if not json:
        sample, score = rolled.replies[0]
        print(f"\n{sample.prompt}\n---\n{sample.response}\n---")
        print(f"reference {sample.reference}; reward {score.reward}\n")
        show_checks(rolled.checks)
    refuse_failed(rolled.failed)


def _show_resolved(recipe: "Recipe") -> None:
    from rlsp_cli.recipe.dump import dump_recipe

    print(dump_recipe(recipe, origins=True), end="")


def _show_verdict(recipe: "Recipe", path: Path, notes: list[str]) -> None:
    from rlsp_cli.backends import backend_of, stages_of

    for note in notes:
        print(note)
    stages = [f"{stage} on {backend_of(recipe, stage).name}" for stage in stages_of(recipe)]
    rounds = f"; {recipe.rounds.count} rounds" if recipe.rounds else ""
    print(f"{path}: ok ({', '.join(stages) or 'no stage'}{rounds})")


def _first_examples(recipe: "Recipe") -> "list[Example]":
    """What training sees first; libraries that print meanwhile do so on standard error."""
    from contextlib import redirect_stdout

    from rlsp_cli.backends.local.example import first_examples

    # stdout is for results: `rlsp check --json` is read by programs.
    with redirect_stdout(sys.stderr):
        return first_examples(recipe)


def render(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    stage: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="sft or ppo; by default the first with a backend."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the recipe key behind each backend key.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the configuration that a backend gets for a stage.

    The backend need not be installed.

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

    # `extends` is resolved before validation, so the model does not know it.
    document = Recipe.model_json_schema()
    document["properties"]["extends"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "description": "Recipes to build on; later ones win.",
    }
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}
    print(json.dumps(document, indent=2))


@recipes_app.command("list")
def list_(json: Json = False) -> None:
    """List the shipped recipes.

    Example: rlsp recipes list
    """
    from rlsp_cli.recipe.load import load_recipe
    from rlsp_cli.recipe.shipped import shipped_recipes

    rows = []
    for name, path in shipped_recipes().items():
        loaded = load_recipe(path, plugins=resolve_options)
        rows.append((name, loaded.description))

    if json:
        print_json("recipes", [{"name": name, "description": text} for name, text in rows])
    else:
        print_table(["recipe", "what it does"], rows)


@recipes_app.command()
def show(name: ShippedName) -> None:
    """Print a shipped recipe.

    Example: rlsp recipes show quickstart
    """
    print(_shipped(name).read_text(encoding="utf-8"), end="")


@recipes_app.command()
def copy(
    name: ShippedName,
    to: Annotated[Path | None, typer.Argument(help="New file; by default NAME.yaml.")] = None,
) -> None:
    """Copy a shipped recipe, to change it; never overwrites.

    Example: rlsp recipes copy quickstart my.yaml
    """
    from rlsp_cli.runs.stream import write_text

    target = to or Path(f"{Path(name).name}.yaml")
    if target.exists():
        raise UsageError(f"{target}: exists already; name another file")

    # Comments and all: they say what a key is for.
    text = _shipped(name).read_text(encoding="utf-8")
    write_text(target, _SCHEMA_LINE + _with_named_parents(text))
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

    # The text and not the data, so that the comments stay.
    return re.sub(r"^(extends: )\.\./(\S+)\.yaml$", r"\1\2", text, flags=re.MULTILINE)
