"""`rlsp plugins list|show|check|new`."""

import inspect
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rlsp_cli.cli.command import Commands
from rlsp_cli.cli.options import Json
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.tab_completion import plugins
from rlsp_cli.errors import CheckError, PluginError, UsageError
from rlsp_cli.terminal import print

if TYPE_CHECKING:
    from rlsp_cli.rewards.conformance import Check
    from rlsp_cli.rewards.method import Method
    from rlsp_cli.rewards.plugin import Plugin
    from rlsp_cli.rewards.sample import Sample

app = Commands("List, show, check and write plugins, such as rewards.")


_CHECKED = ("verifier", "exploration_reward", "step_scorer", "selector", "continuation", "search")
"""Kinds of plugins that can be tried without a recipe."""


class Kind(StrEnum):
    """What `rlsp plugins new` can write."""

    reward = "reward"
    verifier = "verifier"
    step_scorer = "step_scorer"
    selector = "selector"
    search = "search"
    continuation = "continuation"


_USES = {
    Kind.reward: "reward: {{exploration: {{use: {}}}}}",
    Kind.verifier: "reward: {{correctness: {{use: {}}}}}",
    Kind.step_scorer: "reward: {{exploration: {{use: {}, steps: {{by: lines}}}}}}",
    Kind.selector: "ppo: {{select: {{use: {}}}}}",
    Kind.search: "eval: {{strategies: [search], search: {{use: {}}}}}",
    Kind.continuation: 'continuation: {{use: {}, stop: ["?"]}}',
}
"""How a plugin of each kind is named."""


@app.command("list")
def list_(
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Only those of a method in docs/methods.md, by name or number."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """List built-in and installed plugins; a broken one with its reason.

    With --method also what rlsp has of the method, and how to use it.

    Example: rlsp plugins list --method "SWE-RL"
    """
    from rlsp_cli.rewards.method import find_method, methods_of
    from rlsp_cli.rewards.registry import BrokenPlugin, list_plugins

    chosen = None if method is None else find_method(method)
    found = list_plugins()
    if chosen is not None:
        found = [plugin for plugin in found if plugin.name in chosen.plugins]

    # A package that cannot be loaded is shown too: its author needs the reason.
    rows = []
    for plugin in found:
        row = {"kind": plugin.kind, "name": plugin.name, "origin": plugin.origin}
        row["summary"] = plugin.reason if isinstance(plugin, BrokenPlugin) else plugin.doc
        if names := methods_of(plugin.name):
            row["method"] = names
        rows.append(row)

    if json:
        print_json("plugins", rows)
        return

    if chosen is not None:
        _show_method(chosen)
    if rows or chosen is None:
        cells = [(row["kind"], row["name"], row["summary"]) for row in rows]
        print_table(["kind", "name", "what it does"], cells)


def _show_method(method: "Method") -> None:
    """A method with what rlsp has of it, above the table of its plugins."""
    print(f"{method.number} {method.name}: {method.state} (arXiv {method.arxiv})\n{method.title}\n")
    cells = []
    for label, texts in (
        ("has", [method.has]),
        ("left out" if method.has else "missing", [method.left_out]),
        ("recipe", method.recipe),
        ("command", method.commands),
    ):
        cells += [(label, text) for text in texts if text]
    print_table(["", ""], cells)
    print("")


@app.command()
def show(
    reference: Annotated[
        str, typer.Argument(help="A name, or file.py:function.", autocompletion=plugins)
    ],
    json: Json = False,
) -> None:
    """Show a plugin's origin, text and options.

    Example: rlsp plugins show length
    """
    from rlsp_cli.rewards.registry import find_plugin

    plugin = find_plugin(reference)
    options = plugin.options.model_json_schema().get("properties", {})
    if json:
        facts = {
            "kind": plugin.kind,
            "name": plugin.name,
            "origin": plugin.origin,
            "doc": plugin.function.__doc__,
            "options": options,
            "digest": plugin.digest,
        }
        print_json("plugin", facts)
        return

    # The whole docstring: the list has only its first line.
    text = inspect.getdoc(plugin.function) or "(no docstring)"
    print(f"{plugin.name}: {plugin.kind.replace('_', ' ')} from {plugin.origin}\n\n{text}\n")

    cells = [(name, _type(option), option.get("default")) for name, option in options.items()]
    print_table(["option", "type", "default"], cells)


def _type(schema: dict[str, Any]) -> str:
    """A JSON Schema's type in words."""
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(map(_type, schema["anyOf"]))
    return str(schema.get("type", "any"))


@app.command()
def check(
    reference: Annotated[str, typer.Argument(help="A plugin file, file.py:function, or a name.")],
    samples: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON Lines of responses, with what the plugin reads."),
    ] = None,
    json: Json = False,
) -> None:
    """Test plugins as a run uses them; exits with 6 on failure.

    Checks the signature, that no call raises or returns infinity, and that
    results are equal from a thread, an event loop and another process. A search
    is tried on small trees: whether it expands only what can be expanded, ends
    by itself, and chooses the same when it is resumed.

    Example: rlsp plugins check ./variety.py
    """
    from rlsp_cli.data import read_samples

    given = read_samples(samples) if samples else []
    rows: list[tuple[str, str, str, str]] = []
    for plugin in _plugins(reference):
        for one in _checks(plugin, given):
            rows.append((plugin.name, one.name, "ok" if one.passed else "FAILED", one.detail))

    columns = ("plugin", "check", "result", "detail")
    if json:
        print_json("plugins-check", [dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(columns, rows)

    failed = [f"{name} fails: {check}" for name, check, result, _ in rows if result == "FAILED"]
    if failed:
        raise CheckError("; ".join(failed))


def _checks(plugin: "Plugin", given: "Sequence[Sample]") -> "list[Check]":
    from rlsp_cli.evals.search import Policy, check_policy
    from rlsp_cli.rewards.conformance import check_plugin

    if plugin.kind != "search":
        return check_plugin(plugin, given)
    if given:
        raise UsageError(f"--samples: {plugin.name} is a search, which is given trees, not samples")
    return check_policy(Policy(plugin.reference, {}))


def _plugins(reference: str) -> list["Plugin"]:
    """The plugins of a file that can be tried, or the one of this name."""
    from rlsp_cli.rewards.plugin_file import load_file, plugins_of
    from rlsp_cli.rewards.registry import find_plugin

    if reference.endswith(".py"):
        found = list(plugins_of(load_file(Path(reference)), reference).values())
    else:
        found = [find_plugin(reference)]

    checked = [plugin for plugin in found if plugin.kind in _CHECKED]
    if not checked:
        raise PluginError(
            f"{reference}: no verifier, exploration reward, step scorer, selector, continuation or "
            "search here; decorate a function with @verifier, @exploration_reward, @step_scorer, "
            "@selector, @continuation or @search"
        )
    return checked


@app.command()
def new(
    kind: Annotated[Kind, typer.Argument(help=" | ".join(Kind))],
    name: Annotated[str, typer.Argument(help="Name of the function and of its file.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the two files.")] = Path(),
) -> None:
    """Write a plugin and its test to start from.

    Example: rlsp plugins new reward variety
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from rlsp_cli.runs.stream import write_text
    from rlsp_cli.share import share

    # The name becomes a function, and the file a module.
    if not name.isidentifier():
        raise UsageError(f"{name!r} cannot name a Python function; use letters, digits and _")

    targets = {
        out / f"{name}.py": f"{kind.value}.py.j2",
        out / f"test_{name}.py": f"test_{kind.value}.py.j2",
    }
    # Both are looked at before the first is written.
    for target in targets:
        if target.exists():
            raise UsageError(f"{target}: exists already; choose another name or --out")

    environment = Environment(
        loader=FileSystemLoader(share("templates") / "plugin"),
        autoescape=False,  # Python, not HTML
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    for target, template in targets.items():
        write_text(target, environment.get_template(template).render(name=name))
        print(target)

    typer.echo(f"test it:  pytest {out / f'test_{name}.py'}", err=True)
    typer.echo(f"use it:   {_USES[kind].format(f'./{name}.py:{name}')}", err=True)
