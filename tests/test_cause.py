"""Why a process failed, by its log: each excerpt is what the program really prints."""

import re

import pytest

from rlsp_cli.child import cause
from rlsp_cli.child.cause import last_error, last_lines, likely_cause

LOGS = {
    "a node is out of memory (not a GPU)": """\
    raise value
ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.
Memory on the node (IP: 10.0.0.7, ID: fc2befb2) where the task was running was 59.49GB / 62.58GB (0.950744), which \
exceeds the memory usage threshold of 0.95.
""",
    "out of GPU memory": """\
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.11 GiB of \
which 1.03 GiB is free.
""",
    "out of memory; lower micro_batch or max_length": """\
  File "<string>", line 1, in <module>
RuntimeError: [enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
allocate 4000000000000000 bytes. Error code 12 (Cannot allocate memory)
""",
    "the disk is full": "OSError: [Errno 28] No space left on device\n",
    "no GPU here": """\
    raise AssertionError("Torch not compiled with CUDA enabled")
AssertionError: Torch not compiled with CUDA enabled
""",
    "the port is taken": """\
torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. port: 29500, \
useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use
""",
    "a machine did not join in time": """\
    raise RendezvousTimeoutError
torch.distributed.elastic.rendezvous.api.RendezvousTimeoutError
""",
    "GPUs could not talk to each other (NCCL)": """\
[E ProcessGroupNCCL.cpp:607] [Rank 4] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1580, \
OpType=ALLREDUCE, NumelIn=466119168, NumelOut=466119168, Timeout(ms)=600000) ran for 600067 milliseconds before \
timing out.
""",
    "the hub cannot be reached": """\
OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.
Check your internet connection or see how to run the library in offline mode.
""",
    "the hub refused access": """\
huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-66f4b037;5601d2c9)

Cannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.
Access to model meta-llama/Llama-3.1-8B is restricted. You must have access to it and be authenticated to access it.
""",
    "no such model or data set on the hub": """\
huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: Root=1-67545d8b;a38b7bcf)

Repository Not Found for url: https://huggingface.co/api/models/org/nothing/revision/main.
If you are trying to access a private or gated repo, make sure you are authenticated.
""",
    "the backend refused its configuration": """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for AxolotlInputConfig
learning_rates
  Extra inputs are not permitted [type=extra_forbidden, input_value=1, input_type=int]
""",
    "mixed precisions": """\
    return F.linear(input, self.weight, self.bias)
RuntimeError: mat1 and mat2 must have the same dtype, but got BFloat16 and Float
""",
    "the backend's environment lacks a package": "ModuleNotFoundError: No module named 'flash_attn'\n",
    "a key or a column is missing": """\
  File "datasets/arrow_dataset.py", line 2772, in __getitem__
KeyError: "Column prompt not in the dataset. Current columns in the dataset: ['question', 'answer']"
""",
}
FURTHER = {
    "out of GPU memory": [
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
    "out of memory; lower micro_batch or max_length": ["MemoryError"],
    "the disk is full": ["OSError: [Errno 122] Disk quota exceeded"],
    "no GPU here": [
        "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU",
        "RuntimeError: No CUDA GPUs are available",
    ],
    "the port is taken": ["OSError: [Errno 98] Address already in use"],
    "a machine did not join in time": [
        "torch.distributed.elastic.rendezvous.api.RendezvousConnectionError: The connection to the C10d store has"
        " failed. See inner exception for details.",
        "torch.distributed.DistNetworkError: The client socket has timed out after 2000ms while trying to connect to"
        " (localhost, 29779).",
    ],
    "GPUs could not talk to each other (NCCL)": [
        "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1691, unhandled system error",
        "ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.",
    ],
    "the hub cannot be reached": [
        "huggingface_hub.errors.OfflineModeIsEnabled: Cannot reach https://huggingface.co/org/name: offline mode",
        "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder",
        "requests.exceptions.ConnectionError: HTTPSConnectionPool: Max retries exceeded with url: /api/models",
        "socket.gaierror: [Errno -2] Name or service not known",
    ],
    "the hub refused access": [
        "requests.exceptions.HTTPError: 403 Client Error: Forbidden for url"
    ],
    "no such model or data set on the hub": [
        "requests.exceptions.HTTPError: 404 Client Error: Not Found for url"
    ],
    "mixed precisions": [
        "RuntimeError: expected mat1 and mat2 to have the same dtype, but got: float != c10::BFloat16"
    ],
    "the backend's environment lacks a package": [
        "ImportError: cannot import name 'Muon' from 'torch.optim'"
    ],
}


@pytest.mark.parametrize("expected", LOGS)
def test_a_log_is_recognised_by_what_it_says(expected: str) -> None:
    found = likely_cause(LOGS[expected], 1)
    assert found is not None
    assert found.startswith(expected)


@pytest.mark.parametrize(
    ("expected", "line"), [(name, line) for name, lines in FURTHER.items() for line in lines]
)
def test_other_words_for_a_cause_are_recognised_too(expected: str, line: str) -> None:
    found = likely_cause(line, 1)
    assert found is not None
    assert found.startswith(expected)


def test_every_alternative_of_every_pattern_has_an_excerpt() -> None:
    excerpts = [*LOGS.values(), *(line for lines in FURTHER.values() for line in lines)]
    alternatives = [part for pattern, _ in cause._CAUSES for part in split(pattern)]

    missing = [part for part in alternatives if not any(re.search(part, e) for e in excerpts)]
    assert missing == []


def split(pattern: str) -> list[str]:
    """The alternatives of a pattern; those in a group belong to one of them."""
    return re.split(r"\|(?![^(]*\))", pattern)


def test_a_log_without_a_known_cause_has_none() -> None:
    assert likely_cause("ValueError: the answer is 42", 1) is None


@pytest.mark.parametrize("code", [-9, 137])
def test_a_process_that_was_killed_has_a_cause_without_any_log(code: int) -> None:
    found = likely_cause("step 7, loss 0.3", code)
    assert found is not None
    assert found.startswith("something killed it")


def test_what_a_killed_process_has_printed_comes_before_its_code() -> None:
    assert likely_cause("No space left on device", 137) == likely_cause(
        "No space left on device", 1
    )


def test_the_last_error_is_not_that_of_the_launcher() -> None:
    log = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "train.py", line 3, in <module>
[rank0]: ValueError: too few rows
E1129 12:00:01.000000 70 torch/distributed/elastic/multiprocessing/api.py:874] failed (exitcode: 1) local_rank: 0
torch.distributed.elastic.multiprocessing.errors.ChildFailedError: train.py FAILED
============================================================
"""
    assert last_error(log) == "ValueError: too few rows"


def test_the_last_error_of_an_engine_is_that_of_its_worker() -> None:
    log = """\
(EngineCore_0 pid=41) ERROR 11-29 12:00:01 [core.py:700] ValueError: No available memory for the cache blocks.
RuntimeError: Engine core initialization failed. See root cause above.
"""
    assert last_error(log) == "ValueError: No available memory for the cache blocks."


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("first\nlast\n\n", "last"),
        ("ChildFailedError: train.py FAILED\n", "ChildFailedError: train.py FAILED"),
        ("\n \n", "it printed nothing"),
        ("", "it printed nothing"),
    ],
)
def test_without_an_error_the_last_line_stands(log: str, expected: str) -> None:
    assert last_error(log) == expected


def test_the_last_lines_leave_out_progress_bars() -> None:
    bar = "Loading: 0%|  | 0/2\rLoading: 100%|##| 2/2\n"
    assert last_lines(f"a\nb\n{bar}c\n\n", count=2) == ["b", "c"]
