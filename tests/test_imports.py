"""The shape of the package: who may import whom, no circles, and no heavy library where none is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "rlsp_cli"
LAYERS = [  # a package imports itself and what stands below it
    {"cli"},
    {"ablate", "smoke"},
    {"launch"},
    {"pack", "plan", "preflight", "traces", "view"},
    {"report", "backends"},
    {"engine"},
    {"evals"},
    {"runs"},
    {"data"},
    {"rewards"},
    {"recipe"},
    {"errors", "share", "outside", "http", "hub_cache", "terminal", "child", ""},
]
HEAVY = {"torch", "transformers", "numpy", "sympy", "math_verify", "matplotlib", "jinja2"}


def modules(package: Path) -> dict[str, Path]:
    """Every module below a folder by its dotted name; a package by that of its `__init__.py`."""
    files = package.rglob("*.py")
    return {
        ".".join(f.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): f
        for f in files
    }


OURS = modules(PACKAGE)


def imported(name: str, file: Path) -> set[str]:
    """What a module imports, at any depth of the file, in every form: modules, and names that may be modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = (
                name.split(".")[: -node.level + (file.name == "__init__.py") or None]
                if node.level
                else []
            )
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    return found


def circles(package: Path) -> list[list[str]]:
    """Circles of modules that import each other, each from where it was met first."""
    files = modules(package)
    imports = {
        name: sorted((imported(name, file) & set(files)) - {name}) for name, file in files.items()
    }
    found: list[list[str]] = []
    finished: set[str] = set()

    def follow(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in finished:
            for other in imports[name]:
                follow(other, [*path, name])
            finished.add(name)

    for name in files:
        follow(name, [])
    return found


def parts(name: str, file: Path) -> set[str]:
    """The parts of rlsp that a module imports, such as `engine` or `errors`."""
    known = [path.split(".") for path in imported(name, file) & set(OURS)]
    return {path[1] if len(path) > 1 else "" for path in known}


def layer(part: str) -> int:
    return next(i for i, parts in enumerate(LAYERS) if part in parts)


def test_imports_point_one_way() -> None:
    homes = {name: [*name.split("."), ""][1] for name in OURS}
    wrong = [
        (name, part)
        for name, file in OURS.items()
        for part in parts(name, file) - {homes[name]}
        if homes[name] != "__main__" and layer(part) <= layer(homes[name])
    ]
    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(PACKAGE) == []


@pytest.mark.parametrize(
    "line",
    [
        "import mine.b",
        "import mine.b as other",
        "from mine import b",
        "from mine.b import Thing",
        "from . import b",
        "from .b import Thing",
        "def late():\n    from mine.b import Thing",
        "if TYPE_CHECKING:\n    from mine.b import Thing",
    ],
)
def test_the_search_for_circles_knows_every_form_of_import(line: str, tmp_path: Path) -> None:
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a.py").write_text(line)
    (package / "b.py").write_text("from mine.c import other")
    (package / "c.py").write_text("")
    assert circles(package) == []
    (package / "c.py").write_text("import mine.a")
    assert [set(circle) for circle in circles(package)] == [{"mine.a", "mine.b", "mine.c"}]


def test_only_child_processes_of_backends_import_the_engine() -> None:
    users = {name for name, file in OURS.items() if "engine" in parts(name, file)}
    outside = {u for u in users if not u.startswith(("rlsp_cli.engine", "rlsp_cli.backends.local"))}
    steps = ["axolotl.setup", "axolotl.pairs", "openrlhf.setup", "openrlhf.turns"]
    steps.append("openrlhf.finish")
    assert outside == {f"rlsp_cli.backends.{step}" for step in steps}


@pytest.mark.integration
@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["check", "quickstart"],
        ["plan", "quickstart"],
        ["check", "quickstart", "--resolved"],
    ],
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


@pytest.mark.integration
def test_the_reward_service_of_a_training_starts_without_torch() -> None:
    """It starts anew in a training that waits for its answer."""
    service = "rlsp_cli.backends.openrlhf.__main__, rlsp_cli.rewards.service.server"
    code = f"import sys, {service}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "transformers"} & set(done.stdout.split()) == set()
