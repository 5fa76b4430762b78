"""Tokens per second of our decoding beside transformers' `model.generate`, batch 128, fp32 on the CPU.

Same weights, prompts, number of tokens and process. Greedy responses must be equal, or the script
fails. With `--model`, a trained model such as a quickstart's sft/checkpoints/final, responses also
end by themselves.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedModel

from rlsp_cli.engine.decode import Sampling, generate
from rlsp_cli.engine.model import new_model
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.rewards.registry import get_plugin

Tokens = list[list[int]]
NO_TOKEN = -1


@dataclass(frozen=True)
class Work:
    """What both sides decode: one response of at most `length` tokens to each prompt."""

    model: PreTrainedModel
    prompts: Tokens
    length: int
    temperature: float
    pad_id: int
    eos_id: int


def ours(work: Work) -> Tokens:
    """The responses of rlsp."""
    count = len(work.prompts)
    done = dict(
        generate(
            work.model,
            work.prompts,
            Sampling(work.length, work.temperature),
            seeds=range(count),
            eos_ids={work.eos_id},
            pad_id=work.pad_id,
            at_once=count,
        )
    )
    return [done[row].tokens for row in range(count)]


def theirs(work: Work) -> Tokens:
    """The responses of transformers, cut behind their end token."""
    width = max(map(len, work.prompts))
    tokens = torch.tensor(
        [[work.pad_id] * (width - len(prompt)) + prompt for prompt in work.prompts]
    )
    mask = torch.tensor(
        [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in work.prompts]
    )
    sampling = (
        {"do_sample": True, "temperature": work.temperature, "top_k": 0} if work.temperature else {}
    )
    end = None if work.eos_id == NO_TOKEN else work.eos_id
    settings = GenerationConfig(
        max_new_tokens=work.length, pad_token_id=work.pad_id, eos_token_id=end, **sampling
    )
    with torch.inference_mode():
        done = work.model.generate(tokens, attention_mask=mask, generation_config=settings)[
            :, width:
        ].tolist()
    return [
        response[: response.index(end) + 1] if end in response else response for response in done
    ]


def timed(decode: Callable[[Work], Tokens], work: Work) -> tuple[Tokens, float, float]:
    """The responses, tokens per second, and tokens per second of CPU time."""
    began, cpu = time.perf_counter(), time.process_time()
    responses = decode(work)
    wall, cpu, count = (
        time.perf_counter() - began,
        time.process_time() - cpu,
        sum(map(len, responses)),
    )
    return responses, count / wall, count / cpu


def compare(work: Work, runs: int) -> dict[str, float]:
    """Medians over pairs of runs, after one pair to warm up. CPU time is what a busy machine disturbs least."""
    pairs = []
    for _ in range(runs + 1):
        (a, *own), (b, *peer) = timed(ours, work), timed(theirs, work)
        assert work.temperature or a == b, "the two decoded differently"
        pairs.append((own[0], peer[0], own[0] / peer[0], own[1] / peer[1]))
    rlsp, transformers, ratio, cpu_ratio = (
        statistics.median(column) for column in zip(*pairs[1:], strict=True)
    )
    return {
        "rlsp": round(rlsp),
        "transformers": round(transformers),
        "ratio": round(ratio, 2),
        "cpu_time_ratio": round(cpu_ratio, 2),
    }


def main() -> None:
    """Greedy and sampled, with prompts of one length and of mixed lengths; one JSON line each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, help="a trained model folder: measure responses that end, too"
    )
    parser.add_argument("--tokens", type=int, default=96, help="longest response")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    task = get_plugin("task", "pair_sum").function
    rows = [task(index, "train", largest=12) for index in range(1000)]
    if options.model:
        tokenizer = AutoTokenizer.from_pretrained(options.model)
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    else:
        spec = FromScratch(max_length=options.tokens + 32)
        model, tokenizer = new_model(
            spec, (row["problem"] + row["solution"] for row in rows), seed=0
        )
    model.eval().generation_config = GenerationConfig()
    equal = tokenizer([row["problem"] for row in rows[:128]])["input_ids"]
    mixed = [prompt[i % 7 :] for i, prompt in enumerate(equal)]
    for end in (NO_TOKEN, tokenizer.eos_token_id) if options.model else (NO_TOKEN,):
        for lengths, prompts in {"equal": equal, "mixed": mixed}.items():
            for temperature in (0.0, 1.0):
                work = Work(
                    model, prompts, options.tokens, temperature, tokenizer.pad_token_id, end
                )
                case = {
                    "responses_end": end != NO_TOKEN,
                    "prompt_lengths": lengths,
                    "temperature": temperature,
                }
                print(json.dumps({**case, **compare(work, options.runs)}), flush=True)


if __name__ == "__main__":
    main()
