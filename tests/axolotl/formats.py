"""Run in Axolotl's interpreter beside a stage's start.py: train with `bf16` on a CPU, and tell the formats of tensors.

Transformers allows bfloat16 on GPUs alone; that check is the only thing that is answered for here. Writes the formats
of weights, of those that are trained, of the optimiser's states and of a linear layer's results to the file named last.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import training_args
from transformers.utils import import_utils

training_args.is_torch_bf16_gpu_available = import_utils.is_torch_bf16_gpu_available = lambda: True
config, answer = sys.argv[1:]
sys.path.insert(0, str(Path(config).parent))

import rlsp_follow  # noqa: E402
import start  # noqa: E402

results = set()


def on_step_end(self, args, state, control, model=None, optimizer=None, **_):
    named = dict(model.named_parameters())
    states = [tensor for one in optimizer.state.values() for tensor in one.values() if torch.is_tensor(tensor)]
    found = {
        "weights": sorted({str(one.dtype) for one in named.values()}),
        "trained": sorted({str(one.dtype) for one in named.values() if one.requires_grad}),
        "states": sorted({str(one.dtype) for one in states if one.dim()}),
        "results": sorted(results),
    }
    Path(answer).write_text(json.dumps(found))


def keep(module, _, result):
    results.add(str(result.dtype))


rlsp_follow.Follower.on_step_end = on_step_end
torch.nn.modules.module.register_module_forward_hook(
    lambda module, args, result: keep(module, args, result) if type(module) is torch.nn.Linear else None
)
start.main(config)
