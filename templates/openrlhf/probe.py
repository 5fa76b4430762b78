"""Print what an OpenRLHF environment is, and the Ray cluster that it would join, as one JSON object.

Runs in OpenRLHF's own interpreter; needs nothing but that.
"""

import importlib.metadata
import re
import shutil
import subprocess

PIN = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?==([^;\s]+)")
RAY_TIMEOUT_S = 20


def packages():
    """Installed distributions and their versions."""
    return {d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name}


def pins():
    """What this OpenRLHF was made for: package -> version, its extra for vLLM included."""
    matches = [PIN.match(line) for line in importlib.metadata.requires("openrlhf") or ()]
    return {match[1].lower(): match[2] for match in matches if match}


def gpus():
    """Names of the GPUs that torch sees."""
    import torch

    return [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]


def driver():
    """Version of NVIDIA's driver; None without one."""
    if not shutil.which("nvidia-smi"):
        return None
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout.strip() else None


def nccl():
    """Version of NCCL in this torch; None where it has no CUDA."""
    import torch

    return ".".join(map(str, torch.cuda.nccl.version())) if torch.cuda.is_available() else None


def ray_state(address):
    """Nodes, and GPUs and CPUs as [free, all], of the cluster at `address`; or `problem`, why it does not answer."""
    code = f"import probe; print(probe.ask_ray({address!r}))"
    return code
