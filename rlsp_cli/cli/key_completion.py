"""What the tab key offers for KEY=VALUE: the keys of a recipe, and the values of one."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rlsp_cli.errors import RlspError

if TYPE_CHECKING:
    from rlsp_cli.recipe.keys import Key
    from rlsp_cli.recipe.section import Plain

_NEEDS_NO_QUOTES = re.compile(r"[\w./:+-]+", re.ASCII)
_BREAKS = {"=", ":"}
"""Where bash divides a word; it completes the part behind the last one."""


def key_values(ctx: typer.Context, incomplete: str) -> Iterator[str]:
    """The words KEY=VALUE that an incomplete one may become, with keys of the command's recipe."""
    before = _cut_off_by_bash()
    for word in offered(before + incomplete, _recipe_data(ctx.params)):
        yield word.removeprefix(before)


def offered(word: str, recipe: dict[str, Any]) -> list[str]:
    """The words KEY=VALUE that begin with `word`, for the plain data of a recipe."""
    from rlsp_cli.recipe.keys import keys_of
    from rlsp_cli.recipe.schema import Recipe

    keys = list(keys_of(Recipe, recipe))
    path, equals, value = word.partition("=")
    if equals:
        words = [whole for key in keys if key.path == path for whole in _with_values(key, value)]
        return [whole for whole in words if whole.startswith(word)]

    fitting = [key for key in keys if key.path.startswith(word)]
    if len(fitting) == 1:
        # With the values, so that no shell takes `key=` for a finished word.
        return [f"{fitting[0].path}=", *_with_values(fitting[0])]
    return _next_parts([key.path for key in fitting], word.count(".") + 1)


def _next_parts(paths: Sequence[str], parts: int) -> list[str]:
    """The paths up to so many parts: `ppo.` of `ppo.steps`, and whole paths as `seed=`."""
    whole = [f"{path}=".split(".") for path in paths]
    shown = [".".join(path[:parts]) + ("." if len(path) > parts else "") for path in whole]
    found = list(dict.fromkeys(shown))

    # Of a single section its keys, because a shell would put a blank behind `ppo.`.
    is_section = len(found) == 1 and found[0].endswith(".")
    return _next_parts(paths, parts + 1) if is_section else found


def _with_values(key: "Key", typed: str = "") -> list[str]:
    """`key=value` for each value; in a list, behind the items that are typed already."""
    if not key.is_list:
        return [f"{key.path}={value}" for value in _values(key)]

    done, comma, _ = typed.removeprefix("[").rpartition(",")
    return [f"{key.path}=[{done}{comma}{item}]" for item in _values(key)]


def _values(key: "Key") -> list[str]:
    """What a key, or an item of its list, may be; if it may be anything, what the recipe has."""
    from rlsp_cli.cli.tab_completion import benches

    if key.name == "use":
        return _plugins(key.section)
    if key.name == "source":
        return ["hf:", *(f"task:{name}" for name in _names("task"))]
    if key.path == "eval.benches":
        return list(benches(""))
    if key.choices:
        return key.choices

    current = "null" if key.value is None and key.is_optional else str(key.value)
    return [current] if _NEEDS_NO_QUOTES.fullmatch(current) else []


def _plugins(section: "type[Plain]") -> list[str]:
    """The plugins that `use` may name in a section."""
    from rlsp_cli.recipe.plugin_ref import kinds_of

    return [name for kind in kinds_of(section) for name in _names(kind)]


def _names(kind: str) -> list[str]:
    from rlsp_cli.rewards.registry import names

    return sorted(names(kind))


def _recipe_data(params: dict[str, Any]) -> dict[str, Any]:
    """The plain data of a command's recipe, or of its run's; none if it cannot be read."""
    from rlsp_cli.recipe.merge import read_with_parents
    from rlsp_cli.recipe.shipped import find_recipe
    from rlsp_cli.runs.paths import RunPaths

    try:
        if run := params.get("target"):
            return read_with_parents(RunPaths(Path(run)).resolved.absolute()).data
        return read_with_parents(find_recipe(params.get("recipe") or "").absolute()).data
    except (RlspError, OSError):
        return {}  # the schema's keys are offered in any case


def _cut_off_by_bash() -> str:
    """What stands before the part that bash completes: `ppo.critic=` of `ppo.critic=o`."""
    words = os.environ.get("COMP_WORDS", "").split("\n")
    at = int(os.environ.get("COMP_CWORD", "0"))
    parts = words[: at + 1 if words[at : at + 1] and words[at] in _BREAKS else at]

    before = ""
    while len(parts) > 1 and parts[-1] in _BREAKS:
        before = "".join(parts[-2:]) + before
        parts = parts[:-2]
    return before
