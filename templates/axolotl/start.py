"""Start Axolotl's training in one process of a job; rlsp puts this file beside the configuration."""

import os
import sys


def main(config):
    """Train as the configuration file says."""
    from axolotl.cli import train

    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        train_on_cpus(config)
    else:
        train.do_cli(config)


def train_on_cpus(config):
    """One of several processes without a GPU, of which Axolotl takes for granted that they have one."""
    from accelerate import PartialState
    from axolotl.cli.args import TrainerCliArgs
    from axolotl.cli.config import load_cfg
    from axolotl.cli.train import do_train

    PartialState(cpu=True)  # whoever makes it first decides how processes talk
    cfg = load_cfg(config)
    cfg.device_map = {"": "cpu"}
    do_train(cfg, TrainerCliArgs())


if __name__ == "__main__":
    main(sys.argv[1])
