"""What would stop or spoil a run, seen before its first stage starts."""

from rlsp_cli.preflight.data import look_at_benches
from rlsp_cli.preflight.load import inspect_recipe, load_checked, read_recipe
from rlsp_cli.preflight.model import look_at_model

__all__ = ["inspect_recipe", "load_checked", "look_at_benches", "look_at_model", "read_recipe"]
