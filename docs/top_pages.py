"""A hook of mkdocs: pages that lie outside docs/ become pages of the site, and links follow them."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
TOP_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples/README.md": "examples.md",
    "CITATION.cff": "CITATION.cff",
}
"""Files of the repository that others link to, and their names on the site."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that there are."""
    for source, page in TOP_PAGES.items():
        if (ROOT / source).exists():
            files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Turn links, which are relative to files of the repository, into links of the site."""
    source = _source(page.file.src_uri)
    return re.sub(
        r"\]\((?![a-z]+:|#)([^)#\s]+)", lambda found: f"]({_linked(source, found[1])}", markdown
    )


def _source(page: str) -> Path:
    """The file that a page is written in, below the root."""
    return next((Path(top) for top, name in TOP_PAGES.items() if name == page), Path("docs", page))


def _linked(source: Path, target: str) -> str:
    """What a link of a file leads to on the site."""
    file = (ROOT / source.parent / target).resolve().relative_to(ROOT).as_posix()
    return TOP_PAGES.get(file, file.removeprefix("docs/"))
