"""Axolotl as a backend of SFT: the recipe becomes its configuration file, and it runs in its own environment."""

from rlsp_cli.backends.axolotl.backend import AxolotlBackend

__all__ = ["AxolotlBackend"]
