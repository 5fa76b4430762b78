"""Write what an OpenRLHF environment has, and the Ray cluster it would join, as a JSON object.

    python probe.py ANSWER.json

Runs in OpenRLHF's own interpreter, and needs nothing else. Its stdin holds `ray`, the way to the
dashboard: address, url and headers, or a problem; null for no cluster.
"""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

EXACT = re.compile(r"([\w.-]+)(?:\[[\w,-]+\])?==([^;\s]+)")
"""A requirement of one version, with or without extras: `ray[default]==2.55.0`."""
RAY_TIMEOUT_S = 20


def packages():
    """Installed distributions and their versions."""
    return {d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name}


def pins():
    """Packages that this OpenRLHF pins -> version; the vLLM of its extra is among them."""
    found = (EXACT.match(line) for line in importlib.metadata.requires("openrlhf") or ())
    return {match[1].lower(): match[2] for match in found if match}


def gpus():
    """Names of the GPUs that torch sees."""
    import torch

    return [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]


def gpu_memory():
    """Bytes of each of these GPUs."""
    import torch

    devices = range(torch.cuda.device_count())
    return [torch.cuda.get_device_properties(n).total_memory for n in devices]


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


def ray(dashboard):
    """The cluster behind a dashboard: nodes, [free, all] of CPUs and GPUs, or the `problem`."""
    known = {"address": dashboard["address"]}
    if "problem" in dashboard:
        return {**known, "problem": dashboard["problem"]}
    try:
        nodes = ask(dashboard, "api/v0/nodes?detail=1")["result"]["result"]
        status = ask(dashboard, "api/cluster_status")["clusterStatus"]
        version = ask(dashboard, "api/version")["ray_version"]
    except urllib.error.HTTPError as error:
        reason = f"{error.code} {error.reason}{hint(error, dashboard['headers'])}"
        return {**known, "problem": f"no answer from Ray: {reason}"}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {**known, "problem": f"no answer from Ray: {getattr(error, 'reason', error)}"}

    alive = [node for node in nodes if node["state"] == "ALIVE"]
    used = status and status["loadMetricsReport"]["usage"]  # null on a cluster that is still new
    counts = {"cpus": free("CPU", alive, used), "gpus": free("GPU", alive, used)}
    return {**known, "version": version, "nodes": len(alive), **counts}


def ask(dashboard, path):
    """The data of one answer of the dashboard."""
    request = urllib.request.Request(f"{dashboard['url']}/{path}")

    # Headers may be secret: no redirect takes them to another place, and no proxy sees them.
    for name, value in dashboard["headers"].items():
        request.add_unredirected_header(name, value)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=RAY_TIMEOUT_S) as answer:
        found = json.load(answer)
    return found.get("data", found)


def hint(error, headers):
    """What to set when the dashboard refuses us."""
    if error.code not in (401, 403):
        return ""
    if error.headers.get("WWW-Authenticate", "").lower().startswith("basic"):
        return "; it wants a user and a password: RAY_ADDRESS=http://USER:PASSWORD@HOST:PORT"
    if any(value.startswith("Bearer ") for value in headers.values()):
        return "; RAY_AUTH_TOKEN is not this cluster's token"
    return "; set RAY_AUTH_TOKEN to the cluster's token"


def free(name, nodes, used):
    """[free, all] of a resource; free is None while a new cluster does not know what is `used`."""
    total = sum(node["resources_total"].get(name, 0) for node in nodes)
    if used is None:
        return [None, total]
    return [total - used.get(name, [0])[0], total]


if __name__ == "__main__":
    handed = json.load(sys.stdin)["ray"]
    answer = {
        "python": sys.version.split()[0],
        "packages": packages(),
        "pins": pins(),
        "gpus": gpus(),
        "gpu_memory": gpu_memory(),
        "driver": driver(),
        "nccl": nccl(),
        "ray": ray(handed) if handed else None,
    }
    Path(sys.argv[1]).write_text(json.dumps(answer, sort_keys=True), encoding="utf-8")
