"""The shape of the package: who may import whom, no circles, and no heavy library where none is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rlsp_cli"
LAYERS = [  # a package imports itself and what stands below it
    {"cli"},
    {"launch"},
    {"plan"},
    {"report", "backends"},
    {"engine"},
    {"evals"},
    {"runs"},
    {"data"},
    {"rewards"},
    {"recipe"},
    {"errors", "share", "child", ""},
]
HEAVY = {"torch", "transformers", "numpy", "sympy", "math_verify", "matplotlib", "omegaconf", "jinja2"}


def imports(file: Path) -> set[str]:
    """The parts of rlsp that a file imports, at any depth of the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rlsp_cli"):
            part = node.module.split(".")[1:2]
            names |= set(part) if part else {alias.name for alias in node.names}
    return names - {"__version__"}


def layer(part: str) -> int:
    return next(i for i, parts in enumerate(LAYERS) if part in parts)


def test_imports_point_one_way() -> None:
    wrong = [
        (str(file.relative_to(PACKAGE)), part)
        for file in PACKAGE.rglob("*.py")
        if (home := (file.relative_to(PACKAGE).parts[0] if file.parent != PACKAGE else file.stem)) != "__main__"
        for part in imports(file)
        if layer(part) < layer("" if home == "__init__" else home)
    ]
    assert wrong == []


def test_only_child_processes_of_backends_import_the_engine() -> None:
    users = {f.relative_to(PACKAGE).parts for f in PACKAGE.rglob("*.py") if "engine" in imports(f)}
    outside = {user for user in users if user[0] != "engine" and user[:2] != ("backends", "local")}
    steps = [("axolotl", "setup.py"), ("openrlhf", "setup.py"), ("openrlhf", "finish.py")]
    assert outside == {("backends", *step) for step in steps}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["check", "quickstart"], ["plan", "quickstart"], ["check", "quickstart", "--resolved"]]
)
def test_help_and_check_load_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, rlsp_cli.cli\n"
        f"sys.argv = ['rlsp', *{arguments!r}]\n"
        "try:\n    rlsp_cli.cli.main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stderr.split()) == set()
