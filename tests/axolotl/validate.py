"""Run in Axolotl's interpreter: its own validation of configurations, and which of their keys it kept.

Reads {name: configuration} from the file named first, writes {name: {"dropped": [...], "error":
text or null}} to the file named second.
"""

import json
import sys
from pathlib import Path

import torch
from axolotl.cli.config import prepare_plugins
from axolotl.utils.config import validate_config
from axolotl.utils.dict import DictDefault

HOPPERS = {"bf16": True, "fp8": True, "tf32": True, "n_gpu": 8, "compute_capability": "sm_90"}
CPU = {"bf16": False, "fp8": False, "tf32": False, "n_gpu": 1, "compute_capability": None}
TORCH = {"torch_version": torch.__version__.partition("+")[0]}


def judge(config):
    """What validation says on eight GPUs, or on a CPU where the configuration is for one."""
    machine = HOPPERS if config["optimizer"] != "adamw_torch" else CPU
    try:
        prepare_plugins(DictDefault(config))
        kept = validate_config(
            DictDefault(config), capabilities=machine, env_capabilities=TORCH
        ).to_dict()
    except Exception as error:
        return {"dropped": [], "error": f"{type(error).__name__}: {error}"}
    return {
        "dropped": sorted(
            key for key, value in config.items() if value is not None and key not in kept
        ),
        "error": None,
    }


configs = json.loads(Path(sys.argv[1]).read_text())
Path(sys.argv[2]).write_text(json.dumps({name: judge(config) for name, config in configs.items()}))
