"""The recipe: what a person may write, as frozen pydantic models with one sentence per field.

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
from rlsp_cli.recipe.openrlhf import OpenRlhf
from rlsp_cli.recipe.origin import DEFAULT, Origin, nearest_origin
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
from rlsp_cli.recipe.variables import wrong_variables


class FromScratch(Section):
    """A new model with random weights and a word-level tokenizer made from the training text."""

    model_type: str = "llama"
    """Architecture, by its transformers name."""
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
    """Standard deviation of the initial weights; tiny models learn faster with more than the usual 0.02."""


class Model(Section):
    """The language model to train or evaluate: either `path` or `from_scratch`."""

    path: str | None = None
    """A folder, or a Hugging Face hub id as `org/name` or `org/name@revision`."""
    from_scratch: FromScratch | None = None
    """Make a new small model instead of loading one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the computation, `auto`: bfloat16 on a GPU, float32 on a CPU; trained weights stay float32."""
    attention: Literal[
        "auto",
        "eager",
        "sdpa",
        "flash_attention_2",
        "flash_attention_3",
        "flash_attention_4",
        "flex_attention",
    ] = "auto"
    """Attention implementation; `auto` is flash_attention_2 where `openrlhf` packs responses, else sdpa."""
    chat_template: str = "auto"
    """`auto`: the tokenizer's own, if it has one; `none`: plain text; or a Jinja file, `./template.jinja`."""
    special_tokens: tuple[str, ...] = ()
    """Tokens that the tokenizer shall know as one piece, such as `<think>`; added where they are missing."""

    @model_validator(mode="after")
    def _one_origin(self) -> "Model":
        if self.path is not None and self.from_scratch is not None:
            raise ValueError("give either model.path or model.from_scratch, not both")
        return self


class Rows(Section):
    """Where rows come from: a JSON Lines, JSON, CSV or Parquet file, `hf:org/name`, or `task:NAME`."""

    source: str
    """`hf:org/name[@revision]`, a file path, or `task:NAME` for a procedural task."""
    config: str | None = None
    """Configuration (subset) of the hub data set, where it has several."""
    split: str = "train"
    """Split of the hub data set or of the task."""
    rows: PositiveInt | None = None
    """Use only the first so many rows; a procedural task makes so many."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the task, when the source is `task:NAME`."""

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
    """Demonstrations of the thinking process, for SFT."""

    prompt: str = "problem"
    """Column that holds the prompt."""
    response: str = "solution"
    """Column that holds the response to imitate."""
    messages: str | None = None
    """Column that holds a conversation, instead of prompt and response; every assistant turn is imitated."""


class Prompts(Rows):
    """Problems with reference answers, for PPO and evaluation."""

    problem: str = "problem"
    """Column that holds the problem."""
    answer: str = "answer"
    """Column that holds the reference answer."""
    id: str = "id"
    """Column that names a problem; the row number is used where it is missing."""


class Data(Section):
    """The data of all stages, and how a problem becomes a prompt."""

    traces: Traces | None = None
    """Demonstrations for SFT."""
    prompts: Prompts | None = None
    """Problems for PPO."""
    heldout: Prompts | None = None
    """Problems kept out of training; the bench `heldout` of `eval`."""
    system: str | None = None
    """System message, for models whose tokenizer has a chat template."""
    template: str = "{problem}"
    """Text of the user's turn; `{problem}` stands for the problem. Benches are put in their own words if not given."""
    allow_overlap: bool = False
    """Train even when traces or prompts hold problems of the benches of `eval`."""


class Penalise(Section):
    """What a component that gave no value counts as."""

    penalise: float
    """The component's value in the mixture; its outcome is logged all the same."""


OnFailure = Annotated[
    Annotated[Literal["skip", "stop"], Tag("policy_word")]
    | Annotated[Penalise, Tag("policy_penalty")],
    Discriminator(
        lambda value: "policy_penalty" if isinstance(value, dict | Penalise) else "policy_word"
    ),
]


class PluginUse(Plain):
    """A plugin by name, with its options beside `use`."""

    model_config = ConfigDict(extra="allow")

    use: str
    """Name of a built-in or installed plugin, or `./file.py:function`."""
    on_error: OnFailure = "skip"
    """When the plugin breaks: `skip` (the response teaches nothing), `{penalise: X}`, or `stop` the run."""
    on_timeout: OnFailure = "skip"
    """When it outlives `reward.timeout_s`: `skip`, `{penalise: X}` or `stop`."""
    on_abstain: OnFailure = "skip"
    """When it has no opinion: `skip`, `{penalise: X}` or `stop`."""
    timeout_s: PositiveFloat | None = None
    """Its own deadline in seconds for one call; `reward.timeout_s` when not given."""

    def policy(self, outcome: str) -> str | Penalise:
        """What to do with a component that ended as `error`, `timeout` or `abstain`."""
        found: str | Penalise = getattr(self, f"on_{outcome}")
        return found

    @property
    def options(self) -> dict[str, Any]:
        """The plugin's own options: every key that is not ours."""
        return dict(self.__pydantic_extra__ or {})


class ExplorationUse(PluginUse):
    """An exploration reward and its weight among the others."""

    weight: NonNegativeFloat = 1.0
    """Share of this reward in the exploration signal; the weights are used as written."""


class Schedule(Section):
    """A value that changes over the rollout steps of PPO."""

    start: Fraction
    """Value at the first step."""
    end: Fraction
    """Value at the last step."""
    shape: Literal["linear", "cosine"] = "linear"
    """Path between the two."""
    steps: PositiveInt | None = None
    """Rollout steps until `end` is reached; all of them when not given."""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


class Reward(Section):
    """How a response is scored: correctness and exploration apart, then mixed by alpha."""

    alpha: Annotated[
        Annotated[Fraction, Tag("number")] | Annotated[Schedule, Tag("schedule")],
        Discriminator(lambda value: "schedule" if isinstance(value, dict | Schedule) else "number"),
    ] = 0.8
    """Weight of correctness; the rest is exploration. A number or a schedule over the rollout steps."""
    combine: Literal[
        "rlsp", "released_code", "gated_correct", "gated_wrong", "rm_shaping", "ensemble"
    ] = "rlsp"
    """`rlsp`: alpha*c + (1-alpha)*e (the paper's Eq. 1); the other modes are in docs/rewards.md."""
    correctness: PluginUse = PluginUse(use="math_verify")
    """The outcome verifier, in training and on `heldout`; other benches bring their own."""
    exploration: Annotated[tuple[ExplorationUse, ...], BeforeValidator(_as_list)] = ()
    """Exploration rewards, one or a list; their weighted sum is the exploration signal."""
    clip: PositiveFloat = 10.0
    """The mixed reward is cut to [-clip, clip]."""
    timeout_s: PositiveFloat = 5.0
    """Seconds that one plugin may take for one sample before its process is killed."""
    workers: PositiveInt = 2
    """Processes that score samples."""
    memory_gb: PositiveFloat = 2.0
    """Address space that one scoring process may use."""
    failure_limit: Fraction = 0.5
    """Stop the run (exit code 7) when more than this share of a step's responses failed to be scored."""
    cache: str | None = None
    """A file that keeps verdicts (SQLite), so that a verifier never judges the same response twice."""
    lexicon: str | None = None
    """A folder of YAML files, or one, with the words of behaviours to count instead of the shipped ones."""

    @model_validator(mode="after")
    def _components_have_names_of_their_own(self) -> "Reward":
        names = [use.use.rpartition(":")[2] for use in (self.correctness, *self.exploration)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"{twice!r} is there twice, and metrics are told apart by name; use a copy of another name"
            )
        return self


class Optimisation(Section):
    """What SFT and PPO optimisers share."""

    betas: tuple[BelowOne, BelowOne] = (0.9, 0.95)
    """AdamW's decay rates."""
    weight_decay: NonNegativeFloat = 0.0
    """AdamW's decoupled weight decay."""
    grad_clip: PositiveFloat = 1.0
    """Largest norm of a gradient step."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls after the warm-up."""
    warmup_ratio: Fraction = 0.03
    """Share of the steps during which the learning rate rises from 0."""
    min_lr_ratio: Fraction = 0.1
    """Learning rate at the end, as a share of its peak."""
    micro_batch: PositiveInt = 8
    """Sequences in one forward pass; gradients are accumulated over the batch."""
    save_every: PositiveInt = 20
    """Steps between checkpoints from which `--resume` can go on."""


class Sft(Optimisation):
    """Supervised fine-tuning on traces; the loss is taken on the response only."""

    backend: Literal["local", "axolotl"] = "local"
    """What runs this stage."""
    axolotl: Axolotl = Axolotl()
    """How Axolotl runs it, where it does."""
    epochs: PositiveFloat = 1.0
    """Passes over the traces."""
    max_steps: PositiveInt | None = None
    """Stop after so many optimiser steps, even within an epoch."""
    batch: PositiveInt = 64
    """Examples in one optimiser step; with `axolotl.packing`, sequences of `max_length` that each hold several."""
    learning_rate: LearningRate = 2.0e-5
    """Peak learning rate."""
    max_length: PositiveInt = 8192
    """Longest example in tokens; longer ones are left out and counted."""
    val_rows: NonNegativeInt = 0
    """Examples kept out of training, on which the loss is measured."""
    val_every: PositiveInt = 100
    """Steps between measurements of the loss on those examples."""


def _whole_distribution(top_p: float) -> float:
    """A token that leaves the nucleus of the new policy has no probability there, and so no ratio to the old one."""
    if top_p != 1:
        raise ValueError(
            "tokens drawn from a nucleus have other probabilities than those that PPO's ratios, KL and entropy are of; "
            "leave it out, and lower ppo.temperature instead"
        )
    return top_p


class Ppo(Optimisation):
    """PPO with an outcome verifier and exploration rewards."""

    backend: Literal["local", "openrlhf"] = "local"
    """What runs this stage."""
    openrlhf: OpenRlhf = OpenRlhf()
    """How OpenRLHF runs it, where it does."""
    steps: PositiveInt | None = None
    """Rollout steps; `episodes` decides when it is not given."""
    episodes: PositiveFloat = 1.0
    """Passes over the prompts, when `steps` is not given."""
    rollout_batch: PositiveInt = 512
    """Prompts in one rollout."""
    samples_per_prompt: PositiveInt = 1
    """Responses sampled for each prompt of a rollout."""
    train_batch: PositiveInt = 128
    """Responses in one optimiser step."""
    epochs: PositiveInt = 1
    """Passes over each rollout."""
    temperature: PositiveFloat = 0.7
    """Sampling temperature of rollouts."""
    top_p: Annotated[float, AfterValidator(_whole_distribution)] = 1.0
    """1, whatever evaluation does: PPO compares probabilities of the whole distribution."""
    max_prompt_tokens: PositiveInt = 2048
    """Longest prompt in tokens; problems with longer ones are left out and counted."""
    max_new_tokens: PositiveInt = 4096
    """Longest response in tokens."""
    learning_rate: LearningRate = 2.0e-7
    """Peak learning rate of the policy."""
    critic_learning_rate: LearningRate = 2.0e-6
    """Peak learning rate of the critic."""
    critic: Literal["own", "value_head"] = "own"
    """`own`: a second model that starts from the policy's weights. `value_head`: a head on the policy's trunk."""
    value_coef: PositiveFloat = 0.1
    """Weight of the value loss beside the policy loss, for `value_head`."""
    critic_warmup_steps: NonNegativeInt = 4
    """First rollout steps that train only the critic."""
    estimator: Literal[
        "gae", "reinforce", "reinforce_baseline", "rloo", "group_norm", "dr_grpo"
    ] = "gae"
    """Advantage estimator; only `gae` has a critic, only `gae` and `reinforce` do with one sample per prompt."""
    advantages: Literal["mixed", "separate"] = "mixed"
    """`separate`: correctness and exploration each get their group's baseline before alpha mixes them."""
    gamma: Fraction = 1.0
    """Discount per token."""
    gae_lambda: Fraction = 0.95
    """GAE's lambda."""
    whiten_advantages: bool = True
    """Give the advantages of a rollout mean 0 and variance 1; for `gae`, `reinforce` and `reinforce_baseline`."""
    clip: PositiveFloat = 0.2
    """Range of the probability ratio."""
    value_clip: PositiveFloat = 0.2
    """Range of a value's change in one rollout."""
    kl_coef: NonNegativeFloat = 0.05
    """Weight of the KL penalty in the per-token reward; the first value when `kl_target` is given."""
    kl_target: PositiveFloat | None = None
    """KL per token that an adaptive coefficient aims at; fixed coefficient when not given."""
    kl_horizon: PositiveInt = 10000
    """Responses over which the adaptive coefficient reacts."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    """Estimator of the per-token KL (Schulman, 2020)."""
    save_every: PositiveInt = 20
    """Rollout steps between checkpoints from which `--resume` can go on."""
    export_every: PositiveInt | None = None
    """Rollout steps between models that are kept for `rlsp eval RUN --steps`; only the last is when not given."""

    @property
    def responses(self) -> int:
        """Responses in one rollout."""
        return self.rollout_batch * self.samples_per_prompt

    def num_steps(self, rows: int) -> int:
        """Rollout steps of the whole stage over so many problems."""
        return self.steps or max(1, int(self.episodes * rows / self.rollout_batch))

    @property
    def needs_groups(self) -> bool:
        """Whether the estimator compares the responses to one prompt."""
        return self.estimator not in ("gae", "reinforce")

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
    """Budget forcing (2501.19393): a response that ends early is continued after " Wait"."""

    waits: PositiveInt = 2
    """At most so many times."""
    min_tokens: PositiveInt | None = None
    """Only responses shorter than this; all, when not given."""


StrategyName = Literal["self_consistency", "best_of_n", "weighted_vote", "rpc", "budget_forcing"]


class Eval(Section):
    """Evaluation of every checkpoint of the run on benches."""

    benches: tuple[str, ...] = ("heldout",)
    """Benches: `heldout` is the recipe's own `data.heldout`; names of `rlsp benches list`; files, `./mine.yaml`."""
    data: str | None = None
    """A file, or a folder with `<bench>.jsonl`, to read benches from instead of the hub."""
    protocol: str | None = None
    """Run benches as somebody else does: a name of `rlsp benches protocols`, or a file, `./mine.yaml`."""
    samples: NonNegativeInt | None = None
    """Sampled responses per problem, 0 for greedy only; the bench's own number if not given, 1 for `heldout`."""
    k: tuple[PositiveInt, ...] = ()
    """The k of pass@k and maj@k, at most `samples`; powers of two and `samples` when not given."""
    greedy: bool | None = None
    """Also decode one greedy response per problem; as the protocol does if not given, else true."""
    temperature: PositiveFloat | None = None
    """Sampling temperature; the bench's own if not given, 0.7 for `heldout`."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Nucleus sampling; the bench's own if not given, 1 for `heldout`."""
    max_new_tokens: PositiveInt | None = None
    """Longest response in tokens; the bench's own if not given, 8192 for `heldout`."""
    batch: PositiveInt = 64
    """Responses decoded at once; where a server answers, requests under way at once."""
    url: str | None = None
    """OpenAI-compatible server that answers, such as `http://host:8000/v1`; `model.path` is its name of the model."""
    limit: PositiveInt | None = None
    """Use only the first so many problems of each bench."""
    responses: str | None = None
    """Score these instead of decoding: a JSON Lines file with `id` and `response`, or `gold` for the references."""
    serve: bool = False
    """Answer with vLLM from the OpenRLHF environment, on all of `cluster.gpus_per_node`, not the embedded engine."""
    strategies: tuple[StrategyName, ...] = ()
    """Test-time strategies to compare, on the sampled responses; docs/strategies.md says what each does."""
    scorer: str | None = None
    """What best_of_n and weighted_vote go by: `logprob`, `confidence`, a name in `scores`, or an exploration reward."""
    checkpoints: dict[NonNegativeInt, str] = Field(default_factory=dict)
    """Evaluate these models of one training, by their step; `rlsp eval RUN --steps` sets it."""
    against: str | None = None
    """A run that has been evaluated, whose single answers the strategies are compared to at equal tokens."""
    forcing: Forcing = Forcing()
    """How `budget_forcing` lengthens responses."""

    @model_validator(mode="after")
    def _some_response(self) -> "Eval":
        if self.serve and (self.responses is not None or self.url is not None):
            raise ValueError(f"nothing to serve: {'a server' if self.url else 'responses'} given")
        if self.samples == 0 and self.greedy is False:
            raise ValueError("nothing to decode: samples is 0 and greedy is false")
        return self

    @model_validator(mode="after")
    def _every_key_reaches_a_strategy(self) -> "Eval":
        if self.against and not self.strategies:
            raise ValueError(
                "against is for strategies; add strategies: [self_consistency] or others"
            )
        if self.scorer and not {"best_of_n", "weighted_vote"} & set(self.strategies):
            raise ValueError(
                "scorer is for the strategies best_of_n and weighted_vote; name one of them"
            )
        if self.forcing != Forcing() and "budget_forcing" not in self.strategies:
            raise ValueError("forcing is for the strategy budget_forcing; name it in strategies")
        if self.responses is not None and "budget_forcing" in self.strategies:
            raise ValueError("budget_forcing makes a model go on, and these responses are given")
        return self


def _as_texts(value: Any) -> Any:
    """Numbers, true and false, which YAML tells from texts, as environment variables have them."""
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
    """Partition; Slurm's default when not given."""
    account: Line | None = None
    """Account to charge."""
    time: Line | None = None
    """Time limit, as in `24:00:00`."""
    options: tuple[SbatchOption, ...] = ()
    """More options of sbatch, each as in `--constraint=h100`."""
    setup: str = ""
    """Shell lines that run on every node first, such as `module load cuda`."""
    cpus: PositiveInt | None = None
    """CPUs of each node; four for each GPU when not given, and Slurm's default without GPUs."""


class Cluster(Section):
    """Where the stages run."""

    nodes: PositiveInt = 1
    """Machines."""
    gpus_per_node: NonNegativeInt = 0
    """GPUs of each machine; 0 for CPU."""
    launcher: Literal["local", "torchrun", "accelerate", "slurm", "ray"] = "local"
    """What starts the processes; `local` takes torchrun where there are several on one machine."""
    host: str | None = None
    """Address of the first machine, where the others meet it; for `torchrun` on several machines."""
    port: Annotated[int, Field(ge=1, le=65535)] = 29400
    """Port of that meeting."""
    join_timeout_s: PositiveInt = 600
    """Seconds that machines wait for each other before the job gives up."""
    ray_address: str | None = None
    """Dashboard of a Ray cluster that runs already, as `http://HOST:8265`; the variable RAY_ADDRESS also counts."""
    env: Annotated[dict[str, str], BeforeValidator(_as_texts)] = Field(default_factory=dict)
    """Variables of the job's processes on every machine, such as `NCCL_SOCKET_IFNAME` or `HF_HOME`; no secrets."""
    slurm: Slurm = Slurm()
    """What a Slurm job asks for, when the launcher is `slurm`."""

    @field_validator("env")
    @classmethod
    def _right_variables(cls, env: dict[str, str]) -> dict[str, str]:
        if found := "; ".join(wrong_variables(env)):
            raise ValueError(f"cluster.env: {found}")
        return env

    @model_validator(mode="after")
    def _no_password(self) -> "Cluster":
        if set("@?#") & set(
            self.ray_address or ""
        ):  # not the field's own check, whose error shows the value
            raise ValueError(
                "cluster.ray_address may hold a secret, and recipes are kept in run folders; set RAY_ADDRESS"
            )
        return self


class Tracking(Section):
    """Where a backend sends its numbers, besides metrics.jsonl; keys and logins come from the environment."""

    to: tuple[Literal["wandb", "mlflow", "trackio", "tensorboard"], ...] = ()
    """Trackers by name. For `axolotl` and `openrlhf`."""
    project: str | None = None
    """Project there; the recipe's name when not given."""


class Container(Section):
    """A container image that holds a backend."""

    image: str
    """Image name."""
    command: str = "docker run --rm --gpus all --ipc=host --network=host -v {run}:{run} {image}"
    """Words before the command; `{run}` is the run folder and `{image}` the image."""


class BackendEnvironment(Section):
    """A backend's environment that somebody made himself, instead of `rlsp backends install`."""

    python: str | None = None
    """Interpreter that has the backend; inside the container when there is one."""
    container: Container | None = None
    """Container image to run it in."""
    allow_untested: bool = False
    """Run a version of the backend that rlsp has not been tested with."""


class Recipe(Section):
    """One training run: data, rewards and the stages that are given, in the order sft, ppo, eval."""

    schema_version: Literal[1] = 1
    """Version of this schema."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Short name; the run folder is runs/<name>/<id>."""
    description: str = ""
    """One line for `rlsp recipes list`."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of everything random: initial weights, data order, sampling."""
    plugins: tuple[str, ...] = ()
    """Python files with plugins, loaded before names are looked up."""
    model: Model = Model()
    """The language model; needed by every stage that trains or decodes."""
    data: Data = Data()
    """Traces, prompts and held-out problems."""
    reward: Reward = Reward()
    """Verifier, exploration rewards and their mixture."""
    sft: Sft | None = None
    """Supervised fine-tuning; left out when not given."""
    ppo: Ppo | None = None
    """Reinforcement learning; left out when not given."""
    eval: Eval | None = None
    """Evaluation; left out when not given."""
    cluster: Cluster = Cluster()
    """Machines and launcher."""
    tracking: Tracking = Tracking()
    """Experiment trackers."""
    backends: dict[Literal["axolotl", "openrlhf"], BackendEnvironment] = Field(default_factory=dict)
    """Environments of backends, by name; also in `rlsp.toml`."""

    @model_validator(mode="after")
    def _stages_have_what_they_need(self) -> "Recipe":
        decodes = self.eval is not None and self.eval.responses is None
        if (self.sft or self.ppo or decodes) and not (self.model.path or self.model.from_scratch):
            raise ValueError("no model: give model.path or model.from_scratch")
        if self.ppo and self.ppo.advantages == "separate" and self.reward.combine != "rlsp":
            raise ValueError(
                "ppo.advantages: separate mixes by alpha; it needs reward.combine: rlsp"
            )
        if self.sft and not self.data.traces:
            raise ValueError("sft needs data.traces")
        if self.ppo and not self.data.prompts:
            raise ValueError("ppo needs data.prompts")
        if self.eval and "heldout" in self.eval.benches and not self.data.heldout:
            raise ValueError("the bench 'heldout' needs data.heldout")
        return self

    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    def with_origins(self, origins: Mapping[str, Origin]) -> "Recipe":
        """The same recipe, knowing where its values come from."""
        self._origins = dict(origins)
        return self

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each written value comes from, by dotted path."""
        return self._origins

    def origin(self, path: str) -> Origin:
        """Where the value at a dotted path comes from; for a section without a place, where its first key does."""
        inside = (origin for key, origin in self._origins.items() if key.startswith(f"{path}."))
        return self._origins.get(path) or next(inside, DEFAULT)

    def place(self, path: str) -> Origin | None:
        """Where a dotted path is written, or the nearest section around it; None when neither is."""
        return nearest_origin(path, self._origins)

    def is_given(self, section: str) -> bool:
        """Whether this section, or a part of it, is written in a file or override."""
        return any(f"{path}.".startswith(f"{section}.") for path in self._origins)

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the numbers: all but names and where backends and trackers are."""
        data = self.model_dump(mode="json", exclude={"name", "description", "backends", "tracking"})
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
