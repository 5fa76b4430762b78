"""A verifier, asked from within another plugin."""

from functools import cache

from rlsp_cli.rewards.plugin import Plugin
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import CheckedVerdict, Sample, Verdict


def judged_by(verifier: str, sample: Sample) -> float | None:
    """What a verifier of this name, or `file.py:function`, says with its default options.

    None when it abstains. PluginError for an unknown name.
    """
    result = _verifier(verifier).function(sample)
    if isinstance(result, Verdict | CheckedVerdict):
        result = result.correct
    return None if result is None else float(result)


@cache
def _verifier(name: str) -> Plugin:
    return get_plugin("verifier", name)
