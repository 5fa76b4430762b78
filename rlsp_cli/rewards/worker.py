"""The process that runs plugins: `python -m rlsp_cli.rewards.worker`.

It reads JSON lines {plugin, sample} and answers each with one JSON line, so that the parent never loads objects from
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
    _die_with_parent()
    setup = json.loads(sys.stdin.readline())
    _limit(setup["memory_bytes"])
    _say(replies, _warm(setup["plugins"]))
    for line in sys.stdin:
        request = json.loads(line)
        _say(replies, score(request["plugin"], _sample(request["sample"])))


def score(use: dict[str, Any], sample: Sample) -> dict[str, Any]:
    """Run one plugin on one sample; anything that it raises is an outcome, not a crash."""
    began = time.perf_counter()
    try:
        plugin = _plugin(use["kind"], use["reference"], tuple(use["files"]))
        outcome = _outcome(plugin.function(sample, **use["options"]))
    except MemoryError:
        outcome = {"outcome": "error", "reason": "MemoryError: over reward.memory_gb"}
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
        outcome = {"outcome": "error", "reason": reason}
    return {**outcome, "ms": round((time.perf_counter() - began) * 1000, 3)}


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


def _sample(data: dict[str, Any]) -> Sample:
    return Sample(**{**data, "group": tuple(_sample(other) for other in data["group"])})


def _warm(uses: list[dict[str, Any]]) -> dict[str, Any]:
    """Import the plugins and run each once, so that no sample pays for slow imports; a missing one is told."""
    for use in uses:
        try:
            _plugin(use["kind"], use["reference"], tuple(use["files"]))
        except PluginError as error:
            return {"ready": False, "reason": str(error)}
        score(use, Sample(prompt="1", response="\\boxed{1}", reference="2", num_tokens=1))
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
