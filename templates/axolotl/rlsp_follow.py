"""Axolotl plugin: writes metrics.jsonl beside this file, and saves when it is asked to stop.

A request is SIGTERM, or a file `stop` beside this file. The plugin also keeps the weights that are
trained in float32.
"""

import json
import math
import os
import signal
import sys
from pathlib import Path

from axolotl.integrations.base import BasePlugin
from transformers import TrainerCallback

NAMES = {
    "loss": "loss",
    "learning_rate": "lr",
    "grad_norm": "grad_norm",
    "eval_loss": "eval_loss",
    # Of pairs of responses alone.
    "rewards/accuracies": "accuracy",
    "rewards/chosen": "reward_chosen",
    "rewards/rejected": "reward_rejected",
    "eval_rewards/accuracies": "eval_accuracy",
    "eval_rewards/chosen": "eval_reward_chosen",
    "eval_rewards/rejected": "eval_reward_rejected",
    "epoch": "epoch",
}
"""The trainer's numbers that are kept -> their names in metrics.jsonl."""
STOPPED = 143
"""Exit code of a process that SIGTERM ended."""


class Follow(BasePlugin):
    """The plugin that axolotl.yaml names."""

    def load_datasets(self, cfg, preprocess=False):
        """Have the trained weights loaded in float32, which Axolotl does not with `bf16`.

        That key asks for the computation, and updates of a small learning rate vanish in bfloat16
        weights. The hook has another purpose, but is the last one before the model is loaded;
        it returns nothing, which leaves the data to Axolotl.
        """
        import torch

        # DeepSpeed keeps float32 copies of its own, and a model beside adapters is frozen.
        if not cfg.adapter and not cfg.deepspeed:
            cfg.torch_dtype = torch.float32

    def add_callbacks_post_trainer(self, cfg, trainer):
        """Add our callback to the trainer's."""
        return [Follower(Path(__file__).parent)]


class Follower(TrainerCallback):
    """Writes a line for each log entry, and stops all processes when one is asked to."""

    def __init__(self, folder):
        self.metrics, self.stop_file = folder / "metrics.jsonl", folder / "stop"
        self.asked_to_stop = False
        self.began = 0

    def on_train_begin(self, args, state, control, **_):
        """Listen for SIGTERM. RuntimeError when the processes of the job do not train together."""
        # Each would train on all data by itself: the numbers would look right and be wrong.
        wanted = int(os.environ.get("WORLD_SIZE", "1"))
        if args.world_size != wanted:
            raise RuntimeError(
                f"{wanted} processes were started, and each trains as one of {args.world_size}"
            )

        signal.signal(signal.SIGTERM, self._ask_to_stop)
        self.began = state.global_step

    def on_log(self, args, state, control, logs=None, **_):
        """Append a row to metrics.jsonl; numbers that are not finite are named in its `text`."""
        logs = logs or {}
        found = {name: logs[key] for key, name in NAMES.items() if key in logs}
        if not state.is_world_process_zero or not {"loss", "eval_loss"} & set(found):
            return

        # What a resumed training measures before its first step is in the file already.
        if 0 < self.began == state.global_step and "eval_loss" in logs:
            return

        row = {name: value for name, value in found.items() if math.isfinite(value)}
        if row.keys() != found.keys():
            row["text"] = "not finite: " + ", ".join(sorted(found.keys() - row.keys()))

        # The trainer counts steps that are done, metrics.jsonl numbers them from 0.
        steps = {"step": max(state.global_step - 1, 0), "total_steps": state.max_steps}
        with self.metrics.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**steps, **row}) + "\n")

    def on_step_end(self, args, state, control, **_):
        """Save and leave when any process was asked to stop."""
        if self._any_asked_to_stop(args):
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args, state, control, **_):
        """End a stopped process here: what it saved is a checkpoint, and not a model to publish."""
        if state.global_step >= state.max_steps or not self._any_asked_to_stop(args):
            return

        report = os.environ.get("RLSP_ERROR_FILE")
        if state.is_world_process_zero and report:
            message = f"stopped after step {state.global_step}, with a checkpoint"
            text = json.dumps({"exit_code": STOPPED, "message": message})
            Path(report).write_text(text, encoding="utf-8")
        sys.exit(STOPPED)

    def _ask_to_stop(self, *_):
        self.asked_to_stop = True

    def _any_asked_to_stop(self, args):
        import torch
        from torch import distributed

        self.asked_to_stop = self.asked_to_stop or self.stop_file.exists()
        if not distributed.is_initialized():
            return self.asked_to_stop

        # A signal reaches one process before another, and a file is seen late on some: all take the
        # same step as their last, or those that go on would wait for the others for ever.
        flag = torch.tensor([float(self.asked_to_stop)], device=args.device)
        distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
        self.asked_to_stop = bool(flag.item())
        return self.asked_to_stop
