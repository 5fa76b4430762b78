"""An estimate of how long training takes in the embedded engine, from a measurement of this machine.

Sampling is counted in steps of decoding, each of which draws a token for every sequence that is
going; training in tokens of forward and backward passes. docs/plan.md sets it beside runs.
"""

from dataclasses import dataclass
from math import ceil

from rlsp_cli.backends.local.calibration import Load, Speed
from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.plan.counts import Counts
from rlsp_cli.plan.embedded import learning_weights
from rlsp_cli.plan.hours import LONG, SHORT
from rlsp_cli.plan.padding import padded_tokens, response_lengths
from rlsp_cli.plan.texts import Texts
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft

Range = tuple[float, float]


@dataclass(frozen=True)
class EmbeddedTime:
    """Seconds of one step, for short and for long responses; rewards come on top.

    `steps` is None where the number of steps is unknown.
    """

    stage: str
    steps: int | None
    response_tokens: Range
    sampling: Range
    training: Range

    @property
    def step(self) -> Range:
        """Both together."""
        return self.sampling[0] + self.training[0], self.sampling[1] + self.training[1]

    @property
    def total(self) -> Range | None:
        """Of all steps."""
        if self.steps is None:
            return None
        return self.steps * self.step[0], self.steps * self.step[1]


def load_of(recipe: Recipe, stage: str, shape: ModelShape, texts: Texts) -> Load:
    """What is measured for a training stage."""
    settings = recipe.sft if stage == "sft" else recipe.ppo
    assert settings, "a stage that trains"
    prompt, response = texts.prompt_tokens, texts.response_tokens
    if isinstance(settings, Ppo):
        prompt = min(prompt, settings.max_prompt_tokens)
        response = (SHORT + LONG) / 2 * settings.max_new_tokens

    return Load(
        shape=shape,
        precision=recipe.model.precision,
        gpus=min(recipe.cluster.gpus_per_node, 1),
        lora_rank=settings.lora.rank if settings.lora else None,
        lora_targets=settings.lora.targets if settings.lora else (),
        gradient_checkpointing=settings.gradient_checkpointing,
        prompt_tokens=max(1, round(prompt)),
        response_tokens=max(1, round(response)),
        micro_batch=settings.micro_batch,
        decode_batch=(
            min(settings.decode_batch, settings.responses) if isinstance(settings, Ppo) else 0
        ),
    )


def embedded_time(
    settings: Sft | Ppo, shape: ModelShape, counts: Counts, texts: Texts, speed: Speed
) -> EmbeddedTime:
    """The estimate of a training stage."""
    if isinstance(settings, Sft):
        training = _sft_step(settings, shape, texts, speed)
        length = texts.response_tokens
        return EmbeddedTime(
            "sft", counts.optimizer_steps, (length, length), (0, 0), (training, training)
        )

    prompt = min(texts.prompt_tokens, settings.max_prompt_tokens)
    lengths = SHORT * settings.max_new_tokens, LONG * settings.max_new_tokens
    short, long = (ppo_step(settings, shape, prompt, length, speed) for length in lengths)
    return EmbeddedTime("ppo", counts.rollouts, lengths, (short[0], long[0]), (short[1], long[1]))


def ppo_step(
    ppo: Ppo, shape: ModelShape, prompt: float, response: float, speed: Speed
) -> tuple[float, float]:
    """Seconds of (sampling, training) in a step after the critic's warm-up, with mean tokens of both."""
    responses, drawn = ppo.responses, ppo.responses * response

    # The longest response is as long as allowed, and all of them together fill the batch.
    steps = max(ppo.max_new_tokens, ceil(drawn / min(ppo.decode_batch, responses)))
    read = ppo.rollout_batch * prompt * speed.forward_trunk
    sampling = read + steps * speed.step + drawn * speed.row

    # Updates pad within a minibatch, whatever only looks at the rollout within all of it.
    lengths = [prompt + one for one in response_lengths(responses, response, ppo.max_new_tokens)]
    looked_at = padded_tokens(lengths, responses, ppo.micro_batch)
    learned = padded_tokens(lengths, responses // ppo.minibatches, ppo.micro_batch)

    training = looked_at * _looks(ppo, speed) + ppo.epochs * learned * _lessons(ppo, speed)
    return sampling, training + ppo.updates * _weights(ppo, shape) * speed.adam


def _looks(ppo: Ppo, speed: Speed) -> float:
    """Seconds for each token of the passes over a rollout that do not teach the policy."""
    passes = speed.forward if ppo.has_reference else 0.0
    if ppo.estimator == "gae":
        passes += speed.forward_trunk
    if ppo.implicit_prm is not None:
        passes += speed.train

    # In bfloat16 the old log-probabilities are computed again; see docs/engine.md.
    if speed.bfloat16 and ppo.updates > 1:
        passes += speed.forward
    return passes


def _lessons(ppo: Ppo, speed: Speed) -> float:
    """Seconds for each token of an epoch: policy, and a critic of its own."""
    return speed.train + (speed.train_trunk if ppo.has_own_critic else 0)


def _weights(ppo: Ppo, shape: ModelShape) -> int:
    """Weights that learn."""
    policy = learning_weights(ppo, shape, shape.parameters)
    if not ppo.has_own_critic:
        return policy
    return policy + learning_weights(ppo, shape, shape.trunk)


def _sft_step(sft: Sft, shape: ModelShape, texts: Texts, speed: Speed) -> float:
    learning = learning_weights(sft, shape, shape.parameters)

    # Longer examples are left out.
    lengths = [length for length in texts.lengths if length <= sft.max_length] or [sft.max_length]
    tokens = sft.batch * padded_tokens(lengths, sft.batch, sft.micro_batch) / len(lengths)
    return tokens * speed.train + learning * speed.adam
