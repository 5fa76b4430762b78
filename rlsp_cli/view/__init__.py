"""Runs in a browser: curves and responses, served while they grow or exported as a folder."""

from rlsp_cli.view.export import export_view
from rlsp_cli.view.library import Library, run_folders

__all__ = ["Library", "export_view", "run_folders"]
