"""Write what an Axolotl environment has and which configuration keys it knows, as one JSON object.

    python probe.py ANSWER.json

Runs in Axolotl's own interpreter, and needs nothing else. A key comes with the keys inside it
(`keys`), and with whether it takes any mapping (`open`).
"""

import importlib.metadata
import inspect
import json
import sys
import typing
from pathlib import Path

PLUGINS = {
    "axolotl.integrations.liger.args": "LigerArgs",
    "axolotl.integrations.cut_cross_entropy.args": "CutCrossEntropyArgs",
}
"""Modules of plugins that rlsp can switch on -> schemas that Axolotl merges into its own."""


def models(annotation):
    """The pydantic models inside a type, such as those of `list[A | B]`."""
    from pydantic import BaseModel

    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models(part)


def is_open(annotation):
    """Whether a type takes any mapping."""
    if annotation in (dict, typing.Any) or typing.get_origin(annotation) is dict:
        return True
    return any(is_open(part) for part in typing.get_args(annotation))


def names(name, field):
    """The spellings of a field: its aliases, and its own name."""
    choices = getattr(field.validation_alias, "choices", None) or ()
    aliases = [choice for choice in choices if isinstance(choice, str)]
    return [*aliases, field.alias or name, name]


def keys(model, seen=()):
    """All keys of a model, with those of the models inside it; `seen` are those around it."""
    found = {}
    for name, field in model.model_fields.items():
        inner = {}
        for part in models(field.annotation):
            if part not in seen:  # a model may hold its own kind
                inner.update(keys(part, (*seen, model)))

        entry = {"keys": inner} if inner else {}
        if is_open(field.annotation):
            entry["open"] = True
        found.update(dict.fromkeys(names(name, field), entry))
    return found


def all_keys():
    """The keys of Axolotl and of its plugins."""
    from axolotl.utils.schemas.config import AxolotlInputConfig

    found = keys(AxolotlInputConfig)
    for module, name in PLUGINS.items():
        found.update(keys(getattr(__import__(module, fromlist=[name]), name)))
    return found


def packages():
    """Installed distributions and their versions."""
    return {d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name}


def gpus():
    """Names of the GPUs that torch sees."""
    import torch

    return [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]


if __name__ == "__main__":
    answer = {
        "python": sys.version.split()[0],
        "packages": packages(),
        "gpus": gpus(),
        "keys": all_keys(),
    }
    Path(sys.argv[1]).write_text(json.dumps(answer, sort_keys=True), encoding="utf-8")
