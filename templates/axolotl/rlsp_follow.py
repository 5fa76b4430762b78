"""Axolotl plugin: numbers go into metrics.jsonl beside this file; SIGTERM or a file `stop` lead to a checkpoint.

It also keeps the weights that are trained in float32.
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
    "epoch": "epoch",
}
"""Numbers that are kept, and what rlsp calls them."""
STOPPED = 143


class Follow(BasePlugin):
    """What Axolotl loads."""

    def load_datasets(self, cfg, preprocess=False):
        """Load trained weights in float32: with `bf16`, which asks for the computation, Axolotl loads bfloat16 ones.

        This is the last hook before the model is loaded; the data is left to Axolotl. DeepSpeed
        keeps float32 copies of its own, and a model beside adapters is frozen.
        """
        import torch

        if not cfg.adapter and not cfg.deepspeed:
            cfg.torch_dtype = torch.float32

    def add_callbacks_post_trainer(self, cfg, trainer):
        """Follow the trainer."""
        return [Follower(Path(__file__).parent)]


class Follower(TrainerCallback):
    """Writes one line for each log entry of the first process; a process that is told to stop tells the others."""

    def __init__(self, folder):
        self.metrics, self.stop, self.told = folder / "metrics.jsonl", folder / "stop", False
        self.began = 0

    def on_train_begin(self, args, state, control, **_):
        """Listen; and refuse to train when the processes of the job do not train together."""
        wanted = int(os.environ.get("WORLD_SIZE", "1"))
        if args.world_size != wanted:
            raise RuntimeError(
                f"{wanted} processes were started, and each trains as one of {args.world_size}"
            )
        signal.signal(signal.SIGTERM, self._stop)
        self.began = state.global_step

    def on_log(self, args, state, control, logs=None, **_):
        """Append what is a number, but not what is measured once more when a training goes on."""
        if 0 < self.began == state.global_step and "eval_loss" in (logs or {}):
            return
        found = {name: logs[key] for key, name in NAMES.items() if key in (logs or {})}
        row = {name: value for name, value in found.items() if math.isfinite(value)}
        if not state.is_world_process_zero or not {"loss", "eval_loss"} & set(found):
            return
        if row.keys() != found.keys():
            row["text"] = "not finite: " + ", ".join(sorted(found.keys() - row.keys()))
        steps = {"step": max(state.global_step - 1, 0), "total_steps": state.max_steps}
        with self.metrics.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**steps, **row}) + "\n")

    def on_step_end(self, args, state, control, **_):
        """Save and leave when any process was told to."""
        if self._anybody_told(args):
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args, state, control, **_):
        """A stopped training is not a finished one: what it has saved is a checkpoint, not a model to hand over."""
        if state.global_step < state.max_steps and self._anybody_told(args):
            if state.is_world_process_zero and (report := os.environ.get("RLSP_ERROR_FILE")):
                message = f"stopped after step {state.global_step}, with a checkpoint"
                Path(report).write_text(
                    json.dumps({"exit_code": STOPPED, "message": message}), encoding="utf-8"
                )
            sys.exit(STOPPED)

    def _stop(self, *_):
        self.told = True

    def _anybody_told(self, args):
        import torch
        from torch import distributed

        self.told = self.told or self.stop.exists()
        if not distributed.is_initialized():
            return self.told
        flag = torch.tensor([float(self.told)], device=args.device)
        distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
        self.told = bool(flag.item())
        return self.told
