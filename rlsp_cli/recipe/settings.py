"""`key.path=value` of the command line, read without a recipe below."""

from collections.abc import Sequence
from typing import Any

from rlsp_cli.recipe.override import override
from rlsp_cli.recipe.source import Source


def plain_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """What overrides set, as plain data that is not validated."""
    return _source(overrides).data


def _source(overrides: Sequence[str]) -> Source:
    source = Source({})
    for number, text in enumerate(overrides, 1):
        override(source, text, number)
    return source
