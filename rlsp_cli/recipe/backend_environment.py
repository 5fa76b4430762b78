"""The key `backends`: environments of backends that rlsp did not make."""

from rlsp_cli.recipe.section import Section


class Container(Section):
    """A container image that holds a backend."""

    image: str
    """Name of the image."""
    command: str = "docker run --rm --gpus all --ipc=host --network=host -v {run}:{run} {image}"
    """Prefix of the command, with `{run}` for the run folder and `{image}` for the image."""


class BackendEnvironment(Section):
    """A backend's environment that `rlsp backends install` did not make."""

    python: str | None = None
    """Interpreter that has the backend; with `container`, its path inside."""
    container: Container | None = None
    """Container image to run the backend in."""
    allow_untested: bool = False
    """Accept a version of the backend that rlsp is not tested with."""
