"""Start Axolotl's training in one process of a job; rlsp puts this file beside the configuration.

Not by `axolotl train`, which would start the job's processes once more.
"""

import os
import sys


def main(config):
    """Train as the configuration file says."""
    from axolotl.cli import train

    save_in_this_process()
    without_gpus = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    if without_gpus and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        train_on_cpus(config)
    else:
        train.do_cli(config)


def save_in_this_process():
    """Save prepared rows without another process where Axolotl asks for one alone.

    `datasets` would start it anew, and its imports take longer than a few rows.
    """
    from datasets import Dataset

    save_to_disk = Dataset.save_to_disk

    def save(self, path, num_proc=None, **options):
        save_to_disk(self, path, num_proc=None if num_proc == 1 else num_proc, **options)

    Dataset.save_to_disk = save


def train_on_cpus(config):
    """Train as one of several processes without a GPU; Axolotl assumes one for each process."""
    from accelerate import PartialState
    from axolotl.cli.args import TrainerCliArgs
    from axolotl.cli.config import load_cfg
    from axolotl.cli.train import do_train

    # The first who makes this state decides how processes talk: Axolotl would choose NCCL.
    PartialState(cpu=True)
    cfg = load_cfg(config)
    cfg.device_map = {"": "cpu"}
    do_train(cfg, TrainerCliArgs())


if __name__ == "__main__":
    main(sys.argv[1])
