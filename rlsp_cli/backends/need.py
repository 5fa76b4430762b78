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
    """An option that needs a package: if `when` is true of the value of `key`, one of `any_of`.

    `any_of` holds modules, `package.module:WORD` for a word in a module's file, and kernels of the
    hub as `org/name`. `hint` says how to get one.
    """

    key: str
    when: Callable[[Any], bool]
    any_of: tuple[str, ...]
    hint: str


def missing(
    environment: Environment, settings: Iterable[Setting], needs: Sequence[Need]
) -> list[Issue]:
    """An issue for each setting whose need the environment lacks, at the recipe key behind it."""
    wanted = list(_wanted(settings, needs))
    if not wanted:
        return []

    # One question for all names: to start an interpreter in a container takes seconds.
    names: set[str] = set()
    for _, need in wanted:
        names.update(need.any_of)
    here = _installed(environment, sorted(names))

    issues = []
    for setting, need in wanted:
        if not here.intersection(need.any_of):
            issues.append(_issue(setting, need))
    return issues


def _wanted(settings: Iterable[Setting], needs: Sequence[Need]) -> Iterator[tuple[Setting, Need]]:
    for setting in settings:
        for need in needs:
            if need.key == setting.key and need.when(setting.value):
                yield setting, need


def _issue(setting: Setting, need: Need) -> Issue:
    names = " or ".join(name.partition(":")[0] for name in need.any_of)
    value = "" if isinstance(setting.value, bool | dict | list) else f" {setting.value}"
    message = f"{setting.key}{value} needs {names}, which the environment does not have"
    path = setting.sources[0] if setting.sources else setting.key
    return Issue(path, message, need.hint)


def _installed(environment: Environment, names: Sequence[str]) -> set[str]:
    """Those of the names that the environment has; NotReadyError if it cannot say."""
    # The script travels in the command line, because a container may not see our files.
    script = (share("templates") / "look.py").read_text(encoding="utf-8")
    argv = [*environment.python(Path.cwd()), "-c", script, *names]

    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        problem = f"{argv[0]}: cannot say which packages it has: {reason}"
        raise NotReadyError(f"{problem}; install {environment.backend} anew")

    # The last line: a library that is imported at start-up may have printed others before it.
    return set(json.loads(done.stdout.splitlines()[-1]))
