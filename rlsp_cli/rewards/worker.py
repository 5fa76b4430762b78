"""The process that runs plugins: `python -P -m rlsp_cli.rewards.worker`.

It reads JSON lines {id, use, samples} and answers each with one JSON line of the same id, so that
the parent never loads objects from here, and never takes an answer for another's. What a plugin
prints goes to stderr.
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

from rlsp_cli.errors import NotReadyError, PluginError
from rlsp_cli.rewards.health import Health
from rlsp_cli.rewards.plugin import Plugin
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import CheckedVerdict, Sample, Verdict

_PR_SET_PDEATHSIG = 1
_LONGEST_REASON = 2000
"""Characters of a plugin's message that are kept."""


def main() -> None:
    """Answer requests until the parent closes the pipe."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is for the parent, which ends its workers itself
    _die_with_parent()

    own = os.getpid()
    setup = json.loads(sys.stdin.readline())
    _limit(setup["memory_bytes"])
    _say(replies, own, {"id": setup["id"], **_warm(setup["uses"])})

    health = Health()
    for line in sys.stdin:
        request = json.loads(line)
        reply, error = score(request["use"], [Sample(**data) for data in request["samples"]])
        _say(replies, own, {"id": request["id"], **reply, "fit": health.is_fit_after(error)})


def score(
    use: dict[str, Any], samples: Sequence[Sample]
) -> tuple[dict[str, Any], Exception | None]:
    """Run one plugin on one sample, or on the group; what it raises is an outcome, not a crash, and returned too."""
    began, raised = time.perf_counter(), None
    try:
        outcomes = [_outcome(result) for result in _call(use, samples)]
    except Exception as error:
        raised = error
        outcomes = [{"outcome": "error", "reason": _reason(error)}] * len(samples)
    return {"outcomes": outcomes, "ms": round((time.perf_counter() - began) * 1000, 3)}, raised


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "MemoryError: over reward.memory_gb"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    words = f"{type(error).__name__}: {error}"
    return f"{words[:_LONGEST_REASON]} ({Path(frame.filename).name}:{frame.lineno})"


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
    """What a plugin returned, as an outcome; a value that is not a finite number is an error."""
    if result is None:
        return {"outcome": "abstain"}
    answer, checks = None, None
    if isinstance(result, CheckedVerdict):
        result, answer, checks = result
    elif isinstance(result, Verdict):
        result, answer = result
    if not isinstance(result, bool | int | float) or not math.isfinite(result):
        return {
            "outcome": "error",
            "reason": f"returned {repr(result)[:_LONGEST_REASON]}, expected a finite number",
        }
    return {
        "outcome": "value",
        "value": float(result),
        "answer": None if answer is None else str(answer),
        **_plain(checks),
    }


def _plain(checks: Any) -> dict[str, Any]:
    return (
        {"checks": {str(rule): [bool(one) for one in each] for rule, each in checks.items()}}
        if checks
        else {}
    )


@cache
def _plugin(kind: str, reference: str, files: tuple[str, ...]) -> Plugin:
    return get_plugin(kind, reference, files)


def _warm(uses: list[dict[str, Any]]) -> dict[str, Any]:
    """Import the plugins and run each once, so that no sample pays for slow imports.

    One that is missing, or that cannot work on this machine, is reported. Exploration rewards get
    an empty response, for which none needs to ask a server.
    """
    for use in uses:
        response = "\\boxed{1}" if use["kind"] == "verifier" else ""
        try:
            _plugin(use["kind"], use["reference"], tuple(use["files"]))
            _call(use, [Sample(prompt="1", response=response, reference="2", num_tokens=1)])
        except (PluginError, NotReadyError) as error:
            return {"ready": False, "reason": str(error)}
        except Exception:  # noqa: S112 (so short a sample may be an error to a plugin, and no reason not to start)
            continue
    return {"ready": True}


def _die_with_parent() -> None:
    """A plugin in an endless loop would not notice that its parent has ended; on Linux the kernel kills it then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(replies: TextIO, own: int, message: dict[str, Any]) -> None:
    """Answer, in the process that was asked: a copy of it that a plugin forked would answer twice."""
    if os.getpid() != own:
        os._exit(0)
    replies.write(json.dumps(message) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
