"""Run in Axolotl's interpreter: train stages one after the other, each in a fork of its own.

`python stages.py FOLDER...`: the imports, which take most of a short training, are done once. A
stage's folder gets formats.json: the formats of weights, of those that are trained, of the
optimiser's states and of linear layers' results at the end of the last step.

Transformers allows bfloat16 on GPUs alone; that check is the only thing that is answered for here.
"""

import json
import os
import sys
from pathlib import Path

import torch


def main(folders):
    """Train each stage; the code of the first that fails."""
    import axolotl.cli.config
    import axolotl.train  # noqa: F401 (for all forks)

    for folder in folders:
        child = os.fork()
        if not child:
            train(Path(folder))
            sys.exit()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            sys.exit(f"{folder} ended with code {code}")


def train(folder):
    """Train by the stage's own start.py, and look at the end of each step."""
    from transformers import training_args
    from transformers.utils import import_utils

    training_args.is_torch_bf16_gpu_available = import_utils.is_torch_bf16_gpu_available = lambda: (
        True
    )
    sys.path.insert(0, str(folder))
    import rlsp_follow
    import start

    results = set()

    def keep(module, _, result):
        if type(module) is torch.nn.Linear:
            results.add(str(result.dtype))

    def on_step_end(self, args, state, control, model=None, optimizer=None, **_):
        weights = list(model.parameters())
        trained = [weight for weight in weights if weight.requires_grad]
        states = [
            value
            for one in optimizer.state.values()
            for value in one.values()
            if torch.is_tensor(value)
        ]
        found = {
            "weights": formats(weights),
            "trained": formats(trained),
            "results": sorted(results),
        }
        found["states"] = formats(value for value in states if value.dim())
        (folder / "formats.json").write_text(json.dumps(found))

    rlsp_follow.Follower.on_step_end = on_step_end
    torch.nn.modules.module.register_module_forward_hook(keep)
    start.main(str(folder / "axolotl.yaml"))


def formats(tensors):
    """Their names, each once."""
    return sorted({str(tensor.dtype) for tensor in tensors})


if __name__ == "__main__":
    main(sys.argv[1:])
