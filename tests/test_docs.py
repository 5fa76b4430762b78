"""The documents tell what is true: links lead somewhere, the reference is current, the examples work."""

import re
import runpy
import shlex
import sys
from pathlib import Path
from subprocess import run

import pytest
import typer
from typer.core import TyperGroup

from rlsp_cli.cli import app
from tests.conftest import ROOT, rlsp

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]


def anchors(page: Path) -> set[str]:
    """What `#...` in a link may name: the headings as GitHub spells them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        if "://" in target:
            continue

        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


def test_the_recipe_reference_is_current() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "reference.py"))["page"]
    assert (ROOT / "docs" / "recipe.md").read_text() == page()


@pytest.mark.integration
def test_the_plugins_of_the_docs_work_in_the_recipes_of_the_docs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    verifier, verifier_test, reward, steps, selector = re.findall(
        r"```python\n(.*?)```", text, re.DOTALL
    )
    verifier_recipe, reward_recipe, steps_recipe, selector_recipe = re.findall(
        r"```yaml\n(.*?)```", text, re.DOTALL
    )
    (tmp_path / "close_to.py").write_text(verifier)
    (tmp_path / "test_close_to.py").write_text(verifier_test)
    (tmp_path / "my.yaml").write_text(verifier_recipe)
    (tmp_path / "variety.py").write_text(reward)
    (tmp_path / "enough.py").write_text(selector)
    (tmp_path / "fresh.py").write_text(steps)
    (tmp_path / "p.yaml").write_text(f"extends: quickstart\n{steps_recipe}")
    (tmp_path / "s.yaml").write_text(f"extends: quickstart\n{selector_recipe}")
    (tmp_path / "r.yaml").write_text(f"extends: quickstart\n{reward_recipe}")

    run([sys.executable, "-m", "pytest", "-q", "test_close_to.py"], cwd=tmp_path, check=True)
    for recipe in ("my.yaml", "r.yaml", "p.yaml", "s.yaml"):
        assert "ok" in rlsp("check", recipe, cwd=tmp_path).stdout


def printed_commands(page: Path) -> list[list[str]]:
    """The words of every `rlsp ...` that stands on a line of its own, as code."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"^ {4,}rlsp (.*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def check_command(words: list[str]) -> None:
    """The words after `rlsp` name a command that exists, and options that it has."""
    command, rest = typer.main.get_command(app), words
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        name, *rest = rest
        assert name in command.commands, f"rlsp {' '.join(words)}"
        command = command.commands[name]

    known = {"-h"}
    for parameter in command.params:
        known |= {*parameter.opts, *parameter.secondary_opts}
    given = {word.partition("=")[0] for word in rest if word.startswith("-")}
    assert given <= known, f"rlsp {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist_with_their_options(page: Path) -> None:
    for words in printed_commands(page):
        check_command(words)


def test_the_readme_prints_commands() -> None:
    assert len(printed_commands(ROOT / "README.md")) > 10
