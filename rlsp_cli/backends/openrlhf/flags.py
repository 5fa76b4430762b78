"""The options of OpenRLHF's PPO command, by version, and what its own parser says to a command."""

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.setting import Setting
from rlsp_cli.errors import NotReadyError
from rlsp_cli.share import share

TESTED = ("0.11.2",)
"""Versions that rlsp is tested with, the newest last."""
_DOTTED_SINCE = (0, 10, 2)
_NEWER: Mapping[str, Any] = {
    "actor.loss_agg_mode": "token-mean",
    "algo.advantage.is_correction_level": None,
    "algo.advantage.is_correction_mode": None,
    "algo.advantage.is_correction_threshold": [1.0, 1.0],
}
"""Options of 0.11.2, and what the dotted versions before it always do; None where the others say it."""
_NEWER_SINCE = (0, 11, 2)


def version_number(version: str) -> tuple[int, ...]:
    """`0.11.2.dev1` as (0, 11, 2)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def is_dotted(version: str) -> bool:
    """Whether options have the names with dots, the only ones that rlsp knows."""
    return version_number(version) >= _DOTTED_SINCE


def known_to(version: str, settings: Sequence[Setting]) -> list[Setting]:
    """The settings without those that a version does not have yet."""
    if version_number(version) >= _NEWER_SINCE:
        return list(settings)
    return [setting for setting in settings if setting.key not in _NEWER]


def fixed_otherwise(settings: Sequence[Setting], version: str) -> list[tuple[Setting, Any]]:
    """Settings that a version does not have, with what it always does, where that is something else."""
    kept = known_to(version, settings)
    before = [(setting, _NEWER[setting.key]) for setting in settings if setting not in kept]
    return [(setting, always) for setting, always in before if always not in (None, setting.value)]


def words(settings: Sequence[Setting]) -> tuple[str, ...]:
    """The settings as a command's words: a switch stands alone, a list is several words, None is left out."""
    found: list[str] = []
    for setting in settings:
        if setting.value is None or setting.value is False:
            continue
        value = [] if setting.value is True else setting.value
        found += [f"--{setting.key}", *map(str, value if isinstance(value, list | tuple) else [value])]
    return tuple(found)


def parser_error(environment: Environment, argv: Sequence[str]) -> str | None:
    """What the installed version's own parser, or its checks behind it, have against a command."""
    return ask_parser(environment.python(Path.cwd()), "-", argv).get("error")


def ask_parser(python: Sequence[str], package: str, argv: Sequence[str] | None = None) -> dict[str, Any]:
    """The answer of `templates/openrlhf/parser.py`; NotReadyError when OpenRLHF's command is not as it was known."""
    with tempfile.TemporaryDirectory() as folder:
        answer, command = Path(folder) / "answer.json", Path(folder) / "command.json"
        command.write_text(json.dumps(argv), encoding="utf-8")
        script = str(share("templates") / "openrlhf" / "parser.py")
        asked = [*python, script, package, str(answer), *([str(command)] if argv is not None else [])]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise NotReadyError(f"{python[0]}: OpenRLHF's parser cannot be asked: {reason}; install a tested version")
        data: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return data
