"""A key that a backend is given, and the recipe keys that it comes from."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rlsp_cli.recipe.dump import dump_data
from rlsp_cli.recipe.origin import flat
from rlsp_cli.recipe.problem import Problem
from rlsp_cli.recipe.schema import Recipe


@dataclass(frozen=True)
class Setting:
    """`key: value` for the backend; `sources` are the dotted recipe keys that decide it, none when rlsp does."""

    key: str
    value: Any
    sources: tuple[str, ...] = ()


def explain(setting: Setting, recipe: Recipe) -> str:
    """Where a setting comes from: `sft.batch (recipes/x.yaml:12:3), sft.micro_batch (default)`."""
    if not setting.sources:
        return "set by rlsp"
    return ", ".join(f"{source} ({recipe.origin(source)})" for source in setting.sources)


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


def unused(recipe: Recipe, scope: Iterable[str], used: Sequence[str]) -> Iterator[Problem]:
    """A problem for each key in the `scope` (sections or keys) that is not at its default and reaches nothing."""
    for path in flat(recipe.model_dump(mode="json", exclude_defaults=True)):
        if _within(path, scope) and not _within(path, used):
            yield Problem(path, f"{path} reaches nothing in this stage", "remove it, or choose another backend")


def _within(path: str, keys: Iterable[str]) -> bool:
    return any(path == key or path.startswith(f"{key}.") for key in keys)
