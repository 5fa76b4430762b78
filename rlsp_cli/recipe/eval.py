"""The key `eval`: evaluation on benches."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from rlsp_cli.recipe.plugin_use import ScorerUse
from rlsp_cli.recipe.rows import RowUse
from rlsp_cli.recipe.search import SearchUse
from rlsp_cli.recipe.section import NonNegativeInt, PositiveInt, Section
from rlsp_cli.recipe.strategy import Forcing, Split, StrategyName
from rlsp_cli.recipe.sweep import Sweep

Thinking = Literal["on", "off"]


class Eval(Section):
    """Evaluation on benches, of the model before training and after each stage."""

    # What is asked.
    benches: tuple[str, ...] = ("heldout",)
    """Names of `rlsp benches list`, `heldout` for `data.heldout`, or files, `./mine.yaml`."""
    data: str | None = None
    """The bench's file, or a folder of `<bench>.jsonl`; by default benches come from the hub."""
    protocol: str | None = None
    """Use another harness's protocol: a name of `rlsp benches protocols`, or a file."""
    limit: PositiveInt | None = None
    """Use only the first N problems of each bench; for a quick look."""

    # How it is decoded; a bench has defaults of its own.
    samples: NonNegativeInt | None = None
    """Sampled responses per problem, 0 for greedy only; by default the bench's, 1 for `heldout`."""
    k: tuple[PositiveInt, ...] = ()
    """The k of pass@k and maj@k, at most `samples`; by default powers of two and `samples`."""
    greedy: bool | None = None
    """Also decode one greedy response per problem; by default true, or as `protocol` does."""
    temperature: PositiveFloat | None = None
    """Sampling temperature; by default the bench's, 0.7 for `heldout`."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Nucleus sampling; by default the bench's, 1 for `heldout`."""
    max_new_tokens: PositiveInt | None = None
    """Longest response in tokens; by default the bench's, 8192 for `heldout`."""
    batch: PositiveInt = 64
    """Responses decoded at once; with `url`, concurrent requests."""

    # Where responses come from, if not from the embedded engine.
    url: str | None = None
    """OpenAI-compatible server, such as `http://host:8000/v1`; `model.path` is the name there."""
    responses: str | None = None
    """Score a JSON Lines file of `id` and `response`, or `gold` (the references); no decoding."""
    serve: bool = False
    """Decode with vLLM from OpenRLHF's environment, on all `cluster.gpus_per_node` GPUs."""

    # What several responses come to together.
    strategies: tuple[StrategyName, ...] = ()
    """Test-time strategies to compare on the sampled responses; see docs/strategies.md."""
    probes: tuple[RowUse, ...] = ()
    """Row functions whose problems are answered beside the plain ones, for the difference."""
    thinking: Thinking | None = None
    """Switch thinking `on` or `off` in chat templates that have a variable for it."""
    scorer: str | ScorerUse | None = None
    """Score by which best_of_n and weighted_vote choose.

    `logprob`, `confidence`, a name in the responses' `scores`, an exploration reward, or a plugin
    with its options: `{use: NAME, steps: {by: lines}}` is a step scorer."""
    checkpoints: dict[NonNegativeInt, str] = Field(default_factory=dict)
    """Models of one training to evaluate, by step; `rlsp eval RUN --steps` sets it."""
    against: str | None = None
    """Evaluated run whose single answers strategies are compared with, at equal tokens."""
    forcing: Forcing = Forcing()
    """How the strategy `budget_forcing` lengthens responses."""
    split: Split = Split()
    """Which answers the strategy `confidence_split` accepts."""
    search: SearchUse | None = None
    """How the strategy `search` searches, by default by beams; see docs/search.md."""
    sweep: Sweep = Sweep()
    """Values of `temperature`, `top_p` and `max_new_tokens`, of which all combinations are tried."""

    @model_validator(mode="after")
    def _some_response(self) -> "Eval":
        if self.serve and (self.responses is not None or self.url is not None):
            raise ValueError(f"nothing to serve: {'a server' if self.url else 'responses'} given")
        if self.probes and self.responses is not None:
            raise ValueError("probes ask other questions than the given responses answer")
        if self.samples == 0 and self.greedy is False:
            raise ValueError("nothing to decode: samples is 0 and greedy is false")
        if self.sweep != Sweep() and self.responses is not None:
            raise ValueError("sweep is for a model that answers, and responses are given")
        if self.thinking and (self.responses is not None or self.url is not None):
            source = "a server renders its own prompts" if self.url else "responses are given"
            raise ValueError(f"thinking is switched in the prompt, and {source}; leave it out")
        return self

    @model_validator(mode="after")
    def _every_key_reaches_a_strategy(self) -> "Eval":
        if self.against and not self.strategies:
            raise ValueError(
                "against is for strategies; add strategies: [self_consistency] or others"
            )

        # A key that reaches nothing is refused rather than dropped.
        if self.scorer and not {"best_of_n", "weighted_vote"} & set(self.strategies):
            raise ValueError(
                "scorer is for the strategies best_of_n and weighted_vote; name one of them"
            )
        if self.forcing != Forcing() and "budget_forcing" not in self.strategies:
            raise ValueError("forcing is for the strategy budget_forcing; name it in strategies")

        if self.search and "search" not in self.strategies:
            raise ValueError("search is for the strategy search; name it in strategies")

        for name in ("budget_forcing", "search"):
            if self.responses is not None and name in self.strategies:
                raise ValueError(f"{name} needs a model, and eval.responses has none")
        return self
