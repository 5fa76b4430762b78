"""Where a model is that somebody serves."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Address(NamedTuple):
    """The URL of a server, its name for the model (empty: the first that it lists), and its key."""

    url: str
    id: str = ""
    key: str = ""

    @property
    def root(self) -> str:
        """The server's own address, for what is no part of OpenAI's interface below /v1."""
        return self.url.rstrip("/").removesuffix("/v1")


Addresses = Mapping[str, Address]
"""By the names that a recipe gives to models."""
NO_MODELS: Addresses = MappingProxyType({})
