"""Tests of a program as a data set gives them, and the program among a response's fenced blocks."""

import ast
import builtins
import json
import re
import symtable
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rlsp_cli.rewards.fences import fenced_blocks
from rlsp_cli.rewards.sandbox import Assertion, Exchange, Test

_PYTHON = ("python", "python3", "py", "py3")
_ALIASES = {"np": "numpy"}
"""Names under which tests use a module without importing it."""


def read_tests(reference: str) -> list[Test]:
    """Tests from JSON or from plain Python; ValueError says which one is none, and why."""
    found = _listed(reference)
    return [_test(test, f"test {number} of the reference") for number, test in enumerate(found, 1)]


def find_program(response: str, tests: Sequence[Test]) -> str | None:
    """The last Python block that defines what the tests call; None without any block of Python or without a label.

    Where tests give input and output, or no block defines what they call, it is the last block that is labelled as
    Python, or the last one without a label.
    """
    blocks = [block for block in fenced_blocks(response) if block.language in ("", *_PYTHON)]
    names = {name for test in tests if isinstance(test, Assertion) for name in test.names}
    blocks.sort(key=lambda block: (_defined(block.code, names), bool(block.language)))  # stable: the last stays last
    return blocks[-1].code if blocks else None


def _listed(reference: str) -> list[Any]:
    """The tests of JSON, or a text that is none as one test."""
    if not reference.strip():
        return []
    try:
        found = json.loads(reference)
    except (ValueError, RecursionError):
        return [reference]
    return found if isinstance(found, list) else [found]


def _test(found: Any, where: str) -> Test:
    if isinstance(found, str):
        return _assertion(found, where)
    if isinstance(found, dict) and "output" in found:
        return Exchange(_text(found.get("input", ""), where), _text(found["output"], where))
    raise ValueError(f'{where} is {str(found)[:80]!r}, expected code or {{"input": ..., "output": ...}}')


def _text(value: Any, where: str) -> str:
    """Input or output; numbers stand for their text, lists for lines."""
    if isinstance(value, list):
        return "\n".join(_text(line, where) for line in value)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise ValueError(f"{where} has {str(value)[:80]!r} as input or output, expected text")


def _assertion(code: str, where: str) -> Assertion:
    """A test, with the modules imported that it uses and does not import."""
    try:
        tree, free = ast.parse(code), set(_free_names(symtable.symtable(code, "test", "exec")))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{where} is no Python: {error}") from error

    own = free - vars(builtins).keys()
    modules = own & (sys.stdlib_module_names | _ALIASES.keys()) - _used_alone(tree)
    names = own - modules or own or free
    if not names:
        raise ValueError(f"{where} calls nothing of the program: {code[:80]!r}")
    imports = [f"import {_ALIASES.get(name, name)} as {name}\n" for name in sorted(modules - names)]
    return Assertion("".join(imports) + code, tuple(sorted(names)))


def _used_alone(tree: ast.AST) -> set[str]:
    """Names that stand somewhere without an attribute after them."""
    nodes = [*ast.walk(tree)]
    followed = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    return {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in followed}


def _free_names(module: symtable.SymbolTable) -> Iterator[str]:
    """Names that code uses and does not define."""
    bound = {s.get_name() for s in module.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    for table in _tables(module):
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or table is module) and symbol.get_name() not in bound:
                yield symbol.get_name()


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _defined(code: str, names: set[str]) -> int:
    """How many of the names a program defines at its top, by its text: a parser would trust it with our stack."""
    return sum(
        re.search(rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^{name}[ \t]*(?::[^=\n]*)?=(?!=)", code, re.M)
        is not None
        for name in names
    )
