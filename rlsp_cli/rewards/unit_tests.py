"""Read the tests of a data set's reference, and find the program in a response."""

import ast
import builtins
import json
import re
import symtable
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from rlsp_cli.rewards.answers import stated_answers
from rlsp_cli.rewards.fences import fenced_blocks
from rlsp_cli.rewards.sandbox import Assertion, Exchange, Test
from rlsp_cli.rewards.thinking import without_thinking

_PYTHON = re.compile(r"i?py(?:thon)?[\d_-]*(?:code)?|")
"""Labels of Python, or none; others that begin alike, such as pycon, mark a session."""
_ALIASES = {"np": "numpy"}
"""Names by which tests use a module without importing it."""
_DEFINITION = re.compile(
    r"^(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)|^(?:from[ \t]+[\w.]+[ \t]+)?import[ \t]+([^#\n]+)",
    re.MULTILINE,
)
_QUOTED = 80
"""Characters of a test that an error shows."""
_RUNNER = re.compile(r"\b(?:unittest|pytest)\.main\(")


def read_tests(reference: str) -> list[Test]:
    """Tests from JSON or from plain Python; ValueError says which one is not a test, and why."""
    found = _listed(reference)
    return [_test(test, f"test {number} of the reference") for number, test in enumerate(found, 1)]


def find_program(response: str, tests: Sequence[Test]) -> str | None:
    """The last Python block that defines what the tests call; None if no block may be Python.

    Where tests give input and output, or no block defines what they call, it is the last block with
    a label of Python, else the last without a label. Before it come other blocks that define what
    it uses and lacks. A response without fences is a program if it defines what the tests call.
    """
    names: set[str] = set()
    for test in tests:
        if isinstance(test, Assertion):
            names.update(test.names)

    fenced = fenced_blocks(response)
    if not fenced:
        texts = [*stated_answers(response), without_thinking(response).strip()]
        return next((text for text in texts if _defined(text, names)), None)

    blocks = [block for block in fenced if _PYTHON.fullmatch(block.language)]
    if not blocks:
        return None
    # Sorting is stable: of equal ones the last. The last block alone may be an example of its use.
    ranked = sorted(blocks, key=lambda block: (_defined(block.code, names), bool(block.language)))
    program = ranked[-1].code
    return "\n\n".join([*_helpers(program, names, [block.code for block in blocks]), program])


def _helpers(program: str, names: set[str], blocks: Sequence[str]) -> list[str]:
    """The blocks that define what a program lacks; the last one of several that do."""
    defined = _definitions(program)
    tried = names & defined
    lacking = (_words(program) | names) - defined

    found: list[str] = []
    for block in reversed(blocks):
        # A block that mentions the function itself is an earlier attempt, or calls it.
        if lacking & _definitions(block) and not tried & _words(block):
            defined |= _definitions(block)
            lacking |= _words(block) - defined
            lacking -= _definitions(block)
            found.insert(0, block)

    return found


def _words(code: str) -> set[str]:
    return set(re.findall(r"\w+", code))


def _definitions(code: str) -> set[str]:
    """The functions, classes and imports at the top level of a program, by its text."""
    found = set()
    for name, imported in _DEFINITION.findall(code):
        if name:
            found.add(name)
            continue

        # The last word of `numpy as np` is the name that it defines.
        for part in imported.strip("() \t").split(","):
            found.update(part.split()[-1:])
    return found


def _listed(reference: str) -> list[Any]:
    """The tests of a JSON document; any other text is one test."""
    if not reference.strip():
        return []

    try:
        found = json.loads(reference)
    except (ValueError, RecursionError):
        return [reference]
    return found if isinstance(found, list) else [found]


def _test(found: Any, where: str) -> Test:
    """A test from an element of the reference."""
    if isinstance(found, str):
        return _assertion(found, where)
    if isinstance(found, dict) and "output" in found:
        return Exchange(_text(found.get("input", ""), where), _text(found["output"], where))
    expected = 'code or {"input": ..., "output": ...}'
    raise ValueError(f"{where} is {str(found)[:_QUOTED]!r}, expected {expected}")


def _text(value: Any, where: str) -> str:
    """Input or output as text: a number as it is printed, a list as lines."""
    if isinstance(value, list):
        return "\n".join(_text(line, where) for line in value)
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return str(value)
    raise ValueError(f"{where} has {str(value)[:_QUOTED]!r} as input or output, expected text")


def _assertion(code: str, where: str) -> Assertion:
    """A test that imports the modules it uses, and calls its own test functions."""
    try:
        tree, free = ast.parse(code), set(_free_names(symtable.symtable(code, "test", "exec")))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{where} is no Python: {error}") from error

    # `math.isclose(...)` uses a module; a function called `math` is one of the program.
    own = free - vars(builtins).keys()
    modules = own & (sys.stdlib_module_names | _ALIASES.keys()) - _used_alone(tree)

    # Where nothing else is left, a program may be about a module's or a built-in's name.
    names = own - modules or own or free
    code, used = _with_calls(code)
    if not names & used:
        raise ValueError(f"{where} calls nothing of the program: {code[:_QUOTED]!r}")

    imports = [f"import {_ALIASES.get(name, name)} as {name}\n" for name in sorted(modules - names)]
    return Assertion("".join(imports) + code, tuple(sorted(names)))


def _with_calls(code: str) -> tuple[str, set[str]]:
    """A test with calls of what pytest or unittest would call, and all names that it uses then.

    A function that nothing calls tests nothing, so any program would pass.
    """
    module = ast.parse(code)
    if _RUNNER.search(code):
        module = _WithoutRunner().visit(module)
        code = ast.unparse(module)

    used = _names_used(module)
    calls: list[str] = []
    for node in module.body:
        if getattr(node, "name", None) not in used:
            calls += _calls(node)

    code = "\n".join([code, *calls])
    return code, _names_used(ast.parse(code))


class _WithoutRunner(ast.NodeTransformer):
    """`unittest.main()` looks for tests in the module that was started, and ends the process."""

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        return ast.copy_location(ast.Pass(), node) if _RUNNER.search(ast.unparse(node)) else node


def _calls(node: ast.stmt) -> list[str]:
    """The calls by which pytest or unittest would run a definition."""
    if isinstance(node, ast.FunctionDef):
        # One with parameters wants a fixture, which nothing here would give it.
        return [f"{node.name}()"] if node.name.startswith("test") and not node.args.args else []
    if not isinstance(node, ast.ClassDef):
        return []

    # `debug` raises the first failure, where `run` would collect it.
    if any(ast.unparse(base).endswith("TestCase") for base in node.bases):
        loader = "__import__('unittest').defaultTestLoader"
        return [f"{loader}.loadTestsFromTestCase({node.name}).debug()"]

    if not node.name.startswith("Test"):
        return []
    methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
    return [f"{node.name}().{name}()" for name in methods if name.startswith("test")]


def _names_used(module: ast.Module) -> set[str]:
    """The names in a module's statements, and in the functions and classes that they use."""
    used: set[str] = set()
    within: dict[str, set[str]] = {}
    for node in module.body:
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            within[node.name] = names
        else:
            used |= names

    # What a function uses counts once the function is used itself.
    while waiting := used & within.keys():
        for name in waiting:
            used |= within.pop(name)
    return used


def _used_alone(tree: ast.AST) -> set[str]:
    """Names that occur somewhere without an attribute behind them."""
    nodes = [*ast.walk(tree)]
    followed = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    return {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in followed}


def _free_names(module: symtable.SymbolTable) -> Iterator[str]:
    """Names that code uses without defining them."""
    bound = set()
    for symbol in module.get_symbols():
        if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace():
            bound.add(symbol.get_name())

    for table in _tables(module):
        for symbol in table.get_symbols():
            # In a function, a name that is neither its own nor an outer function's is global.
            is_global = symbol.is_global() or table is module
            if symbol.is_referenced() and is_global and symbol.get_name() not in bound:
                yield symbol.get_name()


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _defined(code: str, names: set[str]) -> int:
    """How many of the names a program defines at its top level.

    By its text, since ast.parse recurses: a program nested deeply enough would end this process.
    """
    found = 0
    for name in names:
        definition = rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b"
        assignment = rf"^{name}[ \t]*(?::[^=\n]*)?=(?!=)"
        found += re.search(f"{definition}|{assignment}", code, re.MULTILINE) is not None
    return found
