"""The catalogue of methods of the literature: what rlsp has of each, in `plugins/methods.yaml`."""

import difflib
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter
from ruamel.yaml import YAML

from rlsp_cli.errors import PluginError
from rlsp_cli.share import share

State = Literal["works", "partly", "not yet"]

_SIMILAR = 0.5
"""Similarity, from 0 to 1, from which a name is offered for an unknown one."""


class Method(BaseModel):
    """A method by its paper, and how to use what rlsp has of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    number: int
    name: str
    title: str
    """The paper's."""
    arxiv: str
    state: State
    has: str = ""
    """What can be used."""
    left_out: str = ""
    """What the paper has beyond that, or why there is nothing."""
    plugins: tuple[str, ...] = ()
    """Names of the plugins that carry it."""
    recipe: tuple[str, ...] = ()
    """Lines for a recipe, each a section as YAML."""
    commands: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    """Tests that show it, each as `file::test`."""


@cache
def method_groups() -> dict[str, tuple[Method, ...]]:
    """All methods, by the heading of their group."""
    text = (share("plugins") / "methods.yaml").read_text(encoding="utf-8")
    found = YAML(typ="safe", pure=True).load(text)
    return TypeAdapter(dict[str, tuple[Method, ...]]).validate_python(found)


def all_methods() -> list[Method]:
    """All methods, in the order of their numbers."""
    found: list[Method] = []
    for group in method_groups().values():
        found += group
    return found


def find_method(wanted: str) -> Method:
    """The method of this name, in any case, or of this number; PluginError with near names."""
    key = wanted.strip().casefold()
    for method in all_methods():
        if key in (method.name.casefold(), str(method.number)):
            return method

    near = ", ".join(f'"{name}"' for name in _near(key))
    hint = f"did you mean {near}?" if near else "docs/methods.md lists them all"
    raise PluginError(f"unknown method {wanted!r} - {hint}")


def methods_of(plugin: str) -> str | None:
    """The names of the methods that a plugin carries, joined by commas; None if it carries none."""
    names = [method.name for method in all_methods() if plugin in method.plugins]
    return ", ".join(names) or None


def _near(key: str) -> list[str]:
    """Names of the methods whose name or title holds the words, or else of similar ones."""
    names = {method.name.casefold(): method.name for method in all_methods()}
    holding = []
    for method in all_methods():
        if key and key in f"{method.name} {method.title}".casefold():
            holding.append(method.name)

    similar = difflib.get_close_matches(key, names, cutoff=_SIMILAR)
    return holding or [names[name] for name in similar]
