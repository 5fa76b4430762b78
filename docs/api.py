"""Writes docs/api.md from `rlsp_cli.rewards`: `make docs`. A test notices when the page is out of date."""

import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path

from rlsp_cli import rewards

HEAD = """\
# `rlsp_cli.rewards`

What plugins import, written from the docstrings by `make docs`. [plugin_api.md](plugin_api.md) says what a plugin is
given and may return, with the same names by purpose.
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_section(name, getattr(rewards, name)) for name in rewards.__all__)


def _section(name: str, value: object) -> str:
    if inspect.isclass(value):
        parts = [_shown(name, value), *_members(value)]
    elif inspect.isfunction(value):
        parts = [_shown(name, value)]
    else:
        parts = [_note(name)]
    return f"\n## {name}\n\n" + "\n".join(parts)


def _members(of: type) -> Iterator[str]:
    """The methods and properties with a docstring that the class itself has."""
    for name, value in vars(of).items():
        inner = value.fget if isinstance(value, property) else value
        if inspect.isfunction(inner) and not name.startswith("_") and inner.__doc__:
            yield f"### {of.__name__}.{name}\n\n" + _shown(name, inner)


def _shown(name: str, value: typing.Any) -> str:
    try:
        signature = _plain(inspect.signature(value))
    except ValueError:
        signature = "(text)"  # str's own, which Closing inherits
    text = inspect.cleandoc(value.__doc__ or "")
    return f"```python\n{name}{signature}\n```\n\n{text}\n"


def _note(name: str) -> str:
    """The value of a constant, and the text below it."""
    sources = (path.read_text() for path in Path(rewards.__file__).parent.glob("*.py"))
    found = re.search(
        rf'^{name} = ([^\n]*)\n"""(.*?)"""$', "\n".join(sources), re.MULTILINE | re.DOTALL
    )
    assert found, name
    return f"```python\n{name} = {found[1]}\n```\n\n{found[2]}\n"


def _plain(value: object) -> str:
    """A type or signature without the places of its names."""
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z])", "", str(value))


if __name__ == "__main__":
    print(page(), end="")
