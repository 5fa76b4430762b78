"""Where the shipped recipes, plugins and templates lie: inside the wheel, or beside the package in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def share(name: str) -> Path:
    """The folder `recipes`, `plugins` or `templates`."""
    installed = _PACKAGE / "_share" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
