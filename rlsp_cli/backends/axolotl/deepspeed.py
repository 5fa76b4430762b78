"""DeepSpeed's configuration for ZeRO stages 1 to 3 (arXiv 1910.02054)."""

import json


def deepspeed_config(stage: int, bf16: bool) -> str:
    """The JSON document; `auto` values are filled in by the trainer from its own settings."""
    options = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True}

    # Stage 3 shards the weights themselves: without this the saved model would be empty.
    if stage == 3:
        options["stage3_gather_16bit_weights_on_model_save"] = True

    document = {
        "zero_optimization": options,
        "bf16": {"enabled": bf16},
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "wall_clock_breakdown": False,
    }
    return json.dumps(document, indent=2) + "\n"
