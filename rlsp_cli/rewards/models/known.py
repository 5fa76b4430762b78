"""The models that plugins of this process can ask, by name."""

from functools import cache

from rlsp_cli.rewards.models.address import Address, Addresses
from rlsp_cli.rewards.models.served_model import ServedModel

_known: dict[str, Address] = {}


def know_models(addresses: Addresses) -> None:
    """Let `served_model` find these models in this process, and no others."""
    served_model.cache_clear()
    _known.clear()
    _known.update(addresses)


@cache
def served_model(name: str) -> ServedModel:
    """The model that the recipe's `models` call by this name; LookupError if it is not served."""
    if name not in _known:
        known = ", ".join(sorted(_known)) or "none"
        raise LookupError(f"no model {name!r} is served here, only: {known}; name it in `models`")
    return ServedModel(name, _known[name])


def tokens_used() -> int:
    """The tokens that models have read and written for this process so far."""
    return sum(served_model(name).tokens_used for name in _known)
