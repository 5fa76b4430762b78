"""A compiled stage as text: the backend's keys, and where each is from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.backends import BACKENDS, backend_of, stages_of
from rlsp_cli.backends.setting import Setting, explain, settings_text
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
        """The configuration file; with a recipe, where each key is from stands behind it."""
        return f"# {self.backend} {self.version}\n" + settings_text(self.settings, origins)

    def to_json(self, recipe: Recipe) -> dict[str, Any]:
        """The same as data."""
        rows = [
            {"key": s.key, "value": s.value, "from": list(s.sources), "origin": explain(s, recipe)}
            for s in self.settings
        ]
        return {"backend": self.backend, "version": self.version, "settings": rows}


def render_stage(recipe: Recipe, stage: str | None) -> Page:
    """The settings of a stage, of the first that has any when none is named.

    UsageError for a stage that is not there, or that has no settings.
    """
    at_scale = (stage for stage in stages_of(recipe) if hasattr(BACKENDS[backend_of(recipe, stage)], "rendered"))
    stage = stage or next(at_scale, next(iter(stages_of(recipe)), ""))
    if stage not in stages_of(recipe):
        raise UsageError(f"stage {stage!r}: this recipe has {', '.join(stages_of(recipe)) or 'no stage'}")
    name = backend_of(recipe, stage)
    module = BACKENDS[name]
    if not hasattr(module, "rendered"):
        raise UsageError(
            f"{stage} runs on the {name} backend, which reads the recipe itself; see `rlsp check --resolved`"
        )
    return Page(name, module.TESTED[-1], tuple(module.rendered(recipe, _RUN)))
