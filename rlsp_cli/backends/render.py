"""A compiled stage as text: the keys that the backend is given, and where each comes from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.backends import backend_of, stages_of
from rlsp_cli.backends.settings import Setting, explain, settings_text
from rlsp_cli.errors import UsageError
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import RunPaths

_RUN = RunPaths(Path("RUN"))
"""Stands for the run folder, which is made when a run starts."""


@dataclass(frozen=True)
class Page:
    """The settings of one stage for the tested version of its backend."""

    backend: str
    version: str
    settings: tuple[Setting, ...]

    def text(self, origins: Recipe | None = None) -> str:
        """The configuration file; with a recipe, each key has a comment with where it comes from."""
        return f"# {self.backend} {self.version}\n" + settings_text(self.settings, origins)

    def to_json(self, recipe: Recipe) -> dict[str, Any]:
        """The same as data, for `--json`."""
        rows = []
        for setting in self.settings:
            origin = explain(setting, recipe)
            source = {"from": list(setting.sources), "origin": origin}
            rows.append({"key": setting.key, "value": setting.value, **source})
        return {"backend": self.backend, "version": self.version, "settings": rows}


def render_stage(recipe: Recipe, stage: str | None) -> Page:
    """The settings of a stage, or of the first that has any when none is named.

    UsageError for a stage that the recipe does not have, or whose backend is given no keys.
    """
    given = stages_of(recipe)
    stage = stage or _first_rendered(recipe) or next(iter(given), "")
    if stage not in given:
        raise UsageError(f"stage {stage!r}: this recipe has {', '.join(given) or 'no stage'}")

    backend = backend_of(recipe, stage)
    settings = backend.rendered(recipe, _RUN)
    if settings is None:
        reads = f"{stage} runs on the {backend.name} backend, which reads the recipe itself"
        raise UsageError(f"{reads}; see `rlsp check --resolved`")
    return Page(backend.name, backend.tested[-1], tuple(settings))


def _first_rendered(recipe: Recipe) -> str | None:
    """The first stage whose backend is given keys."""
    for stage in stages_of(recipe):
        if backend_of(recipe, stage).rendered(recipe, _RUN) is not None:
            return stage
    return None
