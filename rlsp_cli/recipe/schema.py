"""The recipe as frozen pydantic models. The text below each field is its line in docs/recipe.md.

Nothing here imports torch or reads files; `load.py` turns YAML into a `Recipe`.
The defaults of `ppo` are the paper's (arXiv 2502.06773, Appendix B.4).
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    PrivateAttr,
    Tag,
    field_validator,
    model_validator,
)

from rlsp_cli.recipe.axolotl import Axolotl
from rlsp_cli.recipe.lora import Lora
from rlsp_cli.recipe.named_model import NamedModel
from rlsp_cli.recipe.openrlhf import OpenRlhf
from rlsp_cli.recipe.origin import DEFAULT, Origin, nearest_origin
from rlsp_cli.recipe.rounds import Rounds
from rlsp_cli.recipe.schedule import Scheduled, within
from rlsp_cli.recipe.search import SearchUse
from rlsp_cli.recipe.section import (
    BelowOne,
    Fraction,
    LearningRate,
    NonNegativeFloat,
    NonNegativeInt,
    Plain,
    PositiveInt,
    Section,
)
from rlsp_cli.recipe.selector_use import SelectorUse
from rlsp_cli.recipe.steps import Steps
from rlsp_cli.recipe.variables import wrong_variables


class FromScratch(Section):
    """A new model with random weights and a word-level tokenizer made from the training text."""

    model_type: str = "llama"
    """Architecture, by its name in transformers."""
    hidden_size: PositiveInt = 96
    """Width of the residual stream."""
    intermediate_size: PositiveInt = 384
    """Width of the feed-forward layers."""
    num_layers: PositiveInt = 3
    """Number of transformer blocks."""
    num_heads: PositiveInt = 4
    """Number of attention heads."""
    max_length: PositiveInt = 256
    """Longest sequence in tokens, prompt and response together."""
    init_std: PositiveFloat = 0.06
    """Standard deviation of initial weights; tiny models learn faster above the usual 0.02."""


class Model(Section):
    """The language model to train or evaluate: either `path` or `from_scratch`."""

    path: str | None = None
    """A folder, a `.gguf` file, or a Hugging Face hub id as `org/name` or `org/name@revision`."""
    from_scratch: FromScratch | None = None
    """Make a new small model instead of loading one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the computation. `auto`: bfloat16 on a GPU, float32 on a CPU.

    Trained weights are float32 in any case."""
    attention: Literal[
        "auto",
        "eager",
        "sdpa",
        "flash_attention_2",
        "flash_attention_3",
        "flash_attention_4",
        "flex_attention",
    ] = "auto"
    """Attention implementation. `auto`: flash_attention_2 for `ppo.openrlhf.packing`, else sdpa."""
    chat_template: str = "auto"
    """`auto`: the tokenizer's own, if any; `none`: plain text; or a file, `./template.jinja`."""
    special_tokens: tuple[str, ...] = ()
    """Texts that are one token each, such as `<think>`; added to the tokenizer if missing."""

    @model_validator(mode="after")
    def _one_origin(self) -> "Model":
        if self.path is not None and self.from_scratch is not None:
            raise ValueError("give either model.path or model.from_scratch, not both")
        return self


class RowUse(Plain):
    """A row function, with its options beside `use`."""

    model_config = ConfigDict(extra="allow")

    use: str
    """Name of a row function, or `./file.py:function`."""

    @property
    def options(self) -> dict[str, Any]:
        """The function's options: every key that is not ours."""
        return dict(self.__pydantic_extra__ or {})


class Rows(Section):
    """Rows of a JSON Lines, JSON, CSV or Parquet file, of the hub, or of a procedural task."""

    source: str
    """A file, `hf:org/name[@revision]`, or `task:NAME` for a procedural task."""
    config: str | None = None
    """Configuration (subset) of the hub data set, if it has several."""
    split: str = "train"
    """Split of the hub data set or of the task."""
    rows: PositiveInt | None = None
    """Use only the first N rows; all by default, and 1000 of a procedural task."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the task, for `task:NAME`."""
    row: RowUse | None = None
    """Row function that gives each row other columns, or makes several rows of it."""

    @property
    def on_hub(self) -> bool:
        """Whether the rows are a data set on the hub."""
        return self.source.startswith("hf:")

    @property
    def is_task(self) -> bool:
        """Whether a procedural task makes the rows."""
        return self.source.startswith("task:")

    @property
    def is_file(self) -> bool:
        """Whether the rows are in a file, which may not exist."""
        return not (self.on_hub or self.is_task)


class Traces(Rows):
    """Traces of the thinking process, for SFT to imitate."""

    prompt: str = "problem"
    """Column of the prompt."""
    response: str = "solution"
    """Column of the response to imitate."""
    messages: str | None = None
    """Column of a conversation, instead of prompt and response; each assistant turn is imitated."""


class StepRows(Rows):
    """Responses whose steps are labelled right or wrong, for `sft.kind: prm`."""

    prompt: str = "prompt"
    """Column of the prompt: the text that the response followed, with its chat template."""
    completions: str = "completions"
    """Column of the steps, a list of texts."""
    labels: str = "labels"
    """Column of the labels, one a step: true, false, 0 to 1, or null for none."""
    separator: str = "\n"
    """Text after each step; the last of its tokens, or else of the step's, carries the label."""


NO_ANSWER = "none"
"""Instead of a column: the problems have no reference answers."""


class Prompts(Rows):
    """Problems with reference answers, for PPO and evaluation."""

    problem: str = "problem"
    """Column of the problem."""
    answer: str = "answer"
    """Column of the reference answer; `none` for problems without, if no reward needs one."""
    id: str = "id"
    """Column of the problem's id; rows without one are numbered."""

    @property
    def has_references(self) -> bool:
        """Whether the problems have reference answers."""
        return self.answer != NO_ANSWER


class TraceSource(Traces):
    """A source of traces, alone or as a part of a mixture."""

    weight: NonNegativeFloat | None = None
    """Its part of the mixture, relative to the others'; without weights, every row is used."""


class PromptSource(Prompts):
    """A source of problems, alone or as a part of a mixture."""

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
    heldout: Prompts | None = None
    """Problems kept out of training; `eval` has them as the bench `heldout`."""

    # How a problem becomes a prompt.
    system: str | None = None
    """System message, for tokenizers with a chat template."""
    template: str = "{problem}"
    """Text of the user's turn, with `{problem}` in it. If unset, each bench uses its own prompt."""
    allow_overlap: bool = False
    """Train although traces or prompts hold copies of problems in `eval.benches`."""

    @property
    def trace_sources(self) -> tuple[TraceSource, ...]:
        """The sources of traces; none if there are no traces."""
        return self.traces if isinstance(self.traces, tuple) else tuple(filter(None, [self.traces]))

    @property
    def prompt_sources(self) -> tuple[PromptSource, ...]:
        """The sources of problems for PPO; none if there are no problems."""
        found = self.prompts
        return found if isinstance(found, tuple) else tuple(filter(None, [found]))

    def sources(self, role: str) -> dict[str, Rows]:
        """The sources of `traces`, `prompts`, `steps` or `heldout`, by their keys in a recipe."""
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


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


class Reward(Section):
    """How a response is scored: correctness and exploration apart, then mixed by alpha."""

    # The mixture.
    alpha: Annotated[Scheduled, AfterValidator(within(0, 1))] = 0.8
    """Weight of correctness, against exploration; a number, or a schedule over rollout steps."""
    combine: Literal[
        "rlsp",
        "released_code",
        "gated_correct",
        "gated_wrong",
        "rm_shaping",
        "ensemble",
        "process_verified",
        "process_strict",
    ] = "rlsp"
    """`rlsp`: alpha*c + (1-alpha)*e (the paper's Eq. 1); docs/rewards.md has the others."""
    correctness: PluginUse = PluginUse(use="math_verify")
    """The outcome verifier, for training and the bench `heldout`; other benches have their own."""
    unanswered: float | None = None
    """Correctness, in the mixture, of a wrong response without an answer; by default 0, with
    `released_code` -0.5."""
    exploration: Annotated[tuple[ExplorationUse, ...], BeforeValidator(_as_list)] = ()
    """One exploration reward or a list; their weighted sum is the exploration signal."""

    # Limits of scores and of their processes.
    clip: PositiveFloat = 10.0
    """The mixed reward is clipped to [-clip, clip]."""
    timeout_s: PositiveFloat = 5.0
    """Seconds for one call of a plugin, after which its process is killed."""
    workers: PositiveInt = 2
    """Processes that score samples."""
    memory_gb: PositiveFloat = 2.0
    """Most address space of one scoring process, in gigabytes."""
    failure_limit: Fraction = 0.5
    """Stop the run (exit code 7) if a larger share of a step's responses cannot be scored."""

    # Files.
    cache: str | None = None
    """SQLite file of verdicts, so that no response is judged twice; for slow verifiers."""
    lexicon: str | None = None
    """YAML file or folder with the words of behaviours to count, instead of the shipped ones."""

    @property
    def is_linear(self) -> bool:
        """Whether the mixture is alpha times correctness plus 1 - alpha times exploration."""
        return self.combine in ("rlsp", "process_verified")

    @property
    def is_dense(self) -> bool:
        """Whether some steps are paid where they end."""
        return any(use.steps and use.steps.dense for use in self.exploration)

    @model_validator(mode="after")
    def _mixtures_have_what_they_mix(self) -> "Reward":
        scores_steps = any(use.steps for use in self.exploration)
        if self.combine.startswith("process_") and not scores_steps:
            raise ValueError(
                f"combine: {self.combine} needs a step scorer: an exploration reward with steps"
            )
        if self.is_dense and not self.is_linear:
            raise ValueError(
                f"steps.dense pays each step by itself, which combine: {self.combine} cannot; "
                "set combine: rlsp"
            )
        return self

    @model_validator(mode="after")
    def _components_have_names_of_their_own(self) -> "Reward":
        # Of file.py:function only the function is in the names of metrics.
        names = [use.use.rpartition(":")[2] for use in (self.correctness, *self.exploration)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"{twice!r} is named twice, and metrics go by name; use a copy of another name"
            )
        return self


class Optimisation(Section):
    """What SFT and PPO optimisers share."""

    lora: Lora | None = None
    """Train adapters instead of all weights."""
    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them: less memory, more time."""

    betas: tuple[BelowOne, BelowOne] = (0.9, 0.95)
    """AdamW's decay rates of the two moments."""
    weight_decay: NonNegativeFloat = 0.0
    """AdamW's decoupled weight decay."""
    grad_clip: PositiveFloat = 1.0
    """Largest norm of the gradient in one step."""

    # The learning rate over the steps.
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup_ratio: Fraction = 0.03
    """Share of the steps during which the learning rate rises from 0."""
    min_lr_ratio: Fraction = 0.1
    """Learning rate at the end, as a share of its peak."""

    # Memory and disk.
    micro_batch: PositiveInt = 8
    """Sequences in one forward pass; lower it if memory runs out. Gradients are accumulated."""
    save_every: PositiveInt = 20
    """Optimiser steps between checkpoints, from which `--resume` continues."""


class Sft(Optimisation):
    """Supervised fine-tuning on traces, with the loss on responses only, or on labelled steps."""

    kind: Literal["sft", "prm"] = "sft"
    """`prm` trains a process reward model on `data.steps` (docs/process_rewards.md)."""
    backend: Literal["local", "axolotl"] = "local"
    """What runs this stage."""
    axolotl: Axolotl = Axolotl()
    """Settings of Axolotl; without effect on another backend."""

    # How much.
    epochs: PositiveFloat = 1.0
    """Passes over the traces."""
    max_steps: PositiveInt | None = None
    """Most optimiser steps, even within an epoch; by default `epochs` alone decides."""
    batch: PositiveInt = 64
    """Examples in one optimiser step; with `axolotl.packing`, packed sequences."""

    # What a step takes.
    learning_rate: LearningRate = 2.0e-5
    """Peak learning rate."""
    max_length: PositiveInt = 8192
    """Longest example in tokens; longer ones are left out, and counted."""
    mask_input: BelowOne = 0.0
    """Largest share of a response's input tokens to mask (Masked Thought); labels stay."""

    # Validation.
    val_rows: NonNegativeInt = 0
    """Examples kept out of training, to measure the validation loss."""
    val_every: PositiveInt = 100
    """Optimiser steps between measurements of the validation loss."""

    @model_validator(mode="after")
    def _masks_what_is_imitated(self) -> "Sft":
        if self.kind == "prm" and self.mask_input:
            raise ValueError("mask_input is for traces; leave it out with kind: prm")
        return self


def _whole_distribution(top_p: float) -> float:
    # A token outside of the new policy's nucleus would have no ratio to the old policy.
    if top_p != 1:
        raise ValueError(
            "tokens drawn from a nucleus have other probabilities than PPO's ratios, KL and "
            "entropy assume; leave it out, and lower ppo.temperature instead"
        )
    return top_p


class Ppo(Optimisation):
    """PPO with an outcome verifier and exploration rewards."""

    backend: Literal["local", "openrlhf"] = "local"
    """What runs this stage."""
    openrlhf: OpenRlhf = OpenRlhf()
    """Settings of OpenRLHF; without effect on another backend."""

    # How much: rollouts of prompts, and optimiser steps on their responses.
    steps: PositiveInt | None = None
    """Rollout steps; by default as many as `episodes` takes."""
    episodes: PositiveFloat = 1.0
    """Passes over the prompts, if `steps` is not given."""
    rollout_batch: PositiveInt = 512
    """Prompts in one rollout."""
    samples_per_prompt: PositiveInt = 1
    """Responses sampled for each prompt of a rollout."""
    train_batch: PositiveInt = 128
    """Responses in one optimiser step."""
    epochs: PositiveInt = 1
    """Passes over each rollout."""

    # Sampling.
    temperature: PositiveFloat = 0.7
    """Sampling temperature of rollouts."""
    top_p: Annotated[float, AfterValidator(_whole_distribution)] = 1.0
    """Always 1: PPO compares probabilities of the whole distribution."""
    max_prompt_tokens: PositiveInt = 2048
    """Longest prompt in tokens; problems with longer ones are left out, and counted."""
    max_new_tokens: PositiveInt = 4096
    """Longest response in tokens."""
    sampler: Literal["embedded", "vllm"] = "embedded"
    """What samples on the local backend: the engine itself, or vLLM on the same GPU or CPU."""
    decode_batch: PositiveInt = 128
    """Responses that are decoded at once; a place that becomes free is given to the next."""

    # What is learned from.
    select: SelectorUse | None = None
    """Selector of responses by their scores; prompts that it drops are replaced (docs/ppo.md)."""

    # Learning rates; the other keys of the optimisers are those of SFT.
    learning_rate: LearningRate = 2.0e-7
    """Peak learning rate of the policy."""
    critic_learning_rate: LearningRate = 2.0e-6
    """Peak learning rate of the critic."""

    # The critic.
    critic: Literal["own", "value_head"] = "own"
    """`own`: a second model, from the policy's weights; `value_head`: a head on the policy."""
    value_coef: PositiveFloat = 0.1
    """Weight of the value loss against the policy loss, for `critic: value_head`."""
    critic_warmup_steps: NonNegativeInt = 4
    """Rollout steps at the start that train only the critic."""

    # From rewards to advantages.
    estimator: Literal[
        "gae", "reinforce", "reinforce_baseline", "rloo", "group_norm", "dr_grpo"
    ] = "gae"
    """Advantage estimator. `gae` trains a critic; all but `gae` and `reinforce` need groups."""
    advantages: Literal["mixed", "separate"] = "mixed"
    """`separate`: a baseline each for correctness and exploration, before alpha mixes them."""
    gamma: Fraction = 1.0
    """Discount per token."""
    gae_lambda: Fraction = 0.95
    """GAE's lambda."""
    whiten_advantages: bool = True
    """Normalise a rollout's advantages to mean 0 and variance 1.

    Has an effect on `gae`, `reinforce` and `reinforce_baseline`."""

    # Limits of one update.
    clip: PositiveFloat = 0.2
    """The probability ratio is clipped to [1 - clip, 1 + clip], or to 1 + clip_high above."""
    clip_high: PositiveFloat | None = None
    """Upper range of the probability ratio ("clip-higher", arXiv 2503.14476); `clip` by default."""
    entropy_coef: NonNegativeFloat = 0.0
    """Weight of the entropy of each token's choice, in nats, which is added to the objective."""
    value_clip: PositiveFloat = 0.2
    """Largest change of a value in one rollout."""

    # The penalty for leaving the reference.
    kl_coef: NonNegativeFloat = 0.05
    """Weight of the KL penalty in the per-token reward; with `kl_target`, its first value."""
    kl_target: PositiveFloat | None = None
    """KL per token, in nats, at which an adaptive coefficient aims; by default it is fixed."""
    kl_horizon: PositiveInt = 10000
    """Responses over which the adaptive coefficient reacts."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """Estimator of the per-token KL (Schulman, 2020)."""

    # What is measured and kept.
    eval_every: PositiveInt | None = None
    """Rollout steps between evaluations on `data.heldout` in training; by default none."""
    save_every: PositiveInt = 20
    """Rollout steps between checkpoints, from which `--resume` continues."""
    export_every: PositiveInt | None = None
    """Rollout steps between models kept for `rlsp eval RUN --steps`; by default only the last."""

    @property
    def responses(self) -> int:
        """Responses in one rollout."""
        return self.rollout_batch * self.samples_per_prompt

    @property
    def minibatches(self) -> int:
        """Parts of a rollout, one for each optimiser step of an epoch."""
        return max(1, self.responses // self.train_batch)

    @property
    def updates(self) -> int:
        """Optimiser steps on one rollout."""
        return self.epochs * self.minibatches

    @property
    def warmup_steps(self) -> int:
        """Rollout steps in which only the critic learns; none when there is no critic."""
        return self.critic_warmup_steps if self.estimator == "gae" else 0

    @property
    def uses_kl(self) -> bool:
        """Whether the KL to the reference has a weight, or could get one."""
        return self.kl_coef > 0 or self.kl_target is not None

    @property
    def has_own_critic(self) -> bool:
        """Whether there is a critic with layers of its own."""
        return self.estimator == "gae" and self.critic == "own"

    def num_steps(self, rows: int) -> int:
        """Rollout steps of the whole stage over so many problems."""
        return self.steps or max(1, int(self.episodes * rows / self.rollout_batch))

    @property
    def needs_groups(self) -> bool:
        """Whether the estimator compares the responses to one prompt."""
        return self.estimator not in ("gae", "reinforce")

    @property
    def divides_mixture(self) -> bool:
        """Whether the mixed rewards of a group are divided by their standard deviation."""
        return self.estimator == "group_norm" and self.advantages == "mixed"

    @model_validator(mode="after")
    def _group_estimators_need_groups(self) -> "Ppo":
        if self.needs_groups and self.samples_per_prompt < 2:
            raise ValueError(f"estimator {self.estimator!r} needs samples_per_prompt >= 2")
        if not self.needs_groups and self.advantages == "separate":
            raise ValueError(
                "advantages: separate needs an estimator with groups, such as rloo or group_norm"
            )
        return self


class Forcing(Section):
    """Budget forcing (arXiv 2501.19393): a response that ends early continues after " Wait"."""

    waits: PositiveInt = 2
    """Most continuations of one response."""
    min_tokens: PositiveInt | None = None
    """Continue only responses with fewer tokens; by default all."""


class Split(Section):
    """The strategy `confidence_split`: accept what a few responses agree on, ask the rest again."""

    votes: PositiveInt = 4
    """Responses to each problem in the first round."""
    accept_above: Fraction = 0.5
    """Accept an answer if a larger share of the first round gives it; ask for all others again."""


StrategyName = Literal[
    "self_consistency",
    "best_of_n",
    "weighted_vote",
    "rpc",
    "confidence_split",
    "budget_forcing",
    "search",
]


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

    @model_validator(mode="after")
    def _some_response(self) -> "Eval":
        if self.serve and (self.responses is not None or self.url is not None):
            raise ValueError(f"nothing to serve: {'a server' if self.url else 'responses'} given")
        if self.probes and self.responses is not None:
            raise ValueError("probes ask other questions than the given responses answer")
        if self.samples == 0 and self.greedy is False:
            raise ValueError("nothing to decode: samples is 0 and greedy is false")
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


def _as_texts(value: Any) -> Any:
    # YAML reads `NCCL_DEBUG: 1` as a number, and the environment wants text.
    if not isinstance(value, dict):
        return value
    return {name: _as_text(one) for name, one in value.items()}


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Line = Annotated[str, Field(pattern=r"^[^\s](.*[^\s])?$")]
SbatchOption = Annotated[str, Field(pattern=r"^-(.*[^\s])?$")]


class Slurm(Section):
    """What a Slurm job asks for."""

    partition: Line | None = None
    """Partition; by default Slurm's."""
    account: Line | None = None
    """Account to charge; by default Slurm's."""
    time: Line | None = None
    """Time limit, such as `24:00:00`; by default Slurm's."""
    options: tuple[SbatchOption, ...] = ()
    """Further options of sbatch, such as `--constraint=h100`."""
    setup: str = ""
    """Shell lines to run first on every node, such as `module load cuda`."""
    cpus: PositiveInt | None = None
    """CPUs of each node; by default four per GPU, or Slurm's default without GPUs."""


class Cluster(Section):
    """Where the stages run."""

    nodes: PositiveInt = 1
    """Machines."""
    gpus_per_node: NonNegativeInt = 0
    """GPUs of each machine; 0 to run on the CPU."""
    launcher: Literal["local", "torchrun", "accelerate", "slurm", "ray"] = "local"
    """What starts the processes; `local` uses torchrun for several on one machine."""

    # How machines find each other.
    host: str | None = None
    """Address of the first machine, for `torchrun` on several machines."""
    port: Annotated[int, Field(ge=1, le=65535)] = 29400
    """Port of the first machine, where the others meet it."""
    join_timeout_s: PositiveInt = 600
    """Seconds that machines wait for each other at the start."""
    ray_address: str | None = None
    """Dashboard of a running Ray cluster, `http://HOST:8265`; by default $RAY_ADDRESS."""

    # What their processes get.
    env: Annotated[dict[str, str], BeforeValidator(_as_texts)] = Field(default_factory=dict)
    """Environment variables of the job on every machine, such as `HF_HOME`; no secrets."""
    slurm: Slurm = Slurm()
    """What the job asks Slurm for, if the launcher is `slurm`."""

    @field_validator("env")
    @classmethod
    def _right_variables(cls, env: dict[str, str]) -> dict[str, str]:
        if found := "; ".join(wrong_variables(env)):
            raise ValueError(f"cluster.env: {found}")
        return env

    @model_validator(mode="after")
    def _no_password(self) -> "Cluster":
        # Not a check of the field itself, whose error would show the value.
        if set("@?#") & set(self.ray_address or ""):
            raise ValueError(
                "cluster.ray_address may hold a secret, and recipes are kept in run folders; "
                "set RAY_ADDRESS"
            )
        return self


class Tracking(Section):
    """Experiment trackers; their keys and logins come from the environment."""

    to: tuple[Literal["wandb", "mlflow", "trackio", "tensorboard"], ...] = ()
    """Trackers that training sends metrics to, besides metrics.jsonl."""
    project: str | None = None
    """Project there; by default the recipe's name."""


class Container(Section):
    """A container image that holds a backend."""

    image: str
    """Name of the image."""
    command: str = "docker run --rm --gpus all --ipc=host --network=host -v {run}:{run} {image}"
    """Prefix of the command, with `{run}` for the run folder and `{image}` for the image."""


class BackendEnvironment(Section):
    """A backend's environment that `rlsp backends install` did not make."""

    python: str | None = None
    """Interpreter that has the backend; with `container`, its path inside."""
    container: Container | None = None
    """Container image to run the backend in."""
    allow_untested: bool = False
    """Accept a version of the backend that rlsp is not tested with."""


class Recipe(Section):
    """One training run: data, rewards and stages, which run in the order sft, ppo, eval."""

    schema_version: Literal[1] = 1
    """Version of this schema."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Short name; the run folder is runs/<name>/<id>."""
    description: str = ""
    """One line about the recipe."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of initial weights, data order and sampling."""
    plugins: tuple[str, ...] = ()
    """Python files with plugins, whose names can then be used."""

    # What every stage uses.
    model: Model = Model()
    """The language model; every stage that trains or decodes needs one."""
    models: dict[str, NamedModel] = Field(default_factory=dict)
    """Other models that plugins ask, by the names that their options use: `prm`, `judge`."""
    data: Data = Data()
    """Traces, prompts and held-out problems."""
    reward: Reward = Reward()
    """Verifier, exploration rewards and their mixture."""

    # The stages.
    sft: Sft | None = None
    """Supervised fine-tuning; only if given."""
    ppo: Ppo | None = None
    """Reinforcement learning; only if given."""
    eval: Eval | None = None
    """Evaluation; only if given."""
    rounds: Rounds | None = None
    """Repeat the stages on the model's own right solutions to `data.prompts`; only if given."""

    # Where they run.
    cluster: Cluster = Cluster()
    """Machines and launcher."""
    tracking: Tracking = Tracking()
    """Experiment trackers."""
    backends: dict[Literal["axolotl", "openrlhf"], BackendEnvironment] = Field(default_factory=dict)
    """Environments of backends, by name; also in `rlsp.toml`."""

    @model_validator(mode="after")
    def _stages_have_what_they_need(self) -> "Recipe":
        # Responses from a file are scored without any model.
        decodes = self.eval is not None and self.eval.responses is None
        if (self.sft or self.ppo or decodes) and not (self.model.path or self.model.from_scratch):
            raise ValueError("no model: give model.path or model.from_scratch")
        if self.ppo and self.ppo.advantages == "separate" and not self.reward.is_linear:
            raise ValueError(
                "ppo.advantages: separate mixes by alpha; it needs reward.combine: rlsp"
            )
        if self.ppo and self.reward.is_dense and self.ppo.divides_mixture:
            # Equal rewards in a group would divide the values of its steps by 0.
            raise ValueError(
                "group_norm divides by the spread of whole rewards, and steps.dense pays parts of"
                " them; set ppo.advantages: separate"
            )

        imitates = self.sft is not None and self.sft.kind == "sft"
        if imitates and not self.data.traces and not self.rounds:
            raise ValueError("sft needs data.traces")
        if self.trains_prm and not self.data.steps:
            raise ValueError("sft.kind: prm needs data.steps")
        if self.trains_prm and (self.ppo or self.eval):
            raise ValueError(
                "sft.kind: prm trains a scorer, which answers nothing: give ppo and eval a recipe "
                "of their own, and name the trained scorer in its models"
            )
        if self.ppo and not self.data.prompts:
            raise ValueError("ppo needs data.prompts")
        if self.ppo and self.ppo.eval_every and not self.data.heldout:
            raise ValueError("ppo.eval_every needs problems to evaluate on; give data.heldout")
        if self.eval and "heldout" in self.eval.benches and not self.data.heldout:
            raise ValueError("the bench 'heldout' needs data.heldout")
        return self

    @model_validator(mode="after")
    def _rounds_have_what_they_need(self) -> "Recipe":
        if self.rounds is None:
            return self

        lacks = {
            "sft": self.sft is None,
            "data.prompts": not self.data.prompts,
            "data.heldout": self.data.heldout is None,
            "eval": self.eval is None,
            "data.traces or model.path": not (self.data.traces or self.model.path),
        }
        if missing := [key for key, is_missing in lacks.items() if is_missing]:
            raise ValueError(f"rounds need {', '.join(missing)}; add what is missing")
        if self.eval and (self.eval.responses or "heldout" not in self.eval.benches):
            raise ValueError(
                "rounds are compared on held-out problems; add heldout to eval.benches"
            )
        if not all(source.has_references for source in self.data.prompt_sources):
            raise ValueError("rounds keep right solutions; name data.prompts' column of answers")
        if any(source.weight is not None for source in self.data.trace_sources):
            raise ValueError("rounds add rows to data.traces, which has no weights then")
        return self

    @property
    def trains_prm(self) -> bool:
        """Whether the recipe trains a process reward model, and no policy."""
        return self.sft is not None and self.sft.kind == "prm"

    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    def with_origins(self, origins: Mapping[str, Origin]) -> "Recipe":
        """The same recipe, knowing where its values come from."""
        # A private attribute, so that dumps and the digest do not have it.
        self._origins = dict(origins)
        return self

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each written value comes from, by dotted path."""
        return self._origins

    def origin(self, path: str) -> Origin:
        """Origin of the value at a dotted path; of a section without one, its first key's."""
        inside = (origin for key, origin in self._origins.items() if key.startswith(f"{path}."))
        return self._origins.get(path) or next(inside, DEFAULT)

    def place(self, path: str) -> Origin | None:
        """Where a dotted path, or the nearest section around it, is written; None if nowhere."""
        return nearest_origin(path, self._origins)

    def is_given(self, section: str) -> bool:
        """Whether this section, or a part of it, is written in a file or override."""
        return any(f"{path}.".startswith(f"{section}.") for path in self._origins)

    @property
    def digest(self) -> str:
        """SHA-256 of all keys that decide the results: not of names, environments and trackers."""
        data = self.model_dump(mode="json", exclude={"name", "description", "backends", "tracking"})
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
