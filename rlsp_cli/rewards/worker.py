"""The process that runs plugins: `python -P -m rlsp_cli.rewards.worker`.

It reads JSON lines {use, samples} and answers each with one JSON line, so that the parent never loads objects from
here. What a plugin prints goes to stderr.
"""

import ctypes
import json
import math
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from rlsp_cli.errors import PluginError
from rlsp_cli.rewards.registry import Plugin, Registry
from rlsp_cli.rewards.sample import Sample, Verdict

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer requests until the parent closes the pipe."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers itself
    _die_with_parent()
    setup = json.loads(sys.stdin.readline())
    _limit(setup["memory_bytes"])
    _say(replies, _warm(setup["uses"]))
    for line in sys.stdin:
        request = json.loads(line)
        _say(replies, score(request["use"], [Sample(**data) for data in request["samples"]]))


def score(use: dict[str, Any], samples: Sequence[Sample]) -> dict[str, Any]:
    """Run one plugin on one sample, or on the group; anything that it raises is an outcome, not a crash."""
    began = time.perf_counter()
    try:
        outcomes = [_outcome(result) for result in _call(use, samples)]
    except MemoryError:
        outcomes = [{"outcome": "error", "reason": "MemoryError: over reward.memory_gb"}] * len(samples)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
        outcomes = [{"outcome": "error", "reason": reason}] * len(samples)
    return {"outcomes": outcomes, "ms": round((time.perf_counter() - began) * 1000, 3)}


def _call(use: dict[str, Any], samples: Sequence[Sample]) -> Sequence[Any]:
    """One result for each sample."""
    function = _plugin(use["kind"], use["reference"], tuple(use["files"])).function
    if not use["takes_group"]:
        return [function(samples[0], **use["options"])]
    results = function(samples, **use["options"])
    if not isinstance(results, list) or len(results) != len(samples):
        found = f"{len(results)} items" if isinstance(results, list) else type(results).__name__
        raise ValueError(f"returned {found}, expected a list of {len(samples)}")
    return results


def _outcome(result: Any) -> dict[str, Any]:
    """What a plugin returned, as an outcome; a value that is no finite number is an error."""
    if result is None:
        return {"outcome": "abstain"}
    answer = None
    if isinstance(result, Verdict):
        result, answer = result
    if not isinstance(result, bool | int | float) or not math.isfinite(result):
        return {"outcome": "error", "reason": f"returned {result!r}, expected a finite number"}
    return {"outcome": "value", "value": float(result), "answer": answer}


@cache
def _plugin(kind: str, reference: str, files: tuple[str, ...]) -> Plugin:
    return Registry().get(kind, reference, files)


def _warm(uses: list[dict[str, Any]]) -> dict[str, Any]:
    """Import the plugins and run each once, so that no sample pays for slow imports; a missing one is told.

    Exploration rewards are given an empty response, about which none needs to ask anybody.
    """
    for use in uses:
        try:
            _plugin(use["kind"], use["reference"], tuple(use["files"]))
        except PluginError as error:
            return {"ready": False, "reason": str(error)}
        response = "\\boxed{1}" if use["kind"] == "verifier" else ""
        score(use, [Sample(prompt="1", response=response, reference="2", num_tokens=1)])
    return {"ready": True}


def _die_with_parent() -> None:
    """A plugin in an endless loop would not notice that nobody waits for it any more; Linux can tell the kernel."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(replies: TextIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
