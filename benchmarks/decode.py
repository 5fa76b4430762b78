"""Tokens per second of our decoding beside transformers' `model.generate`: python benchmarks/decode.py

Same weights, prompts, number of tokens and process; fp32 on the CPU. Greedy tokens are compared: they must be equal.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from transformers import GenerationConfig, PreTrainedModel

from rlsp_cli.engine.decode import generate
from rlsp_cli.engine.model import new_model
from rlsp_cli.recipe.schema import FromScratch
from rlsp_cli.rewards.registry import Registry

Tokens = list[list[int]]


def ours(model: PreTrainedModel, prompts: Tokens, pad_id: int, count: int, temperature: float) -> Tokens:
    """`count` tokens for each prompt with rlsp; no token ends a response."""
    done = generate(model, prompts, max_new_tokens=count, temperature=temperature, eos_ids={-1}, pad_id=pad_id)
    return [response.tokens for response in done]


def theirs(model: PreTrainedModel, prompts: Tokens, pad_id: int, count: int, temperature: float) -> Tokens:
    """The same with transformers."""
    width = max(map(len, prompts))
    tokens = torch.tensor([[pad_id] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    settings = GenerationConfig(max_new_tokens=count, pad_token_id=pad_id, **sampling)
    with torch.inference_mode():
        responses: Tokens = model.generate(tokens, attention_mask=mask, generation_config=settings)[:, width:].tolist()
    return responses


def timed(decode: Callable[..., Tokens], *arguments: object) -> tuple[Tokens, float, float]:
    """What one call decodes, its seconds, and its seconds of CPU time."""
    began, cpu = time.perf_counter(), time.process_time()
    responses = decode(*arguments)
    return responses, time.perf_counter() - began, time.process_time() - cpu


def compare(runs: int, *arguments: object) -> dict[str, float]:
    """Medians over pairs of runs, after one pair to warm up. CPU time is what a busy machine disturbs least."""
    speeds, ratios, cpu_ratios = [], [], []
    for _ in range(runs + 1):
        a, own, own_cpu = timed(ours, *arguments)
        b, peer, peer_cpu = timed(theirs, *arguments)
        assert [len(r) for r in a] == [len(r) for r in b] and (arguments[-1] or a == b), "the two decoded differently"
        speeds.append((sum(map(len, a)) / own, sum(map(len, b)) / peer))
        ratios.append(peer / own)
        cpu_ratios.append(peer_cpu / own_cpu)
    rlsp, transformers = (round(statistics.median(column)) for column in zip(*speeds[1:], strict=True))
    ratio, cpu_ratio = (round(statistics.median(values[1:]), 2) for values in (ratios, cpu_ratios))
    return {"rlsp": rlsp, "transformers": transformers, "ratio": ratio, "cpu_time_ratio": cpu_ratio}


def shortened(prompts: Sequence[list[int]]) -> Tokens:
    """Prompts of mixed lengths: every second one loses its first words."""
    return [prompt[: len(prompt) - i % 2 * (i % 7)] for i, prompt in enumerate(prompts)]


def main() -> None:
    """Greedy and sampled, prompts of one length and of mixed lengths; one JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=96, help="new tokens per prompt")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    task = Registry().get("task", "pair_sum").function
    rows = [task(index, "train") for index in range(1000)]
    spec = FromScratch(max_length=options.tokens + 32)
    model, tokenizer = new_model(spec, (row["problem"] + row["solution"] for row in rows), seed=0)
    model.eval().generation_config.eos_token_id = None
    prompts = tokenizer([row["problem"] for row in rows[: options.batch]])["input_ids"]
    for lengths, batch in {"one": prompts, "mixed": shortened(prompts)}.items():
        for name, temperature in {"greedy": 0.0, "sampled": 1.0}.items():
            result = compare(options.runs, model, batch, tokenizer.pad_token_id, options.tokens, temperature)
            print(json.dumps({"prompt_lengths": lengths, "decoding": name, "batch": options.batch, **result}))


if __name__ == "__main__":
    main()
