"""`rlsp plugins list|show|new`."""

import inspect
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.errors import UsageError

app = typer.Typer(help="Exploration rewards, verifiers and tasks.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Kind(StrEnum):
    """What `rlsp plugins new` can write."""

    reward = "reward"
    verifier = "verifier"


@app.command("list")
def list_(json: Json = False) -> None:
    """List built-in and installed plugins; a broken one is listed with its reason."""
    from rlsp_cli.rewards.registry import BrokenPlugin, Registry

    rows = [
        (p.kind, p.name, p.origin, p.reason) if isinstance(p, BrokenPlugin) else (p.kind, p.name, p.origin, p.doc)
        for p in Registry().list()
    ]
    if json:
        print_json("plugins", [dict(zip(("kind", "name", "origin", "doc"), row, strict=True)) for row in rows])
    else:
        print_table(["kind", "name", "what it does"], [(kind, name, doc) for kind, name, _, doc in rows])


@app.command()
def show(
    reference: Annotated[str, typer.Argument(help="A name, or file.py:function.")],
    json: Json = False,
) -> None:
    """Show a plugin's origin, text and options."""
    from rlsp_cli.rewards.registry import find_plugin

    plugin = find_plugin(reference)
    schema = plugin.options.model_json_schema().get("properties", {})
    if json:
        facts = {"kind": plugin.kind, "name": plugin.name, "origin": plugin.origin, "doc": plugin.function.__doc__}
        print_json("plugin", {**facts, "options": schema, "digest": plugin.digest})
        return
    text = inspect.getdoc(plugin.function) or "(no docstring)"
    print(f"{plugin.name}: {plugin.kind.replace('_', ' ')} from {plugin.origin}\n\n{text}\n")
    print_table(["option", "type", "default"], [(k, v.get("type"), v.get("default")) for k, v in schema.items()])


@app.command()
def new(
    kind: Annotated[Kind, typer.Argument(help="reward or verifier.")],
    name: Annotated[str, typer.Argument(help="Name of the function and of its file.")],
    out: Annotated[Path, typer.Option(help="Folder for the two files.")] = Path(),
) -> None:
    """Write a plugin and its test to start from. Example: rlsp plugins new reward novelty"""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from rlsp_cli.runs.stream import write_text
    from rlsp_cli.share import share

    if not name.isidentifier():
        raise UsageError(f"{name!r} cannot name a Python function; use letters, digits and _")
    targets = {out / f"{name}.py": f"{kind.value}.py.j2", out / f"test_{name}.py": f"test_{kind.value}.py.j2"}
    for target in targets:
        if target.exists():
            raise UsageError(f"{target}: exists already; choose another name or --out")
    loader = FileSystemLoader(share("templates") / "plugin")
    environment = Environment(loader=loader, autoescape=False, undefined=StrictUndefined, keep_trailing_newline=True)
    for target, template in targets.items():
        write_text(target, environment.get_template(template).render(name=name))
        print(target)
    section = "exploration" if kind is Kind.reward else "correctness"
    typer.echo(f"test it:  pytest {out / f'test_{name}.py'}", err=True)
    typer.echo(f"use it:   reward: {{{section}: {{use: ./{name}.py:{name}}}}}", err=True)
