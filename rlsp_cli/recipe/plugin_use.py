"""A plugin in a recipe: its name, its options, and what to do when it gives no value."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, PositiveFloat, Tag

from rlsp_cli.recipe.section import NonNegativeFloat, Plain, Section
from rlsp_cli.recipe.steps import Steps


class Penalise(Section):
    """The value of a component that gave none."""

    penalise: float
    """The component's value in the mixture; its outcome is logged in any case."""


# Pydantic tries every branch of a plain union, and would report the errors of all of them.
OnFailure = Annotated[
    Annotated[Literal["skip", "stop"], Tag("policy_word")]
    | Annotated[Penalise, Tag("policy_penalty")],
    Discriminator(
        lambda value: "policy_penalty" if isinstance(value, dict | Penalise) else "policy_word"
    ),
]


class PluginUse(Plain):
    """A plugin, with its options beside `use`."""

    model_config = ConfigDict(extra="allow")

    use: str
    """Name of a built-in or installed plugin, or `./file.py:function`."""

    # What to do without a value.
    on_error: OnFailure = "skip"
    """If it raises: `skip` the response in training, `{penalise: X}`, or `stop` the run."""
    on_timeout: OnFailure = "skip"
    """If it exceeds its deadline: `skip`, `{penalise: X}` or `stop`."""
    on_abstain: OnFailure = "skip"
    """If it abstains: `skip`, `{penalise: X}` or `stop`."""
    timeout_s: PositiveFloat | None = None
    """Its deadline in seconds for one call; `reward.timeout_s` by default."""

    def policy(self, outcome: str) -> str | Penalise:
        """What to do with a component that ended as `error`, `timeout` or `abstain`."""
        found: str | Penalise = getattr(self, f"on_{outcome}")
        return found

    @property
    def options(self) -> dict[str, Any]:
        """The plugin's own options: every key that is not the recipe's."""
        return dict(self.__pydantic_extra__ or {})


class ExplorationUse(PluginUse):
    """An exploration reward or, with `steps`, a step scorer, and its weight among the others."""

    weight: NonNegativeFloat = 1.0
    """Weight of this reward in the exploration signal; weights are not normalised."""
    steps: Steps | None = None
    """Of a step scorer: how a response is split, and what becomes of the scores."""

    @property
    def kind(self) -> Literal["exploration_reward", "step_scorer"]:
        """The kind of plugin that `use` names."""
        return "step_scorer" if self.steps else "exploration_reward"


class ScorerUse(Plain):
    """An exploration reward or, with `steps`, a step scorer by which strategies choose."""

    model_config = ConfigDict(extra="allow")

    use: str
    """Name of a built-in or installed plugin, or `./file.py:function`."""
    timeout_s: PositiveFloat | None = None
    """Its deadline in seconds for one call; `reward.timeout_s` by default."""
    steps: Steps | None = None
    """Of a step scorer: how a response is split, and what becomes of the scores."""

    @property
    def kind(self) -> Literal["exploration_reward", "step_scorer"]:
        """The kind of plugin that `use` names."""
        return "step_scorer" if self.steps else "exploration_reward"

    @property
    def options(self) -> dict[str, Any]:
        """The plugin's own options: every key that is not the recipe's."""
        return dict(self.__pydantic_extra__ or {})
