"""Start Axolotl's training in one process of a job; rlsp puts this file beside the configuration."""

import os
import sys


def main(config):
    """Train as the configuration file says."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        PartialState(cpu=True)  # whoever makes it first decides; Axolotl would ask for GPUs
    from axolotl.cli.train import do_cli

    do_cli(config)


if __name__ == "__main__":
    main(sys.argv[1])
