"""`rlsp smoke`: any recipe, with a tiny model and few rows, in about a minute on a CPU."""

from rlsp_cli.smoke.smoke import Smoke, smoke_recipe
from rlsp_cli.smoke.standin import StandIn

__all__ = ["Smoke", "StandIn", "smoke_recipe"]
