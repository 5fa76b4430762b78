"""CPU time and peak memory of a PPO step, in decoding and in training, as responses, batch or vocabulary grow.

The step is the engine's, in float32: responses are decoded, compared with the reference and trained
on. Half of the prompts occur twice. No response ends before its limit. The model is a random Llama,
or with `--model` that of a folder, of which only responses and batch grow. Each case has a process
of its own, and the lowest time of `--repeats` counts, since other work on the machine only adds.

One line of JSON a case. `order` says how fast the cost grows from the case before: 1 is linear. For
memory it is that of what the step adds to a process that has the model.
"""

import argparse
import json
import math
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.decode import Generated, Sampling, generate
from rlsp_cli.engine.learner import Learner
from rlsp_cli.engine.rollout import Rollout, as_tensors, recorded
from rlsp_cli.engine.targets import targets_of
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.rewards.sample import SampleScore, Score

CPU = torch.device("cpu")
PROMPT_TOKENS = 16


@dataclass(frozen=True)
class Case:
    """One step: `batch` responses of `length` tokens each, by a model with so many words."""

    length: int
    batch: int
    vocabulary: int


@dataclass(frozen=True)
class Cost:
    """CPU seconds of the two parts of a step, and MiB that the step adds to the process's peak."""

    decode_s: float
    train_s: float
    peak_mib: float


def random_model(vocabulary: int, positions: int) -> PreTrainedModel:
    """A Llama of 4 layers with 3 million parameters beside its embedding."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=positions,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def settings(estimator: str, length: int, batch: int) -> Ppo:
    """One optimiser step for each rollout."""
    return Ppo(
        estimator=estimator,
        rollout_batch=batch // 2,
        samples_per_prompt=2,
        train_batch=batch,
        micro_batch=min(8, batch),
        max_new_tokens=length,
        temperature=1.0,
        decode_batch=batch,
        critic_warmup_steps=0,
    )


def decode(model: PreTrainedModel, prompts: list[list[int]], length: int) -> list[Generated]:
    """A response of exactly `length` tokens to each prompt."""
    responses = dict(
        generate(
            model,
            prompts,
            Sampling(length, temperature=1.0, record=1.0),
            seeds=range(len(prompts)),
            eos_ids=(),
            pad_id=0,
            at_once=len(prompts),
        )
    )
    return [responses[row] for row in range(len(prompts))]


def train(
    models: ActorCritic, learner: Learner, prompts: list[list[int]], responses: list[Generated]
) -> None:
    """What a step does with its responses; every second one is right."""
    verdict = Score("correctness", "value")
    scores = [SampleScore(verdict, (), reward=row % 2) for row in range(len(responses))]
    tokens, mask, lengths = as_tensors(prompts, responses, 0, CPU)
    rollout = Rollout([], scores, tokens, mask, lengths, recorded(responses, mask))

    targets, _ = targets_of(rollout, models, models.settings, alpha=1.0, kl_coef=0.05)
    learner.update(0, rollout, targets, critic_only=False)


def prompts_of(model: PreTrainedModel, batch: int) -> list[list[int]]:
    """Random prompts, each of them twice."""
    vocabulary = model.config.vocab_size
    rows = torch.randint(0, vocabulary, (batch // 2, PROMPT_TOKENS)).tolist()
    return [row for row in rows for _ in range(2)]


def measure(model: PreTrainedModel, case: Case, estimator: str, repeats: int) -> Cost:
    """The cost of one step; the first of a process, which makes the optimiser's moments, is not timed."""
    ppo = settings(estimator, case.length, case.batch)
    models = ActorCritic(model, ppo, seed=0, precision="float32")
    learner = Learner(models, ppo, total_steps=repeats + 1, seed=0)
    prompts = prompts_of(model, case.batch)
    before = _peak_mib()

    seconds = []
    for _ in range(repeats + 1):
        began = time.process_time()
        responses = decode(models.policy, prompts, case.length)
        decoded = time.process_time()
        train(models, learner, prompts, responses)
        seconds.append((decoded - began, time.process_time() - decoded))

    decodes, trainings = zip(*seconds[1:], strict=True)
    return Cost(min(decodes), min(trainings), _peak_mib() - before)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_own_process(work: Callable[[], Cost]) -> Cost:
    """The cost of something, measured in a copy of this process that ends with it."""
    forking = multiprocessing.get_context("fork")
    receiver, sender = forking.Pipe(duplex=False)

    def child(connection: Connection) -> None:
        connection.send(work())

    process = forking.Process(target=child, args=(sender,))
    process.start()
    sender.close()
    cost: Cost = receiver.recv()
    process.join()
    return cost


def series(base: Case, lengths: list[int], batches: list[int]) -> Iterator[tuple[str, list[Case]]]:
    """Cases in which one thing grows."""
    yield "length", [replace(base, length=length) for length in lengths]
    yield "batch", [replace(base, batch=batch) for batch in batches]


def order(before: Cost, cost: Cost, growth: float) -> dict[str, float]:
    """The exponent with which each part of the cost grew, while its cause grew by a factor."""

    def exponent(name: str) -> float:
        ratio = max(getattr(cost, name), 1e-9) / max(getattr(before, name), 1e-9)
        return round(math.log(ratio) / math.log(growth), 2)

    return {name: exponent(name) for name in asdict(cost)}


def main() -> None:
    """All series, one line of JSON a case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a model folder instead of a random model")
    parser.add_argument("--estimator", choices=("gae", "group_norm"), default="group_norm")
    parser.add_argument("--lengths", type=int, nargs="*", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--batches", type=int, nargs="*", default=[2, 8, 32, 128])
    parser.add_argument("--vocabularies", type=int, nargs="*", default=[1024, 8192, 65536])
    parser.add_argument("--length", type=int, default=64, help="where another thing grows")
    parser.add_argument("--batch", type=int, default=8, help="where another thing grows")
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()

    base = Case(options.length, options.batch, vocabulary=8192)
    grown = list(series(base, options.lengths, options.batches))
    if not options.model:
        sizes = [replace(base, vocabulary=size) for size in options.vocabularies]
        grown.append(("vocabulary", sizes))

    for what, cases in grown:
        _print_series(what, cases, options)


def _print_series(what: str, cases: list[Case], options: argparse.Namespace) -> None:
    before: tuple[Case, Cost] | None = None
    for case in cases:
        cost = in_own_process(lambda case=case: _cost(case, options))
        line = {"grows": what, **asdict(case)}
        line |= {name: round(value, 3) for name, value in asdict(cost).items()}
        if before is not None:
            growth = getattr(case, what) / getattr(before[0], what)
            line["order"] = order(before[1], cost, growth)
        print(json.dumps(line), flush=True)
        before = case, cost


def _cost(case: Case, options: argparse.Namespace) -> Cost:
    if options.model:
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    else:
        model = random_model(case.vocabulary, PROMPT_TOKENS + case.length)
    return measure(model, case, options.estimator, options.repeats)


if __name__ == "__main__":
    main()
