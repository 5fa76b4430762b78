"""The key `data`: the data of all stages, and how a problem becomes a prompt."""

from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Tag, model_validator

from rlsp_cli.recipe.rows import PreferenceRows, Prompts, Rows, StepRows, Traces
from rlsp_cli.recipe.schedule import Scheduled, within
from rlsp_cli.recipe.section import NonNegativeFloat, Section


class TraceSource(Traces):
    """A source of traces, alone or as a part of a mixture."""

    weight: NonNegativeFloat | None = None
    """Its part of the mixture, relative to the others'; without weights, every row is used."""


class PromptSource(Prompts):
    """A source of problems, alone or as a part of a mixture."""

    start: str | None = None
    """Column of starts: the beginning of a response, from which the policy goes on (docs/ppo.md).

    A row without one is answered from nothing."""

    weight: Annotated[Scheduled, AfterValidator(within(0))] | None = None
    """Its part of the mixture, relative to the others'; without weights, every row is used.

    A schedule changes the parts over rollout steps."""


def _one_or_several(value: Any) -> str:
    return "several_sources" if isinstance(value, list | tuple) else "one_source"


class Data(Section):
    """The data of all stages, and how a problem becomes a prompt."""

    traces: (
        Annotated[
            Annotated[TraceSource, Tag("one_source")]
            | Annotated[tuple[TraceSource, ...], Tag("several_sources")],
            Discriminator(_one_or_several),
        ]
        | None
    ) = None
    """Traces for SFT, from one source or a mixture of several."""
    prompts: (
        Annotated[
            Annotated[PromptSource, Tag("one_source")]
            | Annotated[tuple[PromptSource, ...], Tag("several_sources")],
            Discriminator(_one_or_several),
        ]
        | None
    ) = None
    """Problems for PPO, from one source or a mixture of several."""
    steps: StepRows | None = None
    """Responses with labelled steps, for a process reward model (`sft.kind: prm`)."""
    pairs: PreferenceRows | None = None
    """Pairs of a better and a worse response, for `sft.kind: dpo`."""
    heldout: Prompts | None = None
    """Problems kept out of training; `eval` has them as the bench `heldout`."""

    # How a problem becomes a prompt.
    system: str | None = None
    """System message, for tokenizers with a chat template."""
    template: str = "{problem}"
    """Text of the user's turn, with `{problem}` in it. If unset, each bench uses its own prompt."""
    allow_overlap: bool = False
    """Train although traces or prompts hold copies of problems in `eval.benches`."""

    def ask(self, problem: str) -> str:
        """The user's turn that asks a problem."""
        # Not `format`: problems are full of LaTeX's braces.
        return self.template.replace("{problem}", problem)

    @property
    def trace_sources(self) -> tuple[TraceSource, ...]:
        """The sources of traces; none if there are no traces."""
        return self.traces if isinstance(self.traces, tuple) else tuple(filter(None, [self.traces]))

    @property
    def prompt_sources(self) -> tuple[PromptSource, ...]:
        """The sources of problems for PPO; none if there are no problems."""
        found = self.prompts
        return found if isinstance(found, tuple) else tuple(filter(None, [found]))

    @property
    def has_starts(self) -> bool:
        """Whether problems for PPO may come with the beginning of their response."""
        return any(source.start is not None for source in self.prompt_sources)

    def sources(self, role: str) -> dict[str, Rows]:
        """The sources of `traces`, `prompts`, `steps`, `pairs` or `heldout`, by their keys."""
        given: Rows | tuple[Rows, ...] | None = getattr(self, role)
        if isinstance(given, tuple):
            return {f"data.{role}.{number}": source for number, source in enumerate(given)}
        return {f"data.{role}": given} if given else {}

    @model_validator(mode="after")
    def _weights_make_a_mixture(self) -> "Data":
        for role in ("traces", "prompts"):
            weights = [getattr(source, "weight", None) for source in self.sources(role).values()]
            if None in weights and any(weight is not None for weight in weights):
                raise ValueError(f"data.{role}: give each source a weight, or none of them")
            for when in ("start", "end"):
                known = [getattr(weight, when, weight) for weight in weights]
                if weights and not any(weight is None or weight > 0 for weight in known):
                    raise ValueError(f"data.{role}: the weights are all 0; raise one of them")
        return self
