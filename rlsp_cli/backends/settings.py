"""A key that a backend is given, and the recipe keys that it comes from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlsp_cli.recipe.dump import dump_data
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.origin import DEFAULT, flat
from rlsp_cli.recipe.schema import Recipe


@dataclass(frozen=True)
class Setting:
    """`key: value` for the backend; `sources` are the dotted recipe keys that decide it, none when rlsp does.

    `open` marks a value that a recipe's `extra` may replace: a default of ours, on which nothing
    else relies. All others are the job's meaning, or what rlsp counts on when it follows, resumes
    and finishes the job.
    """

    key: str
    value: Any
    sources: tuple[str, ...] = ()
    open: bool = False


def with_extra(own: Iterable[Setting], extra: Mapping[str, Any], where: str) -> list[Setting]:
    """The settings with the user's own keys of the section `where`, as `sft.axolotl.extra`; mappings are merged."""
    found = {setting.key: setting for setting in own}
    for key, value in extra.items():
        ours = found[key].value if key in found else None
        merged = {**ours, **value} if isinstance(ours, dict) and isinstance(value, dict) else value
        found[key] = Setting(key, merged, (f"{where}.{key}",))
    return list(found.values())


def taken(own: Iterable[Setting], extra: Mapping[str, Any], where: str) -> Iterator[Issue]:
    """A problem for each of the user's own keys that rlsp sets and that is not open."""
    for setting in own:
        if setting.key in extra and not setting.open:
            sources = ", ".join(setting.sources)
            message = (
                f"rlsp sets this key from {sources}"
                if sources
                else "rlsp relies on its own value of this key"
            )
            yield Issue(
                f"{where}.{setting.key}", message, "set that instead" if sources else "remove it"
            )


def explain(setting: Setting, recipe: Recipe) -> str:
    """Where a setting comes from: `sft.batch (recipes/x.yaml:12:3)`; keys at their default where none is written."""
    if not setting.sources:
        return "set by rlsp"
    written = [source for source in setting.sources if recipe.origin(source) is not DEFAULT]
    return ", ".join(
        f"{source} ({recipe.origin(source)})" for source in written or setting.sources[:1]
    )


def settings_text(settings: Iterable[Setting], origins: Recipe | None = None) -> str:
    """Settings as YAML that PyYAML too takes as we mean it; with a recipe, each says where it is from."""
    found = list(settings)
    data = {setting.key: setting.value for setting in found}
    if origins is None:
        return dump_data(data)
    comments = {setting.key: f"  # {explain(setting, origins)}" for setting in found}

    def comment(path: str) -> str:  # a key may have dots of its own
        return comments[max((key for key in comments if _within(path, [key])), key=len)]

    return dump_data(data, comment)


def unused(recipe: Recipe, scope: Iterable[str], used: Sequence[str], by: str) -> Iterator[Issue]:
    """An issue for each key in the `scope` (sections or keys) that is not at its default and has no effect.

    `by` names what would have to read it.
    """
    for path in flat(recipe.model_dump(mode="json", exclude_defaults=True)):
        if _within(path, scope) and not _within(path, used):
            yield Issue(
                path, f"{path} has no effect on {by}", "remove it, or choose another backend"
            )


def _within(path: str, keys: Iterable[str]) -> bool:
    return any(path == key or path.startswith(f"{key}.") for key in keys)
