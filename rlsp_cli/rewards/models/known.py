"""The models that plugins of this process can ask, by name."""

from rlsp_cli.rewards.models.address import Addresses
from rlsp_cli.rewards.models.served_model import ServedModel

_known: dict[str, ServedModel] = {}


def know_models(addresses: Addresses) -> None:
    """Let `served_model` find these models in this process, and no others."""
    for model in _known.values():
        model.close()
    _known.clear()
    _known.update({name: ServedModel(name, address) for name, address in addresses.items()})


def served_model(name: str) -> ServedModel:
    """The model that the recipe's `models` call by this name; LookupError if it is not served."""
    if name not in _known:
        known = ", ".join(sorted(_known)) or "none"
        raise LookupError(f"no model {name!r} is served here, only: {known}; name it in `models`")
    return _known[name]


def tokens_used() -> int:
    """The tokens that models have read and written for this process so far."""
    return sum(model.tokens_used for model in _known.values())
