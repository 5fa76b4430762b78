"""The process that runs plugins: `python -P -m rlsp_cli.rewards.worker`.

It reads JSON lines {id, use, samples} and answers each with one JSON line of the same id: the
parent loads no objects from here, and cannot mistake one answer for another. What a plugin prints
goes to stderr.
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
from functools import cache, partial
from pathlib import Path
from typing import Any, TextIO

from rlsp_cli.errors import NotReadyError, PluginError
from rlsp_cli.recipe.steps import Steps
from rlsp_cli.rewards.health import Health
from rlsp_cli.rewards.model_name import model_options
from rlsp_cli.rewards.models import Address, know_models, tokens_used
from rlsp_cli.rewards.plugin import Plugin
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import CheckedVerdict, Sample, Verdict
from rlsp_cli.rewards.spot_check import SpotCheck
from rlsp_cli.rewards.steps import ScoredSteps, score_steps
from rlsp_cli.rewards.turns import MODEL, Closing, Turn, Turns

_PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h: the signal that a process gets when its parent ends."""
_PROGRAM = "```python\nprint(1)\n```"
"""A turn on which a tool that runs programs has to start its sandbox."""
_LONGEST_REASON = 2000
"""Characters of a plugin's message that are kept."""
_spot_check = SpotCheck()


def main() -> None:
    """Answer requests until the parent closes the pipe."""
    # Standard output becomes standard error, so that a plugin's print is no answer.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    # Ctrl-C is for the parent, which ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()

    own = os.getpid()
    setup = json.loads(sys.stdin.readline())
    _limit(setup["memory_bytes"])
    know_models({name: Address(*address) for name, address in setup["models"].items()})
    _say(replies, own, {"id": setup["id"], **_warm(setup["uses"])})

    health = Health()
    for line in sys.stdin:
        request = json.loads(line)
        samples = [Sample.from_json(data) for data in request["samples"]]
        reply, error = run_plugin(request["use"], samples, request["steps"])
        _say(replies, own, {"id": request["id"], **reply, "fit": health.is_fit_after(error)})


def run_plugin(
    use: dict[str, Any], samples: Sequence[Sample], steps: Sequence[str] | None = None
) -> tuple[dict[str, Any], Exception | None]:
    """The outcomes of a plugin on a sample or on a group, and the error that it raised, if any."""
    began, before, raised = time.perf_counter(), tokens_used(), None
    try:
        outcomes = _outcomes(use, samples, steps)
    except Exception as error:  # what a plugin raises is an outcome, not a crash
        raised = error
        outcomes = [{"outcome": "error", "reason": _reason(error)} for _ in samples]

    # Divided, so that their sum over samples is what was used.
    each, rest = divmod(tokens_used() - before, len(outcomes))
    for number, outcome in enumerate(outcomes):
        outcome["tokens"] = each + (number < rest)
    ms = round((time.perf_counter() - began) * 1000, 3)
    return {"outcomes": outcomes, "ms": ms}, raised


def _outcomes(
    use: dict[str, Any], samples: Sequence[Sample], steps: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    if use["kind"] == "step_scorer":
        return [_step_outcome(use, samples[0], steps)]
    if use["kind"] == "continuation":
        return [_text_outcome(_results(use, samples)[0])]
    return [_outcome(result) for result in _results(use, samples)]


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "MemoryError: over reward.memory_gb"

    frame = traceback.extract_tb(error.__traceback__)[-1]
    # On one line, as it is shown; a plugin's message may have several.
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{words[:_LONGEST_REASON]} ({Path(frame.filename).name}:{frame.lineno})"


def _results(use: dict[str, Any], samples: Sequence[Sample]) -> Sequence[Any]:
    """What the plugin returns for each sample."""
    function = _plugin(use["kind"], use["reference"], tuple(use["files"])).function
    if not use["takes_group"]:
        return [function(samples[0], **use["options"])]

    # A list that is too short would give the scores of one sample to another.
    results = function(samples, **use["options"])
    if not isinstance(results, list) or len(results) != len(samples):
        found = f"{len(results)} items" if isinstance(results, list) else type(results).__name__
        raise ValueError(f"returned {found}, expected a list of {len(samples)}")

    # A number, though it may be read as true or false, is a mistake here.
    others = [result for result in results if not isinstance(result, bool)]
    if use["kind"] == "selector" and others:
        raise ValueError(f"returned {others[0]!r}, expected True or False for each sample")
    return results


def _step_outcome(
    use: dict[str, Any], sample: Sample, texts: Sequence[str] | None
) -> dict[str, Any]:
    """The scores of a response's steps, and their aggregate as its value."""
    function = _plugin(use["kind"], use["reference"], tuple(use["files"])).function
    settings = Steps.model_validate(use["steps"] or {})

    def score(sample: Sample, texts: Sequence[str] | None) -> ScoredSteps:
        ask = partial(function, sample, **use["options"])
        return score_steps(ask, sample.response, settings, texts)

    found = score(sample, texts)
    fault = _spot_check.fault(use["reference"], score, sample, found.steps)
    if fault is not None:
        return {"outcome": "error", "reason": fault}
    if found.value is None:
        reason = "no step was scored" if found.steps else "the response has no steps"
        return {"outcome": "abstain", "reason": reason, "steps": found.steps}
    return {"outcome": "value", "value": found.value, "steps": found.steps}


def _text_outcome(result: Any) -> dict[str, Any]:
    """What a continuation returned: its text is the `answer`, and the value 0 for one that ends the response."""
    if result is None:
        return {"outcome": "abstain"}
    if not isinstance(result, str):
        found = repr(result)[:_LONGEST_REASON]
        return {"outcome": "error", "reason": f"returned {found}, expected a text or None"}

    result.encode()  # half of a surrogate pair is no text; what this raises is the outcome
    goes_on = 0.0 if isinstance(result, Closing) else 1.0
    return {"outcome": "value", "value": goes_on, "answer": result}


def _outcome(result: Any) -> dict[str, Any]:
    """What a plugin returned, as an outcome; a value that is not a finite number is an error."""
    if result is None:
        return {"outcome": "abstain"}

    answer, checks = None, None
    if isinstance(result, CheckedVerdict):
        result, answer, checks = result
    elif isinstance(result, Verdict):
        result, answer = result
    # One NaN among the rewards makes NaN of every weight of the policy.
    if not isinstance(result, bool | int | float) or not math.isfinite(result):
        found = repr(result)[:_LONGEST_REASON]
        return {"outcome": "error", "reason": f"returned {found}, expected a finite number"}

    outcome = {"outcome": "value", "value": float(result), "answer": None}
    if answer is not None:
        outcome["answer"] = str(answer)
    if checks:
        outcome["checks"] = {str(rule): list(map(bool, each)) for rule, each in checks.items()}
    return outcome


@cache
def _plugin(kind: str, reference: str, files: tuple[str, ...]) -> Plugin:
    return get_plugin(kind, reference, files)


def _warm(uses: list[dict[str, Any]]) -> dict[str, Any]:
    """Import the plugins and run each once, so that no sample pays for slow imports.

    A plugin that is missing, or that cannot work on this machine, is reported.
    """
    for use in uses:
        try:
            plugin = _plugin(use["kind"], use["reference"], tuple(use["files"]))
            _outcomes(use, [_first_sample(plugin)])
        except (PluginError, NotReadyError) as error:
            return {"ready": False, "reason": str(error)}
        except Exception:  # noqa: S112 (this sample lacks metadata that a plugin may need)
            continue

    return {"ready": True}


def _first_sample(plugin: Plugin) -> Sample:
    """A sample for which a plugin loads what it needs, and asks no model."""
    # A verifier loads that only for an answer; a model may be paid for each question.
    asks = bool(model_options(plugin.options))
    response = "\\boxed{1}" if plugin.kind == "verifier" and not asks else ""
    turn = Turn(MODEL, "" if asks else _PROGRAM)
    turns = Turns((turn,)) if plugin.kind == "continuation" else None
    return Sample(prompt="1", response=response, reference="2", num_tokens=1, turns=turns)


def _die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, where it can (Linux)."""
    # A plugin in an endless loop would not see the closed pipe.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit(memory_bytes: int) -> None:
    # Both limits, so that a plugin cannot raise the soft one; no core file of many gigabytes.
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _say(replies: TextIO, own: int, message: dict[str, Any]) -> None:
    """Answer, unless this is a process that a plugin has forked: it would answer a second time."""
    if os.getpid() != own:
        os._exit(0)
    replies.write(json.dumps(message) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
