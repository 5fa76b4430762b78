"""How near decoding and training come to what the processor can do: its bandwidth, and its products of matrices.

The limits are measured in the same minutes: a sum over 512 MiB, a STREAM-like triad, and the fastest
of three products in float32. A step of decoding has to read every weight once, and both have to
multiply every token with every weight. Attention, sampling and optimiser count as overhead, and so
do the logits that training computes a second time. All times are CPU seconds, the lowest of
`--repeats`: run it with one thread.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from engine_growth import decode, prompts_of, settings, train
from transformers import AutoModelForCausalLM, PreTrainedModel

from rlsp_cli.engine.actor_critic import ActorCritic
from rlsp_cli.engine.learner import Learner

READ, TRIAD = 2**27, 2**26
"""Numbers that the bandwidth is measured with, far more than a cache holds."""
PRODUCTS = ((2048, 2048, 2048), (1024, 576, 1536), (1024, 1536, 576))
"""Rows, inner size and columns; the last two are those of a small model's layers."""
FEW, MANY = 4, 36
"""Tokens of two decodings, whose difference is free of prompts and start-up."""
RESPONSE, RESPONSES = 64, 8
"""What is trained on."""


def lowest(work: Callable[[], object], repeats: int) -> float:
    """CPU seconds of the fastest of several runs, after one to warm up."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds[1:])


def limits(repeats: int) -> dict[str, float]:
    """Bandwidth in GB/s, products of matrices in GFLOP/s."""
    numbers = torch.ones(READ)
    read = 4 * READ / lowest(numbers.sum, repeats)

    a, b, c = (torch.ones(TRIAD) for _ in range(3))
    triad = 3 * 4 * TRIAD / lowest(lambda: torch.add(b, c, alpha=3.0, out=a), repeats)

    product = max(
        2 * rows * inner * columns / lowest(_product(rows, inner, columns), repeats)
        for rows, inner, columns in PRODUCTS
    )
    return {
        "read_gb_per_s": read / 1e9,
        "triad_gb_per_s": triad / 1e9,
        "gflop_per_s": product / 1e9,
    }


def _product(rows: int, inner: int, columns: int) -> Callable[[], torch.Tensor]:
    left, right, result = (
        torch.ones(rows, inner),
        torch.ones(inner, columns),
        torch.empty(rows, columns),
    )
    return lambda: torch.mm(left, right, out=result)


def decoding(
    model: PreTrainedModel, batch: int, limit: dict[str, float], repeats: int
) -> dict[str, float]:
    """A step's time, and its share of both limits."""
    prompts = prompts_of(model, max(2, batch))[:batch]
    few, many = (
        lowest(lambda length=length: decode(model, prompts, length), repeats)
        for length in (FEW, MANY)
    )
    step = (many - few) / (MANY - FEW)
    weights = model.num_parameters()
    return {
        "batch": batch,
        "ms_a_step": 1000 * step,
        "share_of_read": 4 * weights / step / 1e9 / limit["read_gb_per_s"],
        "share_of_products": 2 * weights * batch / step / 1e9 / limit["gflop_per_s"],
    }


def training(model: PreTrainedModel, limit: dict[str, float], repeats: int) -> dict[str, float]:
    """One update of `group_norm` with its pass of the reference, and its share of the products."""
    ppo = settings("group_norm", RESPONSE, RESPONSES)
    models = ActorCritic(model, ppo, seed=0, precision="float32")
    learner = Learner(models, ppo, total_steps=repeats + 1, seed=0)
    prompts = prompts_of(model, RESPONSES)
    responses = decode(models.policy, prompts, RESPONSE)
    seconds = lowest(lambda: train(models, learner, prompts, responses), repeats)

    head = model.get_output_embeddings().weight.numel()
    layers = model.num_parameters() - head  # of a model whose embedding is its head
    tokens = sum(map(len, prompts)) + RESPONSE * RESPONSES
    passes = 4  # the reference, and forward and backward of the policy
    work = 2 * passes * (layers * tokens + head * RESPONSE * RESPONSES)
    return {"train_s": seconds, "share_of_products": work / seconds / 1e9 / limit["gflop_per_s"]}


def main() -> None:
    """The limits, decoding, and training, one line of JSON each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a model with tied embeddings")
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 32])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    limit = limits(options.repeats)
    _show(limit)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    for batch in options.batches:
        _show(decoding(model, batch, limit, options.repeats))
    _show(training(model, limit, options.repeats))


def _show(line: dict[str, float]) -> None:
    print(json.dumps({name: round(value, 3) for name, value in line.items()}), flush=True)


if __name__ == "__main__":
    main()
