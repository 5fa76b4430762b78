"""Tokens/s of PPO's two samplers on one model: vLLM (`ppo.sampler: vllm`) and the embedded engine.

Same model, prompts, seeds, number of responses and number format, float32. vLLM's time includes the
hand-over of the policy's weights, as in training, and its CPU time is that of all its processes. The
two alternate; the first round warms up. The responses themselves differ, for the samplers draw
other random numbers.

Needs OpenRLHF's environment: `rlsp backends install openrlhf`.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from rlsp_cli.backends.local.rollouts import served_policy
from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.collector import EmbeddedSampler, PolicySampler
from rlsp_cli.engine.model import load_model, load_tokenizer
from rlsp_cli.engine.stage import Context
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.lora import Lora
from rlsp_cli.recipe.model import Model
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.rows import Prompts
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.runs.paths import StagePaths

CPU = torch.device("cpu")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Speed:
    """Tokens per second, and per second of CPU time."""

    wall: float
    cpu: float


def context_of(model: str, settings: Ppo, folder: Path) -> Context:
    """What PPO has around it, as far as sampling needs it."""
    recipe = Recipe(
        name="samplers",
        model=Model(path=model, precision="float32"),
        data=Data(prompts=Prompts(source="task:pair_sum")),
        ppo=settings,
    )
    return Context(recipe, StagePaths(folder), load_model(model, CPU), load_tokenizer(model), CPU)


@contextmanager
def both(
    context: Context, settings: Ppo, prompts: list[list[int]]
) -> Iterator[dict[str, PolicySampler]]:
    """The two samplers, of the same policy."""
    with served_policy(context, settings, prompts) as served:
        models = ActorCritic(context.model, settings, seed=0, precision="float32")
        yield {"vllm": served, "embedded": EmbeddedSampler(context, settings, models)}


def speed(sampler: PolicySampler, prompts: list[list[int]], step: int) -> Speed:
    """The speed of one rollout."""
    began, cpu = time.perf_counter(), _cpu_seconds()
    responses = sampler.draw(prompts, step)
    wall, cpu = time.perf_counter() - began, _cpu_seconds() - cpu

    tokens = sum(len(response.tokens) for response in responses)
    return Speed(tokens / wall, tokens / cpu)


def _cpu_seconds() -> float:
    """CPU seconds of this process and all below it, vLLM's among them."""
    parents, seconds = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        pid = int(stat.parent.name)
        parents[pid], seconds[pid] = int(fields[1]), (int(fields[11]) + int(fields[12])) / TICKS

    def is_ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_ours(parents[pid]))

    return sum(time for pid, time in seconds.items() if is_ours(pid))


def compare(model: str, settings: Ppo, rounds: int) -> dict[str, float]:
    """Medians, and the median of the ratios of a round: the engine's speed by vLLM's."""
    speeds: dict[str, list[Speed]] = {"vllm": [], "embedded": []}
    with tempfile.TemporaryDirectory() as folder:
        context = context_of(model, settings, Path(folder))
        prompts = _prompts(context, settings)
        with both(context, settings, prompts) as samplers:
            for step in range(rounds + 1):
                for name, sampler in samplers.items():
                    speeds[name].append(speed(sampler, prompts, step))

    def median(value: Callable[[Speed, Speed], float]) -> float:
        pairs = list(zip(speeds["embedded"], speeds["vllm"], strict=True))
        return round(statistics.median(value(*pair) for pair in pairs[1:]), 2)

    return {
        "embedded_tokens_per_s": median(lambda ours, _: ours.wall),
        "vllm_tokens_per_s": median(lambda _, theirs: theirs.wall),
        "embedded_tokens_per_cpu_s": median(lambda ours, _: ours.cpu),
        "vllm_tokens_per_cpu_s": median(lambda _, theirs: theirs.cpu),
        "ratio": median(lambda ours, theirs: ours.wall / theirs.wall),
        "cpu_ratio": median(lambda ours, theirs: ours.cpu / theirs.cpu),
    }


def _prompts(context: Context, settings: Ppo) -> list[list[int]]:
    task = get_plugin("task", "pair_sum").function
    texts = [task(index, "train")["problem"] for index in range(settings.rollout_batch)]
    return list(context.tokenizer(texts)["input_ids"])


def main() -> None:
    """One line of JSON for each number of responses."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="a model folder")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--lora", type=int, default=0, help="rank of an adapter; 0: all weights")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    for batch in options.batches:
        settings = Ppo(
            estimator="reinforce",
            kl_coef=0,
            rollout_batch=batch,
            decode_batch=batch,
            max_new_tokens=options.tokens,
            temperature=1.0,
            sampler="vllm",
            lora=Lora(rank=options.lora, alpha=options.lora) if options.lora else None,
        )
        result = compare(options.model, settings, options.rounds)
        print(json.dumps({"responses": batch, "lora": options.lora, **result}), flush=True)


if __name__ == "__main__":
    main()
