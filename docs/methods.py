"""Writes docs/methods.md from plugins/methods.yaml: `make docs`. A test notices when the page is out of date."""

import re
from collections.abc import Sequence

from rlsp_cli.rewards.method import Method, all_methods, method_groups

HEAD = """\
# Methods

{count} methods of the literature on reasoning and reinforcement learning, and how to use what rlsp has of each.
Search the page for a paper, a name or an arXiv id. In a shell, by name or number:

    rlsp plugins list --method "SWE-RL"

| state | methods | meaning |
|---|---|---|
| works | {works} | what rlsp takes from the method can be used as shown, and tests cover it |
| partly | {partly} | a part of the method can be used as shown |
| not yet | {not_yet} | the method's idea cannot be used |

The state says what can be used, and not that a paper's results were reproduced: a paper's model, data and scale are
its own. "Left out" says what it has beyond rlsp.

Each recipe line is a section of a [recipe](recipe.md), to be merged into yours. `my.yaml` is such a recipe, `RUN` a run
folder, and `MODEL` a model folder or a hub id. [rewards.md](rewards.md), [plugins.md](plugins.md#a-selector) and
[strategies.md](strategies.md) describe rewards, selectors and strategies.

The page is written from `plugins/methods.yaml` by `make docs`. A test fails if a row there names a plugin, recipe key,
command, option or test that does not exist.
"""
COLUMNS = "| # | method | paper | state | recipe lines and commands |\n|---|---|---|---|---|\n"


def page() -> str:
    """The whole page."""
    states = [method.state for method in all_methods()]
    head = HEAD.format(
        count=len(states),
        works=states.count("works"),
        partly=states.count("partly"),
        not_yet=states.count("not yet"),
    )
    return head + "".join(_group(name, methods) for name, methods in method_groups().items())


def _group(name: str, methods: Sequence[Method]) -> str:
    """A heading, a table to look things up, and what rlsp has of each method."""
    rows = "".join(map(_row, methods))
    details = "".join(map(_details, methods))
    return f"\n## {name}\n\n{COLUMNS}{rows}{details}"


def _row(method: Method) -> str:
    uses = "<br>".join(f"`{text}`" for text in (*method.recipe, *method.commands))
    paper = f"[{method.arxiv}](https://arxiv.org/abs/{method.arxiv})"
    name = f"[{method.name}](#{_anchor(method)})"
    return f"| {method.number} | {name} | {paper} | {method.state} | {uses} |\n"


def _details(method: Method) -> str:
    text = f"\n### {_heading(method)}\n\n*{method.title}* (arXiv {method.arxiv})\n"
    if method.has:
        text += f"\n{method.has}\n"
    if method.left_out:
        label = "Left out" if method.has else "Missing"
        text += f"\n{label}: {method.left_out}\n"
    if method.tests:
        tests = ", ".join(f"`tests/{test}`" for test in method.tests)
        text += f"\nTests: {tests}\n"
    return text


def _heading(method: Method) -> str:
    return f"{method.number} {method.name}"


def _anchor(method: Method) -> str:
    """The heading as GitHub spells it in links."""
    return re.sub(r"[^\w\- ]", "", _heading(method).lower()).replace(" ", "-")


if __name__ == "__main__":
    print(page(), end="")
