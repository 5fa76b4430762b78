"""What would stop or spoil a run, seen before its first stage starts."""

from rlsp_cli.preflight.checked import Check, Checked
from rlsp_cli.preflight.data import look_at_benches
from rlsp_cli.preflight.hub import data_on_hub
from rlsp_cli.preflight.load import inspect_recipe, load_checked, read_recipe
from rlsp_cli.preflight.made_checks import look_at_made_replies
from rlsp_cli.preflight.model import look_at_model
from rlsp_cli.preflight.prompts import look_at_prompts
from rlsp_cli.preflight.replies import Reply, look_at_replies
from rlsp_cli.preflight.reward import asks_a_server

__all__ = [
    "Check",
    "Checked",
    "Reply",
    "asks_a_server",
    "data_on_hub",
    "inspect_recipe",
    "load_checked",
    "look_at_benches",
    "look_at_made_replies",
    "look_at_model",
    "look_at_prompts",
    "look_at_replies",
    "read_recipe",
]
