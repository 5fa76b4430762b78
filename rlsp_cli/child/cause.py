"""Why a backend's process failed, guessed from its last lines, with the next move."""

import re

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
    (r"GatedRepo|401 Client Error|403 Client Error", "the hub refused access; log in, and accept the model's licence"),
    (r"RepositoryNotFound|404 Client Error", "no such model or data set on the hub"),
    (r"ValidationError|Extra inputs are not permitted", "the backend refused its configuration"),
    (r"must have the same dtype", "mixed precisions; set model.precision"),
    (r"ModuleNotFoundError|ImportError", "the backend's environment lacks a package; see `rlsp backends doctor`"),
    (r"KeyError", "a key or a column is missing"),
)  # fmt: skip


_SPEAKER = re.compile(
    r"^(\[\w+\d+\]: ?|\(\w+ pid=\d+\) ((ERROR|WARNING|INFO) [-\d]+ [:\d]+ \[\S+\] ?)?)"
)
"""Which process of a job has written a line: torchrun's way of saying it, and vLLM's."""
_RAISED = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b(: |$)|Value error, ")
_OF_A_CHILD = re.compile(
    r"ChildFailedError|Engine core initialization failed|WorkerProc initialization failed"
)
"""What a parent raises when one of its processes has failed, and has said why."""


def last_words(log: str) -> str:
    """The last exception in a log, or else its last line; launchers print pages after the line that matters."""
    lines = [_SPEAKER.sub("", line).strip() for line in log.splitlines()]
    raised = [line for line in lines if _RAISED.match(line)]
    inner = [line for line in raised if not _OF_A_CHILD.search(line)]
    return next(iter([*inner[-1:], *[line for line in lines if line][-1:]]), "it printed nothing")


def last_lines(log: str, count: int = 5) -> list[str]:
    """The last lines, without those of progress bars."""
    lines = [line.rpartition("\r")[2].rstrip() for line in log.splitlines()]
    return [line for line in lines if line and not re.search(r"\d+%\|", line)][-count:]


def likely_cause(log: str, code: int) -> str | None:
    """The first known cause in the log of a process that ended with `code`; None when nothing is recognised."""
    for pattern, cause in _CAUSES:
        if re.search(pattern, log):
            return cause
    if code in (-9, 137):
        return "something killed it, perhaps the system for lack of memory; see `dmesg`"
    return None
