"""The TRL side of `ppo_vs_trl.py`; runs in an environment with TRL.

Prints completions per second, and per second of CPU time, as its last lines.
"""

import re
import sys
import tempfile
import time

from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer


class Clock(TrainerCallback):
    """Time, and CPU time, at the end of every optimiser step."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.times.append((time.perf_counter(), time.process_time()))


def reward(completions: list[str], answer: list[str], **_: object) -> list[float]:
    """1 when the last box is the answer."""
    found = [re.findall(r"\\boxed\{([^}]*)\}", text) for text in completions]
    return [
        float(bool(boxes) and boxes[-1] == wanted)
        for boxes, wanted in zip(found, answer, strict=True)
    ]


def main(
    model: str,
    data_file: str,
    steps: int,
    prompts: int,
    tokens: int,
    train: int,
    micro: int,
    lora: int,
    precision: str,
) -> None:
    """Train for `steps` rollouts; with `lora` above 0, adapters of that rank.

    With `precision` default TRL decides for itself, which is autocast to bfloat16.
    """
    per_rollout = 8 * prompts // train
    data = load_dataset("json", data_files=data_file, split="train").rename_column(
        "problem", "prompt"
    )
    clock = Clock()
    adapters = None
    if lora:
        adapters = LoraConfig(
            r=lora, lora_alpha=lora, target_modules="all-linear", task_type="CAUSAL_LM"
        )
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=train // micro,
            generation_batch_size=8 * prompts,
            num_generations=8,
            max_completion_length=tokens,
            max_steps=per_rollout * steps,
            temperature=1.0,
            learning_rate=1e-5,
            beta=0.02,
            use_cpu=True,
            bf16=None if precision == "default" else False,
            report_to=[],
            save_strategy="no",
            logging_steps=1000,
            disable_tqdm=True,
            gradient_checkpointing=False,
        )
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=reward,
            args=config,
            train_dataset=data,
            processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
            callbacks=[clock],
            peft_config=adapters,
        )
        trainer.train()
    for first, last in zip(clock.times[per_rollout - 1], clock.times[-1], strict=True):
        print(8 * prompts * (steps - 1) / (last - first))


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:-1]), sys.argv[-1])
