"""`rlsp reward serve`: a recipe's rewards over HTTP."""

import sys
from typing import Annotated

import typer

from rlsp_cli.cli.options import Overrides, RecipeArgument, Tokenizer
from rlsp_cli.cli.reward.scoring import load
from rlsp_cli.errors import NotReadyError
from rlsp_cli.terminal import print

Host = Annotated[
    str,
    typer.Option(
        metavar="HOST", help="Address; any but loopback needs a token in RLSP_REWARD_TOKEN."
    ),
]
Port = Annotated[int, typer.Option(metavar="PORT", help="Port; 0 takes a free one, and prints it.")]
Backlog = Annotated[
    int, typer.Option(metavar="N", help="Samples in work at which further requests get 503.", min=1)
]
GroupWait = Annotated[
    float, typer.Option(metavar="SECONDS", help="Longest wait for the samples of one prompt.")
]


def serve(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    backlog: Backlog = 1024,
    group_wait: GroupWait = 60.0,
    tokenizer: Tokenizer = None,
) -> None:
    """Serve a recipe's rewards over HTTP, in OpenRLHF's protocol.

    OpenRLHF posts to /, other clients to /score, which returns all components;
    /health and /metrics are for operation.

    Example: rlsp reward serve my.yaml --port 8000
    """
    from rlsp_cli.backends.served_models import served_models
    from rlsp_cli.rewards.model_use import models_at

    # Starlette and uvicorn are an extra.
    try:
        from rlsp_cli.rewards.service.server import run_service
    except ImportError as error:
        raise NotReadyError(
            f"serving needs `pip install 'rlsp[serve]'` ({error.name} is missing)"
        ) from error

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    loaded = load(recipe, overrides or [])
    with served_models(loaded, models_at(loaded, "reward")) as models:
        run_service(
            loaded,
            host,
            port,
            say,
            tokenizer=tokenizer,
            backlog=backlog,
            group_wait_s=group_wait,
            models=models,
        )
