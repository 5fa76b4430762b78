"""The configuration keys that Axolotl knows: it drops others silently, so rlsp looks first."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.probe import run_probe
from rlsp_cli.recipe.issue import did_you_mean

Keys = Mapping[str, Any]
"""Key -> {`keys`: those inside a mapping, `open`: whether it takes any mapping}."""
TESTED = ("0.19.0",)
"""Versions that rlsp is tested with: the newest. Its keys lie beside this file, in keys.json."""


@cache
def known_keys() -> Keys:
    """The keys of the tested version, read from its own schema by `templates/axolotl/probe.py`."""
    data: Keys = json.loads((Path(__file__).parent / "keys.json").read_text(encoding="utf-8"))
    return data


def asked_keys(environment: Environment) -> Keys:
    """The keys of an untested version, whose interpreter imports Axolotl to list them."""
    return run_probe(environment).keys


def wrong_keys(config: Any, keys: Keys, path: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong) for each key that Axolotl would drop."""
    if isinstance(config, Sequence) and not isinstance(config, str):
        for item in config:
            yield from wrong_keys(item, keys, path)
    elif isinstance(config, Mapping):
        for key, value in config.items():
            yield from _wrong(f"{path}.{key}".lstrip("."), key, value, keys)


def _wrong(path: str, key: str, value: Any, keys: Keys) -> Iterator[tuple[str, str]]:
    if key not in keys:
        yield path, f'Axolotl has no key "{path}" - {did_you_mean(key, keys)}'
        return
    known = keys[key]
    if "keys" in known and not (known.get("open") and isinstance(value, Mapping)):
        yield from wrong_keys(value, known["keys"], path)
