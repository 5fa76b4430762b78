"""Asking a backend what it is: its own interpreter runs `templates/BACKEND/probe.py`, which answers in JSON."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from rlsp_cli.backends.environment import Environment
from rlsp_cli.backends.ray_door import door_to, shown
from rlsp_cli.errors import NotReadyError, UsageError
from rlsp_cli.share import share


def probe(environment: Environment) -> dict[str, Any]:
    """`python`, `packages`, `gpus`, and what else the probe tells; NotReadyError with its last line when it cannot."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        script = share("templates") / environment.backend / "probe.py"
        argv = [*environment.python(Path(folder)), str(script), str(answer)]
        handed = json.dumps({"ray": _way_to_ray()})
        done = subprocess.run(argv, input=handed, capture_output=True, text=True, check=False)
        if done.returncode or not answer.exists():
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise NotReadyError(f"{argv[0]}: {environment.backend} does not load here: {reason}; install it anew")
        data: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return data


def _way_to_ray() -> dict[str, Any] | None:
    """The dashboard that RAY_ADDRESS names, with the headers that open it; they go through a pipe, and no further."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        return None
    try:
        door = door_to(address, "RAY_ADDRESS")
    except UsageError:
        return {"address": shown(address), "problem": "not the address of a dashboard, as http://HOST:8265"}
    except NotReadyError as error:
        return {"address": shown(address), "problem": str(error)}
    return {"address": door.url, "url": door.url, "headers": dict(door.headers)}
