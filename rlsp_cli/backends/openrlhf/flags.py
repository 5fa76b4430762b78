"""A command of OpenRLHF: its words, and what OpenRLHF's own parser says to them."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.settings import Setting
from rlsp_cli.errors import NotReadyError
from rlsp_cli.share import share

TESTED = ("0.11.2",)
"""Versions that rlsp is tested with: the newest."""


def words(settings: Sequence[Setting]) -> tuple[str, ...]:
    """The settings as a command's words: a switch stands alone, a list is several words, None is left out."""
    found: list[str] = []
    for setting in settings:
        if setting.value is None or setting.value is False:
            continue
        value = [] if setting.value is True else setting.value
        found += [
            f"--{setting.key}",
            *map(str, value if isinstance(value, list | tuple) else [value]),
        ]
    return tuple(found)


def parser_error(environment: Environment, argv: Sequence[str]) -> str | None:
    """What the installed version's own parser, or its checks behind it, have against a command."""
    return ask_parser(environment.python(Path.cwd()), "-", argv).get("error")


def ask_parser(
    python: Sequence[str], package: str, argv: Sequence[str] | None = None
) -> dict[str, Any]:
    """The answer of `templates/openrlhf/parser.py`; NotReadyError when OpenRLHF's command is not as it was known."""
    with tempfile.TemporaryDirectory() as folder:
        answer, command = Path(folder) / "answer.json", Path(folder) / "command.json"
        command.write_text(json.dumps(argv), encoding="utf-8")
        script = str(share("templates") / "openrlhf" / "parser.py")
        asked = [
            *python,
            script,
            package,
            str(answer),
            *([str(command)] if argv is not None else []),
        ]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise NotReadyError(
                f"{python[0]}: OpenRLHF's parser cannot be asked: {reason}; install a tested version"
            )
        data: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return data
