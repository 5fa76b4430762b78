"""YAML files with the position of every key. YAML 1.2: `yes` is text, `1e-5` a number."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from rlsp_cli.errors import RecipeError
from rlsp_cli.recipe.limits import UNREADABLE, excesses, unreadable
from rlsp_cli.recipe.origin import Origin

NOTHING = "write {} for a section with its defaults, null for none, or remove the key"
"""The next move for a key without a value."""
_WRITTEN = ("null", "Null", "NULL", "~", "&", "*", "!")
"""Beginnings of a null that is written down: a word, an anchor, an alias or a tag."""
_SHOWN = 60
"""Characters of a value in a message."""


@dataclass
class Source:
    """Plain data, and the origin of each dotted key in it."""

    data: dict[str, Any]
    origins: dict[str, Origin] = field(default_factory=dict)


def read_source(path: Path) -> Source:
    """Read a YAML file; RecipeError with a position if it is missing, empty or malformed."""
    shown = _shown(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RecipeError(f"{shown}: cannot read this file: {reason}") from error

    tree = _tree(text, shown)
    if not isinstance(tree, dict):
        found = _in_words(tree)
        raise RecipeError(f"{shown}:1:1: expected a mapping of keys to values, found {found}")

    _refuse_empty(tree, text.splitlines(), shown)
    return Source(plain(tree), dict(_origins(tree, shown, "")))


def parse_value(text: str) -> Any:
    """The value of an override, read as YAML; text that is not YAML is itself."""
    try:
        too_much = next(excesses(text), None)
        if too_much is None:
            return plain(_yaml().load(text))
    except (YAMLError, *UNREADABLE):
        return text

    _, column, what = too_much
    raise RecipeError(f"{text[:_SHOWN]!r}, column {column + 1}: {what}")


def _tree(text: str, shown: str) -> Any:
    """The text as ruamel loads it; RecipeError with a position if it cannot, or should not."""
    try:
        wrong = next(excesses(text), None)
        tree = None if wrong else _yaml().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{shown}:{mark.line + 1}:{mark.column + 1}" if mark else shown
        reason = str(error.problem or error).splitlines()[0]
        raise RecipeError(f"{place}: not valid YAML: {reason}") from error
    except YAMLError as error:
        raise RecipeError(f"{shown}: not valid YAML: {str(error).splitlines()[0]}") from error
    except UNREADABLE:
        # Raised without a position, which a second pass finds.
        wrong = next(unreadable(text), None)
        if wrong is None:
            raise

    if wrong:
        line, column, what = wrong
        raise RecipeError(f"{shown}:{line + 1}:{column + 1}: {what}")
    return tree


def _in_words(tree: Any) -> str:
    if tree is None:
        return "nothing"
    return "a list" if isinstance(tree, list) else repr(plain(tree))[:_SHOWN]


def _yaml() -> YAML:
    # `rt` knows positions; `pure`, because the C parser reads YAML 1.1.
    return YAML(typ="rt", pure=True)


def plain(node: Any) -> Any:
    """Python's own types for ruamel's: dict, list, str, int, float, bool, None."""
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node if node is None else str(node)


def _refuse_empty(tree: Any, lines: list[str], file: str) -> None:
    """RecipeError for a key without a value: `ppo:` looks like a stage, and would be none."""
    for node, key in _without_value(tree):
        line, column = node.lc.value(key)
        if not "".join(lines[line : line + 1])[column:].startswith(_WRITTEN):
            line, column = node.lc.key(key)
            raise RecipeError(f"{file}:{line + 1}:{column + 1}: nothing behind {key!r} - {NOTHING}")


def _without_value(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(mapping, key) of every null, in the order of the file."""
    waiting, seen = [tree], set()
    while waiting:
        # Aliases can repeat a node more often than anyone could wait for.
        node = waiting.pop()
        if id(node) in seen or not isinstance(node, dict | list):
            continue
        seen.add(id(node))

        inner = list(node.values() if isinstance(node, dict) else node)
        waiting += reversed(inner)
        if not isinstance(node, CommentedMap):
            continue

        # A key that `<<` brought here is looked at where it is written.
        for key, value in node.items():
            if value is None and key in (node.lc.data or ()):
                yield node, key


def _origins(node: Any, file: str, prefix: str) -> Iterator[tuple[str, Origin]]:
    is_mapping = isinstance(node, dict)
    keys = list(node) if is_mapping else range(len(node))

    for key in keys:
        line, column = _place(node, key) if is_mapping else node.lc.item(key)
        path = f"{prefix}{key}"

        yield path, Origin(f"{file}:{line + 1}:{column + 1}", (0, line, column))
        if isinstance(node[key], dict | list):
            yield from _origins(node[key], file, f"{path}.")


def _place(node: Any, key: Any) -> tuple[int, int]:
    """Line and column of a mapping's key."""
    if key in (node.lc.data or {}):
        line, column = node.lc.key(key)
        return line, column

    # `<<` brought the key here from another mapping.
    merged = (part for part in node.merge if isinstance(part, dict) and key in part)
    return next((_place(part, key) for part in merged), (node.lc.line, node.lc.col))


def _shown(path: Path) -> str:
    """The path as seen from the current folder, if it is inside."""
    try:
        return str(path.relative_to(Path.cwd()))
    except UNREADABLE:
        return str(path)
