"""OpenRLHF without GPUs: devices and transports of the CPU where its code names a GPU's.

`rlsp backends install openrlhf --profile cpu` places this file in that environment, as
`rlsp_cpu_shim`, and every interpreter there imports it, Ray's workers too. It does nothing unless
RLSP_OPENRLHF_CPU=1 is set. It changes no algorithm: the same tensors are made, sent and trained, on
another device and by another transport. It uses the standard library, and torch and vLLM once
OpenRLHF itself has imported these.
"""

import importlib.machinery
import os
import sys

SWITCH = "RLSP_OPENRLHF_CPU"


class CpuDevice(str):
    """What `torch.cuda.current_device()` answers: "cpu", and 0 in a name such as f"cuda:{device}"."""

    __slots__ = ()

    def __format__(self, spec):
        """As a GPU's number: such names are only compared, and never used to place a tensor."""
        return format(0, spec)


class GlooBroadcast:
    """The actor's new weights on their way to the engines, in place of vLLM's NCCL communicator."""

    def __init__(self, group):
        self.group = group

    def broadcast(self, tensor, src, stream=None):
        """Send `tensor` from rank `src`, or receive into it."""
        import torch
        from torch.distributed import BroadcastOptions

        options = BroadcastOptions()
        options.rootRank = src

        # As bytes, because gloo does not know every dtype.
        whole = tensor.contiguous()
        self.group.broadcast([whole.view(-1).view(torch.uint8)], options).wait()

        # Where `contiguous` made a copy, what was received is in that.
        if whole.data_ptr() != tensor.data_ptr():
            tensor.copy_(whole)


def on_cpu(device):
    """The CPU for a GPU's name; any other device as it is."""
    return "cpu" if str(device).startswith("cuda") else device


def ignored():
    """A call that has no meaning without a GPU, such as waiting for one; a new one each time.

    torch's compiler keeps a table of these functions and refuses to find one of them under two
    names.
    """
    return lambda *_args, **_kwargs: None


def adapt_torch(torch):
    """Calls of torch.cuda that fail without a driver, and buffers for an engine's new weights."""
    torch.cuda.current_device = lambda: CpuDevice("cpu")
    for name in ("set_device", "synchronize", "empty_cache", "manual_seed_all", "current_stream"):
        setattr(torch.cuda, name, ignored())

    empty = torch.empty

    def empty_on_cpu(*args, **kwargs):
        if "device" in kwargs:
            kwargs["device"] = on_cpu(kwargs["device"])
        return empty(*args, **kwargs)

    torch.empty = empty_on_cpu


def adapt_device_mesh(module):
    """The mesh of processes that DeepSpeed trains on."""
    init_device_mesh = module.init_device_mesh
    module.init_device_mesh = lambda device, *args, **kwargs: init_device_mesh(
        on_cpu(device), *args, **kwargs
    )


def adapt_weight_sync(module):
    """The group of actor and engines: vLLM's own kind of it, with gloo in place of NCCL."""

    def stateless_init_process_group(master_address, master_port, rank, world_size, device):
        from vllm.distributed.utils import stateless_init_torch_distributed_process_group

        return GlooBroadcast(
            stateless_init_torch_distributed_process_group(
                master_address, master_port, rank, world_size, "gloo"
            )
        )

    module.stateless_init_process_group = stateless_init_process_group


def adapt_strategy(module):
    """The moving average of the actor's weights, which is asked for on a GPU."""
    moving_average = module.DeepspeedStrategy.moving_average
    module.DeepspeedStrategy.moving_average = lambda self, model, average, beta, device: (
        moving_average(self, model, average, beta, on_cpu(device))
    )


def adapt_linear_layers(module):
    """Plain matrix products in vLLM: weights packed for the CPU cannot be replaced by new ones."""

    def keep_weight(layer, remove_weight):
        import torch

        layer.cpu_linear = torch.nn.functional.linear

    module.dispatch_cpu_unquantized_gemm = keep_weight


ADAPTED = {
    "torch": adapt_torch,
    "torch.distributed.device_mesh": adapt_device_mesh,
    "openrlhf.utils.distributed_util": adapt_weight_sync,
    "openrlhf.utils.deepspeed.deepspeed": adapt_strategy,
    "vllm.model_executor.layers.utils": adapt_linear_layers,
}
"""Module -> its change, made right after it is loaded, before anything can take a name from it."""


class Loader(importlib.machinery.SourceFileLoader):
    """Loads a module and then adapts it."""

    def exec_module(self, module):
        """Run the module as Python does, and then change it."""
        super().exec_module(module)
        ADAPTED[module.__name__](module)


class Finder:
    """Finds the modules of `ADAPTED` where Python does, and has them loaded by `Loader`."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        """The spec of such a module with our loader; None for others, so that Python looks further."""
        if fullname not in ADAPTED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None:
            spec.loader = Loader(fullname, spec.origin)
        return spec


if os.environ.get(SWITCH) == "1":
    sys.meta_path.insert(0, Finder)
