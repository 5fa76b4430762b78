"""The process of a served model: `python -m rlsp_cli.backends.local.model_server MODEL PORT GPUS PRECISION`.

It listens on this machine alone, at a port that its parent holds, and asks for the key in the
variable RLSP_MODEL_KEY.
"""

import os
import sys

from rlsp_cli.errors import NotReadyError, RlspError
from rlsp_cli.runs.failure import report


def main(argv: list[str]) -> int:
    """Serve until a signal; an error of a known kind is one line, and in error.json."""
    path, port, gpus, precision = argv
    try:
        _serve(path, int(port), int(gpus), precision)
    except ImportError as error:
        missing = f"({error.name} is missing)"
        return report(
            NotReadyError(f"a model with `path` needs `pip install 'rlsp[serve]'` {missing}")
        )
    except RlspError as error:
        return report(error)
    return 0


def _serve(path: str, port: int, gpus: int, precision: str) -> None:
    import uvicorn

    from rlsp_cli.backends.local.model_server.app import ModelServer
    from rlsp_cli.backends.local.model_server.model import load

    app = ModelServer(load(path, gpus, precision), os.environ["RLSP_MODEL_KEY"]).app()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
