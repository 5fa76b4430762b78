"""Models that a recipe names in `models`, as plugins ask them."""

from rlsp_cli.rewards.models.address import NO_MODELS, Address, Addresses
from rlsp_cli.rewards.models.connection import UnansweredError
from rlsp_cli.rewards.models.known import know_models, served_model, tokens_used
from rlsp_cli.rewards.models.served_model import Completion, ServedModel

__all__ = [
    "NO_MODELS",
    "Address",
    "Addresses",
    "Completion",
    "ServedModel",
    "UnansweredError",
    "know_models",
    "served_model",
    "tokens_used",
]
