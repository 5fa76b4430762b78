"""A command of OpenRLHF as words, and what OpenRLHF's own parser says about them."""

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
    """The settings as words of a command.

    A switch is a word alone, a list several words; False and None are left out, as argparse has no
    word for them.
    """
    found: list[str] = []
    for setting in settings:
        if setting.value is None or setting.value is False:
            continue

        found.append(f"--{setting.key}")
        if isinstance(setting.value, list | tuple):
            found += map(str, setting.value)
        elif setting.value is not True:
            found.append(str(setting.value))
    return tuple(found)


def parser_error(environment: Environment, argv: Sequence[str]) -> str | None:
    """What the installed version's own parser, or its checks behind it, have against a command."""
    return ask_parser(environment.python(Path.cwd()), "-", argv).get("error")


def ask_parser(
    python: Sequence[str], package: str, argv: Sequence[str] | None = None
) -> dict[str, Any]:
    """The answer of `templates/openrlhf/parser.py`, which imports neither torch nor Ray.

    `package` is OpenRLHF's folder, `-` for the one of that interpreter; without `argv` the answer
    is the list of options. NotReadyError when OpenRLHF's command is not laid out as that script
    expects.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer, command = Path(folder) / "answer.json", Path(folder) / "command.json"
        asked = [*python, str(share("templates") / "openrlhf" / "parser.py"), package, str(answer)]
        if argv is not None:
            command.write_text(json.dumps(argv), encoding="utf-8")
            asked.append(str(command))

        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            problem = f"OpenRLHF's parser cannot be asked: {reason}"
            raise NotReadyError(f"{python[0]}: {problem}; install a tested version")

        data: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return data
