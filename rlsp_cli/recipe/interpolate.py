"""`${key.path}` in a value: the value at that key, as OmegaConf resolves it."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.source import Source
from rlsp_cli.recipe.tree import items_of, leaves

if TYPE_CHECKING:
    from omegaconf import DictConfig

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_PROMPTS = ("data.template", "data.system")
"""Keys whose text goes to the model, and may hold `${` as text."""
_HERE = "value to resolve"
"""A key for the text that is being resolved; no recipe has it."""


class _UnresolvedError(ValueError):
    """A reference that cannot be resolved."""


def interpolate(source: Source) -> list[Issue]:
    """Replace each `${key.path}` by the value at that key, in place; an issue for each without."""
    # Most recipes have no reference, and OmegaConf takes a while to load.
    if not any(_has_reference(path, value) for path, value in leaves(source.data)):
        return []

    return list(_replaced(source.data, _readable(source.data), ""))


def _has_reference(path: str, value: Any) -> bool:
    return isinstance(value, str) and "${" in value and path not in _PROMPTS


def _replaced(node: Any, recipe: dict[str, Any], prefix: str) -> Iterator[Issue]:
    """Replace the references in a mapping or list at `prefix`; yields the issues."""
    for key, value in items_of(node):
        path = f"{prefix}{key}"
        if not _has_reference(path, value):
            yield from _replaced(value, recipe, f"{path}.")
            continue

        try:
            node[key] = _resolved(value, recipe)
        except _UnresolvedError as error:
            yield Issue(
                path, f"cannot resolve {value!r}: {error}", "${...} names a key of this recipe"
            )


def _resolved(text: str, recipe: dict[str, Any]) -> Any:
    """A text with its references replaced; if it is one reference, the value itself."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    # ${oc.env:NAME} would write environment variables into the run folder.
    if re.search(r"\$\{[^}]*:", text):
        raise _UnresolvedError("resolvers such as ${oc.env:NAME} are not allowed")

    try:
        config = OmegaConf.create({**recipe, _HERE: text})
        _refuse_section_in_text(text, config)
        value = OmegaConf.select(config, _HERE)
        if OmegaConf.is_config(value):
            return OmegaConf.to_container(value, resolve=True)
        return value
    except OmegaConfBaseException as error:
        raise _UnresolvedError(str(error).partition("\n")[0]) from error


def _refuse_section_in_text(text: str, config: "DictConfig") -> None:
    from omegaconf import OmegaConf

    # OmegaConf would write a section into the text as Python's repr.
    names = [] if _REFERENCE.fullmatch(text) else _REFERENCE.findall(text)
    if any(OmegaConf.is_config(OmegaConf.select(config, name.strip())) for name in names):
        raise _UnresolvedError("a section or a list cannot stand inside a text")


def _readable(node: Any, path: str = "") -> Any:
    """A copy without what OmegaConf cannot hold: prompts, malformed references and dates."""
    if isinstance(node, dict):
        copy = {}
        for key, value in node.items():
            copy[key] = _readable(value, f"{path}.{key}" if path else str(key))
        return copy
    if isinstance(node, list):
        return [_readable(item) for item in node]
    return node if _is_readable(node, path) else None


def _is_readable(value: Any, path: str) -> bool:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    if path in _PROMPTS:
        return False
    try:
        OmegaConf.create([value])
    except OmegaConfBaseException:
        return False
    return True
