"""The rows of an environment of the library `verifiers`."""

from typing import Any

from rlsp_cli.rewards import task
from rlsp_cli.rewards.environment import environment_of


@task
def environment(
    index: int,
    split: str,
    *,
    venv: str = "",
    load: str = "",
    arguments: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A row of an environment that is installed in `venv`, and made by `load` from `arguments`.

    `venv` is a folder, or a name in $XDG_DATA_HOME/rlsp/environments. `load` is a module with a
    function `load_environment`, or `module:function`. The messages of a prompt become one text.
    """
    prompt, answer = environment_of(venv, load, arguments).row(split, index)
    return {
        "id": f"{load}-{split}-{index}",
        "problem": prompt,
        "answer": answer,
        "environment_row": [split, index],
    }
