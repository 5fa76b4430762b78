"""How fast this machine runs a model in the embedded engine, measured on a few of its layers."""

from rlsp_cli.backends.local.calibration.kept import calibrate
from rlsp_cli.backends.local.calibration.speed import Load, Speed

__all__ = ["Load", "Speed", "calibrate"]
