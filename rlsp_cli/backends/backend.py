"""What rlsp asks of a backend: one class in its folder, one line in the table of `backends`."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.job import Job
from rlsp_cli.backends.probe import Probe
from rlsp_cli.backends.settings import Setting
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs.paths import RunPaths, StagePaths


class Backend(Protocol):
    """Runs stages of a recipe, in an environment that need not be rlsp's own.

    All but `probe`, and `check` and `missing_packages` with an environment, are functions of their
    arguments: they write nothing and start nothing.
    """

    name: ClassVar[str]
    """As in `ppo.backend`, and that of the section with its own keys, such as `ppo.openrlhf`."""
    stages: ClassVar[tuple[str, ...]]
    """What it can run of `sft`, `ppo` and `eval`."""
    tested: ClassVar[tuple[str, ...]]
    """Versions that rlsp supports, newest last; others need `allow_untested`."""

    @abstractmethod
    def check(
        self, recipe: Recipe, stage: str, environment: Environment | None = None
    ) -> Iterable[Issue]:
        """What it cannot do of a valid recipe; with an `environment`, what that version cannot."""

    @abstractmethod
    def missing_packages(
        self, recipe: Recipe, stage: str, environment: Environment
    ) -> Sequence[Issue]:
        """Packages that the stage's options need and the environment does not have."""

    @abstractmethod
    def compile_job(
        self,
        recipe: Recipe,
        stage: str,
        paths: RunPaths,
        environment: Environment,
        resume: Path | None = None,
    ) -> Job:
        """The job of a stage, for a run that will lie in `paths`; `resume` is a checkpoint."""

    @abstractmethod
    def newest_checkpoint(self, paths: StagePaths) -> Path | None:
        """The newest whole checkpoint of a stage; None where it has to start anew."""

    @abstractmethod
    def probe(self, environment: Environment) -> Probe:
        """What the environment has; NotReadyError when it cannot be asked."""

    def finish_install(self, profile: str, packages: Path) -> None:
        """Add what `rlsp backends install` must put among the packages; nothing, as a rule."""
        return

    @abstractmethod
    def rendered(self, recipe: Recipe, paths: RunPaths) -> Sequence[Setting] | None:
        """The keys that its program is given; None where it reads the recipe itself."""
