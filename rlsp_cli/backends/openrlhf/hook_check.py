"""Is the installed OpenRLHF the one that the hook changes?"""

import subprocess
from functools import cache
from pathlib import Path

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.openrlhf.files import HOOK
from rlsp_cli.share import share

_PREFIX = "rlsp: "
"""How the hook's own line begins on a stderr that libraries write to as well."""


@cache
def misfit(environment: Environment) -> str | None:
    """What differs among the functions that rlsp changes or calls; None when nothing does."""
    script = share("templates") / "openrlhf" / HOOK
    asked = [*environment.python(Path.cwd()), str(script)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if not done.returncode:
        return None

    lines = done.stderr.strip().splitlines() or ["no reason given"]
    for line in lines:
        if line.startswith(_PREFIX):
            return line.removeprefix(_PREFIX)
    return lines[-1]
