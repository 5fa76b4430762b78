"""rlsp: teach a language model to think, from one recipe."""

__version__ = "0.1.0"
