"""Why a backend's process failed, guessed from the end of its log, with the next move."""

import re

# The first match wins, so the order matters: an error that names its cause comes before the general
# one that wraps it. Ray's OutOfMemoryError is about the machine and would else pass for the GPU's;
# torch reports a port in use as a DistNetworkError too; the hub answers 401 for a name that it does
# not know; and a KeyError may follow from anything.
_CAUSES = (
    (r"node running low on memory|ray\.exceptions\.OutOfMemoryError", "a node is out of memory (not a GPU)"),
    (r"CUDA out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED", "out of GPU memory; lower micro_batch"),
    (r"DefaultCPUAllocator|MemoryError|Cannot allocate memory", "out of memory; lower micro_batch or max_length"),
    (r"No space left on device|Disk quota exceeded", "the disk is full; free some and add --resume"),
    (r"Found no NVIDIA driver|No CUDA GPUs are|Error: Torch not compiled with CUDA", "no GPU here; see `nvidia-smi`"),
    (r"EADDRINUSE|[Aa]ddress already in use", "the port is taken; set cluster.port to another"),
    (r"RendezvousTimeout|RendezvousConnectionError|DistNetworkError", "a machine did not join in time, or was lost"),
    (r"NCCL (error|timeout)|ncclSystemError|Watchdog caught collective", "GPUs could not talk to each other (NCCL)"),
    (r"OfflineModeIsEnabled|LocalEntryNotFound|couldn't connect to|Max retries exceeded|Name or service not known",
     "the hub cannot be reached; use local folders, or unset HF_HUB_OFFLINE"),
    (r"RepositoryNotFound|404 Client Error", "no such model or data set on the hub, or a private one; log in"),
    (r"GatedRepo|401 Client Error|403 Client Error", "the hub refused access; log in, and accept the model's licence"),
    (r"ValidationError|Extra inputs are not permitted", "the backend refused its configuration"),
    (r"(must|to) have the same dtype", "mixed precisions; set model.precision"),
    (r"ModuleNotFoundError|ImportError", "the backend's environment lacks a package; see `rlsp backends doctor`"),
    (r"KeyError", "a key or a column is missing"),
)  # fmt: skip

_KILLED = (-9, 137)
"""SIGKILL, as `subprocess` reports it, and as shells and Slurm do."""

_PREFIX = re.compile(
    r"^(\[\w+\d+\]: ?|\(\w+ pid=\d+\) ((ERROR|WARNING|INFO) [-\d]+ [:\d]+ \[\S+\] ?)?)"
)
"""Which process of a job wrote a line, as torchrun and vLLM put it in front."""
_EXCEPTION = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b(: |$)|Value error, ")
_WRAPPER = re.compile(
    r"ChildFailedError|Engine core initialization failed|WorkerProc initialization failed"
)
"""What a parent raises for a failed child, whose own error says more."""
_PROGRESS_BAR = re.compile(r"\d+%\|")


def last_error(log: str) -> str:
    """The last exception in a log without the launcher's wrappers, or else its last line."""
    lines = [_PREFIX.sub("", line).strip() for line in log.splitlines()]

    # Launchers print pages after the exception that matters, so the last line is only a fallback.
    for line in reversed(lines):
        if _EXCEPTION.match(line) and not _WRAPPER.search(line):
            return line

    return next(filter(None, reversed(lines)), "it printed nothing")


def last_lines(log: str, count: int = 5) -> list[str]:
    """The last `count` lines, without those of progress bars."""
    # A progress bar redraws itself after carriage returns, at which `splitlines` splits too.
    lines = [line.rstrip() for line in log.splitlines()]
    return [line for line in lines if line and not _PROGRESS_BAR.search(line)][-count:]


def likely_cause(log: str, code: int) -> str | None:
    """The first known cause in the log of a process that ended with `code`; None for none."""
    for pattern, cause in _CAUSES:
        if re.search(pattern, log):
            return cause

    # A process that SIGKILL ends has no time to print why, so this is only known by the code.
    if code in _KILLED:
        return "something killed it, perhaps the system for lack of memory; see `dmesg`"
    return None
