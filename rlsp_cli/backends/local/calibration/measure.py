"""Measures a Speed: runs the engine on models of the right shape with one layer and with three.

A layer costs the difference, however many there are. The model with three layers has a small
vocabulary, so that the noise of a large output layer is not multiplied by the layers.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from rlsp_cli.backends.local.calibration.speed import Load, Speed
from rlsp_cli.backends.model_shape import ModelShape
from rlsp_cli.engine.decode import Sampling, generate
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.model import checkpoint_layers, layers_in_training, pick_device
from rlsp_cli.engine.optimise import Optimiser
from rlsp_cli.engine.precision import prefers_bfloat16
from rlsp_cli.engine.roles import make_roles
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.lora import Lora
from rlsp_cli.recipe.optimisation import Optimisation

_MOST_LAYERS = 3
_WORDS = 64
"""A vocabulary whose output layer costs nothing beside the layers."""
_OPERATIONS = 4e9
"""Of one timed piece of work, about: a tenth of a second on a laptop's core."""
_FEWEST_TOKENS = 192
"""Fewer would waste the processor: with 64, a token of a layer takes half as long again as with 800."""
_LONG_ENOUGH_S = 0.06
"""How long a piece of work is repeated."""
_FEWEST, _MOST = 3, 30
"""How often it is repeated."""
_NEW_TOKENS = 8
"""Tokens of each response that is decoded for the clock."""
_LARGEST = 10**9
"""Weights of the largest model that is made to be measured: 4 GB, and as much for gradients."""


@dataclass(frozen=True)
class _Seconds:
    """Of a token in training and in a forward pass; of a step of decoding one sequence, and many."""

    train: float
    forward: float
    one: float
    many: float

    def plus(self, layers: int, layer: "_Seconds") -> "_Seconds":
        """With so many more layers."""
        return _Seconds(
            self.train + layers * layer.train,
            self.forward + layers * layer.forward,
            self.one + layers * layer.one,
            self.many + layers * layer.many,
        )

    def shared_by(self, layers: int, less: "_Seconds") -> "_Seconds":
        """What each of `layers` adds to `less`; noise does not make it negative."""
        return _Seconds(
            max(0.0, self.train - less.train) / layers,
            max(0.0, self.forward - less.forward) / layers,
            max(0.0, self.one - less.one) / layers,
            max(0.0, self.many - less.many) / layers,
        )


def measure(load: Load) -> Speed:
    """The speed of this process on a load; takes a few seconds."""
    shape = replace(load.shape, vocabulary=max(load.shape.vocabulary, _WORDS))
    if replace(shape, layers=1).parameters > _LARGEST:
        raise NotReadyError("a model this large is not measured")

    one_layer = _SmallModel(load, replace(shape, layers=1)).seconds()
    one_bare = _SmallModel(load, replace(shape, layers=1, vocabulary=_WORDS)).seconds()
    layers = min(_MOST_LAYERS, shape.layers)
    model = _SmallModel(load, replace(shape, layers=layers, vocabulary=_WORDS))
    bare = model.seconds()

    layer = bare.shared_by(max(1, layers - 1), less=one_bare)
    whole = one_layer.plus(shape.layers - 1, layer)
    trunk = bare.plus(shape.layers - layers, layer)

    return Speed(
        train=whole.train,
        forward=whole.forward,
        train_trunk=trunk.train,
        forward_trunk=trunk.forward,
        adam=model.adam(),
        step=whole.one,
        row=max(0.0, whole.many - whole.one) / max(1, _rows(load) - 1),
        bfloat16=model.bfloat16,
    )


def _rows(load: Load) -> int:
    """Sequences that are decoded at once: as many as the load has, if that takes no second."""
    return max(1, min(load.decode_batch, int(_OPERATIONS / (2 * _weights(load)))))


def _weights(load: Load) -> int:
    """Weights of the largest model that is measured, about: each is an operation of a token, or three."""
    return replace(load.shape, layers=_MOST_LAYERS).parameters


class _SmallModel:
    """A model of a shape, with work for the clock."""

    def __init__(self, load: Load, shape: ModelShape) -> None:
        self.load, self.device = load, pick_device(load.gpus)
        self.bfloat16 = prefers_bfloat16(load.precision, self.device, load.shape.parameters)

        lora = None
        if load.lora_rank is not None:
            lora = Lora(rank=load.lora_rank, targets=load.lora_targets)
        self.settings = Optimisation(lora=lora)

        model = _model(shape).to(self.device).eval()
        if lora is not None and self.bfloat16:
            model = model.to(torch.bfloat16)
        if load.gradient_checkpointing:
            checkpoint_layers(model)
        self.roles = make_roles(model, self.settings, seed=0)
        self.tokens, self.mask = self._batch(shape)

    def seconds(self) -> _Seconds:
        """All of the work, timed."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return _Seconds(
                train=self._usual(self._train) / self.tokens.numel(),
                forward=self._usual(self._forward) / self.tokens.numel(),
                one=self._step(1),
                many=self._step(_rows(self.load)),
            )

    def adam(self) -> float:
        """Seconds of the optimiser for each weight."""
        parameters = self.roles.parameters("policy")
        optimiser = Optimiser(parameters, self.settings, peak=1e-6, total=100)

        def work() -> None:
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter)
            optimiser.step()

        return self._usual(work) / sum(parameter.numel() for parameter in parameters)

    def _batch(self, shape: ModelShape) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens of a micro-batch, or of as much of one as takes no second, and the mask of responses."""
        load = self.load
        affordable = max(_FEWEST_TOKENS, int(_OPERATIONS / (6 * _weights(load))))

        length = min(load.prompt_tokens + load.response_tokens, affordable)
        rows = max(1, min(load.micro_batch, affordable // length))
        responses = round(
            length * load.response_tokens / (load.prompt_tokens + load.response_tokens)
        )

        tokens = torch.randint(shape.vocabulary, (rows, length), device=self.device)
        mask = torch.zeros(rows, length - 1, device=self.device)
        mask[:, -max(1, responses) :] = 1
        return tokens, mask

    def _train(self) -> None:
        with self.roles.playing("policy") as model, layers_in_training(model):
            states = last_states(model, self.tokens)
            token_logp(model, states, self.tokens, self.mask).sum().backward()  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def _forward(self) -> None:
        with self.roles.playing("policy") as model:
            states = last_states(model, self.tokens)
            token_logp(model, states, self.tokens, self.mask)

    def _step(self, rows: int) -> float:
        """Seconds of decoding one more token of each of `rows` sequences."""
        if not self.load.decode_batch:
            return 0.0
        short = self._usual(lambda: self._decode(rows, 1))
        long = self._usual(lambda: self._decode(rows, 1 + _NEW_TOKENS))
        return max(0.0, long - short) / _NEW_TOKENS

    def _decode(self, rows: int, new_tokens: int) -> None:
        # On average a token sees the prompt and half of the response. Equal prompts are read once.
        seen = self.load.prompt_tokens + self.load.response_tokens // 2
        prompt = [1] * max(2, seen)
        sampling = Sampling(new_tokens, temperature=1.0, record=1.0)
        with self.roles.playing("policy") as model:
            list(
                generate(
                    model,
                    [prompt] * rows,
                    sampling,
                    seeds=range(rows),
                    eos_ids=(),
                    pad_id=0,
                    at_once=rows,
                )
            )

    def _usual(self, work: Callable[[], None]) -> float:
        """Seconds of the median of several runs: the fastest has the processor's caches to itself."""
        work()  # memory is reserved, code is loaded
        taken: list[float] = []
        while len(taken) < _FEWEST or (sum(taken) < _LONG_ENOUGH_S and len(taken) < _MOST):
            began = self._clock()
            work()
            taken.append(self._clock() - began)
        return median(taken)

    def _clock(self) -> float:
        """Seconds that other programs do not prolong, as far as possible."""
        if self.device.type != "cpu":
            getattr(torch, self.device.type).synchronize()
            return time.perf_counter()

        # This thread does its share of all parallel work, and sleeps while others do theirs.
        return time.thread_time()


def _model(shape: ModelShape) -> PreTrainedModel:
    """A Llama of this shape with random weights: other dense decoders do the same work."""
    config = AutoConfig.for_model(
        "llama",
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_size,
        max_position_embeddings=10**6,
        tie_word_embeddings=shape.tied,
    )
    return AutoModelForCausalLM.from_config(config)
