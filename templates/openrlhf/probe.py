"""Print what an OpenRLHF environment is, and the Ray cluster that it would join, as one JSON object.

Runs in OpenRLHF's own interpreter; needs nothing but that.
"""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

EXACT = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?==([^;\s]+)")
RAY_TIMEOUT_S = 20


def packages():
    """Installed distributions and their versions."""
    return {d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name}


def pins():
    """What this OpenRLHF was made for, package -> version; that of its extra for vLLM is among them."""
    found = (EXACT.match(line) for line in importlib.metadata.requires("openrlhf") or ())
    return {match[1].lower(): match[2] for match in found if match}


def gpus():
    """Names of the GPUs that torch sees."""
    import torch

    return [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]


def gpu_memory():
    """Bytes of each of these GPUs."""
    import torch

    return [torch.cuda.get_device_properties(n).total_memory for n in range(torch.cuda.device_count())]


def driver():
    """Version of NVIDIA's driver; None where there is none."""
    if not shutil.which("nvidia-smi"):
        return None
    ask = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[0] if done.returncode == 0 else None


def nccl():
    """Version of the NCCL that torch talks through; None where it sees no GPU."""
    import torch

    return ".".join(map(str, torch.cuda.nccl.version())) if torch.cuda.is_available() else None


def ray(address):
    """The cluster behind a dashboard: nodes, and [free, all] of its CPUs and GPUs; `problem` if it does not answer."""
    if not address.startswith(("http://", "https://")):
        return {"address": address, "problem": "not the address of a dashboard, as http://HOST:8265"}
    try:
        nodes = ask(address, "api/v0/nodes?detail=1")["result"]["result"]
        status = ask(address, "api/cluster_status")["clusterStatus"]
        version = ask(address, "api/version")["ray_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"address": address, "problem": f"no answer from Ray: {getattr(error, 'reason', error)}"}
    alive = [node for node in nodes if node["state"] == "ALIVE"]
    used = status and status["loadMetricsReport"]["usage"]
    return {
        "address": address,
        "version": version,
        "nodes": len(alive),
        **{f"{name.lower()}s": free(name, alive, used) for name in ("CPU", "GPU")},
    }


def ask(address, path):
    """The data of one answer of the dashboard."""
    with urllib.request.urlopen(f"{address.rstrip('/')}/{path}", timeout=RAY_TIMEOUT_S) as answer:
        found = json.load(answer)
    return found.get("data", found)


def free(name, nodes, used):
    """[free, all] of a resource; a new cluster does not know yet what is used, and then free is None."""
    total = sum(node["resources_total"].get(name, 0) for node in nodes)
    return [None if used is None else total - used.get(name, [0])[0], total]


if __name__ == "__main__":
    answer = {
        "python": sys.version.split()[0],
        "packages": packages(),
        "pins": pins(),
        "gpus": gpus(),
        "gpu_memory": gpu_memory(),
        "driver": driver(),
        "nccl": nccl(),
        "ray": ray(os.environ["RAY_ADDRESS"]) if os.environ.get("RAY_ADDRESS") else None,
    }
    Path(sys.argv[1]).write_text(json.dumps(answer, sort_keys=True), encoding="utf-8")
