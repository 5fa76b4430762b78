"""Where the shipped recipes, plugins and templates are: in the wheel, or in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def share(name: str) -> Path:
    """The folder `recipes`, `plugins` or `templates`."""
    # The wheel puts them inside the package; in a checkout they are beside it.
    installed = _PACKAGE / "_share" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
