"""DeepSpeed's configuration for ZeRO stages 1 to 3 (arXiv 1910.02054)."""

import json
from typing import Any


def deepspeed_config(stage: int, bf16: bool) -> str:
    """The JSON document; `auto` values are filled in by the trainer from its own settings."""
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = (
            True  # or the saved model would be empty
        )
    document = {
        "zero_optimization": zero,
        "bf16": {"enabled": bf16},
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "wall_clock_breakdown": False,
    }
    return json.dumps(document, indent=2) + "\n"
