"""The embedded engine as a backend: one child process on this machine, CPU or one GPU."""

from rlsp_cli.backends.local.backend import LocalBackend

__all__ = ["LocalBackend"]
