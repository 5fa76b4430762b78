"""What would stop or spoil a run, seen before its first stage starts."""

from rlsp_cli.preflight.check import check_recipe
from rlsp_cli.preflight.data import look_at_benches
from rlsp_cli.preflight.load import load_checked, load_inspected
from rlsp_cli.preflight.model import look_at_model

__all__ = ["check_recipe", "load_checked", "load_inspected", "look_at_benches", "look_at_model"]
