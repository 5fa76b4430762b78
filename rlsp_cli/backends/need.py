"""What a backend's options need beside the backend itself: packages, and kernels of the hub."""

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.settings import Setting
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.share import share


@dataclass(frozen=True)
class Need:
    """The option `key` needs one of `any_of` where `when` says so of its value; `hint` says how to get it.

    `any_of` holds modules, `package.module:WORD` for a word in a module's file, and kernels of the
    hub as `org/name`.
    """

    key: str
    when: Callable[[Any], bool]
    any_of: tuple[str, ...]
    hint: str


def missing(
    environment: Environment, settings: Iterable[Setting], needs: Sequence[Need]
) -> list[Issue]:
    """A problem for each setting that needs what the environment does not have, at the recipe key it comes from."""
    wanted = list(_wanted(settings, needs))
    if not wanted:
        return []
    here = _here(environment, sorted({name for _, need in wanted for name in need.any_of}))
    return [
        _problem(setting, need) for setting, need in wanted if not here.intersection(need.any_of)
    ]


def _wanted(settings: Iterable[Setting], needs: Sequence[Need]) -> Iterator[tuple[Setting, Need]]:
    for setting in settings:
        for need in needs:
            if need.key == setting.key and need.when(setting.value):
                yield setting, need


def _problem(setting: Setting, need: Need) -> Issue:
    names = " or ".join(name.partition(":")[0] for name in need.any_of)
    value = "" if isinstance(setting.value, bool | dict | list) else f" {setting.value}"
    path = setting.sources[0] if setting.sources else setting.key
    return Issue(
        path, f"{setting.key}{value} needs {names}, which the environment does not have", need.hint
    )


def _here(environment: Environment, names: Sequence[str]) -> set[str]:
    """Those of the names that the environment has; the script goes in as a word, so that a container takes it too."""
    script = (share("templates") / "look.py").read_text(encoding="utf-8")
    argv = [*environment.python(Path.cwd()), "-c", script, *names]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotReadyError(
            f"{argv[0]}: cannot say which packages it has: {reason}; install {environment.backend} anew"
        )
    return set(json.loads(done.stdout.splitlines()[-1]))
