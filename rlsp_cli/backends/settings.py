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
    """`key: value` for the backend. The recipe keys `sources` decide it; none when rlsp does.

    `open` marks a value that a recipe's `extra` may replace: a default of ours, on which nothing
    else relies. All others make the job what the recipe says, or are what rlsp counts on when it
    follows, resumes and finishes the job.
    """

    key: str
    value: Any
    sources: tuple[str, ...] = ()
    open: bool = False


def with_extra(own: Iterable[Setting], extra: Mapping[str, Any], where: str) -> list[Setting]:
    """The settings with the user's own keys of the section `where`, as `sft.axolotl.extra`.

    A mapping is merged into ours, so that one inner key can be set without the others.
    """
    merged = {setting.key: setting for setting in own}
    for key, value in extra.items():
        ours = merged[key].value if key in merged else None
        whole = ours | value if isinstance(ours, dict) and isinstance(value, dict) else value
        merged[key] = Setting(key, whole, (f"{where}.{key}",))
    return list(merged.values())


def taken(own: Iterable[Setting], extra: Mapping[str, Any], where: str) -> Iterator[Issue]:
    """An issue for each of the user's own keys that rlsp sets and that is not open."""
    for setting in own:
        if setting.key not in extra or setting.open:
            continue

        message, hint = "rlsp relies on its own value of this key", "remove it"
        if setting.sources:
            message = f"rlsp sets this key from {', '.join(setting.sources)}"
            hint = "set that instead"
        yield Issue(f"{where}.{setting.key}", message, hint)


def explain(setting: Setting, recipe: Recipe) -> str:
    """Where a setting comes from: `sft.batch (recipes/x.yaml:12:3)`.

    Only keys that are written are named, or the first one where all are at their default.
    """
    if not setting.sources:
        return "set by rlsp"
    written = [source for source in setting.sources if recipe.origin(source) is not DEFAULT]
    named = written or setting.sources[:1]
    return ", ".join(f"{source} ({recipe.origin(source)})" for source in named)


def settings_text(settings: Iterable[Setting], origins: Recipe | None = None) -> str:
    """Settings as YAML that YAML 1.1 readers such as PyYAML take alike.

    With a recipe as `origins`, a comment behind each key says where it comes from.
    """
    found = list(settings)
    data = {setting.key: setting.value for setting in found}
    if origins is None:
        return dump_data(data)

    comments = {setting.key: f"  # {explain(setting, origins)}" for setting in found}

    def comment(path: str) -> str:
        # A key may have dots of its own, so the longest that fits is the setting's.
        return comments[max((key for key in comments if _within(path, [key])), key=len)]

    return dump_data(data, comment)


def unused(recipe: Recipe, scope: Iterable[str], used: Sequence[str], by: str) -> Iterator[Issue]:
    """An issue for each key in the `scope` that is set and has no effect.

    `scope` and `used` are sections or keys, `by` names what would have to read them.
    """
    hint = "remove it, or choose another backend"
    # A key at its default says nothing, also where the recipe writes it down.
    for path in flat(recipe.model_dump(mode="json", exclude_defaults=True)):
        if _within(path, scope) and not _within(path, used):
            yield Issue(path, f"{path} has no effect on {by}", hint)


def _within(path: str, keys: Iterable[str]) -> bool:
    return any(path == key or path.startswith(f"{key}.") for key in keys)
