"""Axolotl as a backend of SFT."""

from rlsp_cli.backends.axolotl.backend import AxolotlBackend

__all__ = ["AxolotlBackend"]
