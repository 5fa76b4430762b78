"""Tests of a program as a data set gives them, and the program among a response's fenced blocks."""

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
"""Labels of Python, or none; another one that begins like them, such as pycon, is of a session."""
_ALIASES = {"np": "numpy"}
"""Names under which tests use a module without importing it."""
_DEFINITION = re.compile(
    r"^(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)|^(?:from[ \t]+[\w.]+[ \t]+)?import[ \t]+([^#\n]+)",
    re.MULTILINE,
)
_RUNNER = re.compile(r"\b(?:unittest|pytest)\.main\(")


def read_tests(reference: str) -> list[Test]:
    """Tests from JSON or from plain Python; ValueError says which one is none, and why."""
    found = _listed(reference)
    return [_test(test, f"test {number} of the reference") for number, test in enumerate(found, 1)]


def find_program(response: str, tests: Sequence[Test]) -> str | None:
    """The last Python block that defines what the tests call; None without any block of Python or without a label.

    Where tests give input and output, or no block defines what they call, it is the last block that
    is labelled as Python, or the last one without a label. Other blocks that define functions,
    classes or imports which it uses and does not define stand before it. A response without any
    fence is a program when it defines what the tests call.
    """
    names = {name for test in tests if isinstance(test, Assertion) for name in test.names}
    fenced = fenced_blocks(response)
    if not fenced:
        texts = [*stated_answers(response), without_thinking(response).strip()]
        return next((text for text in texts if _defined(text, names)), None)

    blocks = [block for block in fenced if _PYTHON.fullmatch(block.language)]
    if not blocks:
        return None
    ranked = sorted(blocks, key=lambda block: (_defined(block.code, names), bool(block.language)))
    program = ranked[-1].code  # sorting is stable: of equal ones the last
    return "\n\n".join([*_helpers(program, names, [block.code for block in blocks]), program])


def _helpers(program: str, names: set[str], blocks: Sequence[str]) -> list[str]:
    """The blocks that define what a program lacks, of two the last; none that is another try, or an example."""
    defined = _definitions(program)
    tried = names & defined
    lacking = (_words(program) | names) - defined
    found: list[str] = []
    for block in reversed(blocks):
        if lacking & _definitions(block) and not tried & _words(block):
            defined |= _definitions(block)
            lacking |= _words(block) - defined
            lacking -= _definitions(block)
            found.insert(0, block)
    return found


def _words(code: str) -> set[str]:
    return set(re.findall(r"\w+", code))


def _definitions(code: str) -> set[str]:
    """The functions, classes and imports at the top of a program, by its text."""
    found = set()
    for name, imported in _DEFINITION.findall(code):
        words = (part.split() for part in imported.strip("() \t").split(","))
        found.update([name] if name else [known_as[-1] for known_as in words if known_as])
    return found


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
    raise ValueError(
        f'{where} is {str(found)[:80]!r}, expected code or {{"input": ..., "output": ...}}'
    )


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
    """A test, with the modules imported that it uses and does not import, and with its test functions called."""
    try:
        tree, free = ast.parse(code), set(_free_names(symtable.symtable(code, "test", "exec")))
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{where} is no Python: {error}") from error

    own = free - vars(builtins).keys()
    modules = own & (sys.stdlib_module_names | _ALIASES.keys()) - _used_alone(tree)
    names = own - modules or own or free
    code, used = _with_calls(code)
    if not names & used:
        raise ValueError(f"{where} calls nothing of the program: {code[:80]!r}")
    imports = [f"import {_ALIASES.get(name, name)} as {name}\n" for name in sorted(modules - names)]
    return Assertion("".join(imports) + code, tuple(sorted(names)))


def _with_calls(code: str) -> tuple[str, set[str]]:
    """A test that calls what pytest or unittest would call, and all names that are used when it is run.

    Functions that nothing calls test nothing, so that any program would pass.
    """
    module = ast.parse(code)
    if _RUNNER.search(code):
        module = _WithoutRunner().visit(module)
        code = ast.unparse(module)

    used = _names_used(module)
    calls = [
        call
        for node in module.body
        if getattr(node, "name", None) not in used
        for call in _calls(node)
    ]
    code = "\n".join([code, *calls])
    return code, _names_used(ast.parse(code))


class _WithoutRunner(ast.NodeTransformer):
    """`unittest.main()` looks for tests in the module that was started, and ends the process."""

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        return ast.copy_location(ast.Pass(), node) if _RUNNER.search(ast.unparse(node)) else node


def _calls(node: ast.stmt) -> list[str]:
    """The calls by which pytest or unittest would run a definition."""
    if isinstance(node, ast.FunctionDef):
        return [f"{node.name}()"] if node.name.startswith("test") and not node.args.args else []
    if not isinstance(node, ast.ClassDef):
        return []
    if any(ast.unparse(base).endswith("TestCase") for base in node.bases):
        return [
            f"__import__('unittest').defaultTestLoader.loadTestsFromTestCase({node.name}).debug()"
        ]
    methods = [
        part.name
        for part in node.body
        if isinstance(part, ast.FunctionDef) and part.name.startswith("test")
    ]
    return [f"{node.name}().{name}()" for name in methods] if node.name.startswith("Test") else []


def _names_used(module: ast.Module) -> set[str]:
    """The names in a module's own statements, and in the functions and classes that those use."""
    used: set[str] = set()
    within: dict[str, set[str]] = {}
    for node in module.body:
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            within[node.name] = names
        else:
            used |= names

    while waiting := used & within.keys():
        for name in waiting:
            used |= within.pop(name)
    return used


def _used_alone(tree: ast.AST) -> set[str]:
    """Names that stand somewhere without an attribute after them."""
    nodes = [*ast.walk(tree)]
    followed = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    return {node.id for node in nodes if isinstance(node, ast.Name) and id(node) not in followed}


def _free_names(module: symtable.SymbolTable) -> Iterator[str]:
    """Names that code uses and does not define."""
    bound = {
        s.get_name()
        for s in module.get_symbols()
        if s.is_assigned() or s.is_imported() or s.is_namespace()
    }
    for table in _tables(module):
        for symbol in table.get_symbols():
            if (
                symbol.is_referenced()
                and (symbol.is_global() or table is module)
                and symbol.get_name() not in bound
            ):
                yield symbol.get_name()


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _defined(code: str, names: set[str]) -> int:
    """How many of the names a program defines at its top, by its text: a parser would trust it with our stack."""
    return sum(
        re.search(
            rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^{name}[ \t]*(?::[^=\n]*)?=(?!=)",
            code,
            re.M,
        )
        is not None
        for name in names
    )
