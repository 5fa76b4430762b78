"""The documents tell what is true: links lead somewhere, the reference is current, the examples work."""

import re
import runpy
from pathlib import Path

import pytest

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


def test_the_plugin_of_the_docs_works_in_the_recipe_of_the_docs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "plugins.md").read_text()
    (tmp_path / "variety.py").write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1])
    recipe = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1]
    (tmp_path / "r.yaml").write_text(f"extends: quickstart\n{recipe}")
    assert "ok" in rlsp("check", "r.yaml", cwd=tmp_path).stdout


def test_every_command_in_the_readme_exists() -> None:
    commands = set(re.findall(r"^\s+rlsp ([a-z]+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert commands
    for command in commands:
        assert "Usage" in rlsp(command, "-h").stdout
