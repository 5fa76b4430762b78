"""The documents tell what is true: links lead somewhere, the reference is current, the examples work."""

import os
import re
import runpy
import sys
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
import typer
import yaml
from typer.core import TyperGroup

from rlsp_cli.cli import app
from tests.conftest import ROOT
from tests.documented.commands import commands_of

TOP_PAGES: dict[str, str] = runpy.run_path(str(ROOT / "docs" / "top_pages.py"))["TOP_PAGES"]
WRITERS = {"recipe": "reference.py", "cli": "cli.py", "api": "api.py"}
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("benchmarks/*.md"),
    *ROOT.glob("examples/*.md"),
]


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


def navigated(entries: Any) -> set[str]:
    """The pages under `nav` of mkdocs.yml."""
    pages: set[str] = set()
    for entry in entries:
        (inner,) = entry.values() if isinstance(entry, dict) else (entry,)
        pages |= {inner} if isinstance(inner, str) else navigated(inner)
    return pages


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    # The rest of the file has tags for mkdocs itself.
    nav = re.search(r"^nav:\n.*?(?=^\S)", (ROOT / "mkdocs.yml").read_text(), re.M | re.S)
    assert nav is not None
    pages = navigated(yaml.safe_load(nav[0])["nav"])
    top = {name for source, name in TOP_PAGES.items() if source.endswith(".md")}
    assert pages == {page.name for page in ROOT.glob("docs/*.md")} | top


@pytest.mark.integration
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", f"{tmp_path}/site"]
    run(words, cwd=ROOT, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert not re.findall(
        r'<(?:script|link)[^>]*"https?:', (tmp_path / "site/index.html").read_text()
    )


@pytest.mark.parametrize("name", WRITERS)
def test_the_written_reference_is_current(name: str) -> None:
    page = runpy.run_path(str(ROOT / "docs" / WRITERS[name]))["page"]
    assert (ROOT / "docs" / f"{name}.md").read_text() == page(), "run `make docs`"


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
    for command in commands_of(page):
        if command.words[0] == "rlsp":
            check_command(command.words[1:])


def test_the_readme_prints_commands() -> None:
    assert len(commands_of(ROOT / "README.md")) > 10
