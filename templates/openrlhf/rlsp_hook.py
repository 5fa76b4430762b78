"""What rlsp adds to OpenRLHF's workers; Ray calls `install` in each of them first of all.

OpenRLHF's own files stay as they are: its functions are changed when a module is loaded, and only
if everything that the changes rely on is there as they expect it. `rlsp_trainer.py` has what
concerns training, `rlsp_advantages.py` the two streams of rewards, `rlsp_dense.py` rewards of steps.
`python rlsp_hook.py` checks whether the installed version fits.
"""

import asyncio
import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import inspect
import random
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import rlsp_advantages
import rlsp_trainer

THREADS = 1024
"""Samples of one engine that may wait for their reward at the same time."""
PORTS = range(20_000, 30_000)
"""Above those that Ray gives its workers, below those that Linux picks by itself."""
RAYS_OWN = "_ray_"
"""How parameters begin that Ray adds to the methods of actors."""


class SeamError(Exception):
    """This version of OpenRLHF is not the one that the changes were written for."""


def install():
    """Change OpenRLHF's modules as soon as this process imports them."""
    sys.meta_path.insert(0, Finder())


class Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of `CHANGES`, so that `Loader` changes them after they have run.

    At import, because Ray imports OpenRLHF in its workers itself, after `install` and before
    anything that could call us again.
    """

    def find_spec(self, name, path=None, target=None):
        """The usual spec of such a module with our loader around its own; None for others."""
        if name not in CHANGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader)
        return spec


class Loader(importlib.abc.Loader):
    """Runs a module, then its change."""

    def __init__(self, inner):
        self.inner = inner

    def create_module(self, spec):
        """As the module's own loader."""
        return self.inner.create_module(spec)

    def exec_module(self, module):
        """Run the module, then change it; SeamError where the change would not fit."""
        self.inner.exec_module(module)
        refuse_other(module)
        CHANGES[module.__name__](module)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def refuse_other(module):
    """SeamError unless all that we change or call in a module has the parameters that we know."""
    for name, known in SEAMS[module.__name__].items():
        found = module
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            raise misfit(f"{module.__name__} has no {name}")

        names = [one for one in inspect.signature(found).parameters if not one.startswith(RAYS_OWN)]
        parameters = " ".join(names)
        if known is not None and parameters != known:
            raise misfit(f"{module.__name__}.{name} takes ({parameters}) instead of ({known})")


def misfit(found):
    """The error for what was `found` in another version."""
    version = importlib.metadata.version("openrlhf")
    problem = f"OpenRLHF {version} is not as rlsp knows it: {found}"
    return SeamError(f"{problem}; install a tested version")


def widen(module):
    """Ask for rewards in threads of our own, one for each sample that waits.

    asyncio has at most 32 by itself. They could all hold samples of different prompts, and wait for
    ever for a reward that compares samples of the same one.
    """
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="rlsp-reward")

    async def fetch(self, queries_list, prompts_list, labels_list):
        columns = (queries_list, prompts_list, labels_list)
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(threads, self.reward_func, *columns)]

    module.SingleTurnAgentExecutor._fetch_rewards_via_func = fetch


def change_launcher(module):
    """Let a model's processes meet on a port of ours, and save it into a folder that we name."""
    module.BaseDistributedActor._get_free_port = staticmethod(free_port)
    module.BaseModelActor.export = rlsp_trainer.export


def free_port():
    """A free port of `PORTS`, drawn at random.

    OpenRLHF lets the system choose and closes the port again: the system may give it to another
    process before it is used. OSError when none is free.
    """
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError(f"all ports from {PORTS.start} to {PORTS.stop} are taken")


CHANGES = {
    "openrlhf.trainer.ray.launcher": change_launcher,
    "openrlhf.utils.agent": widen,
    "openrlhf.utils.deepspeed.deepspeed": rlsp_trainer.shorten_schedule,
    "openrlhf.trainer.ppo_trainer": rlsp_trainer.change_trainer,
    "openrlhf.trainer.ppo_utils.samples_generator": rlsp_trainer.follow_rollouts,
    "openrlhf.trainer.ppo_utils.experience_maker": rlsp_advantages.follow_experience,
}
SEAMS = {
    "openrlhf.trainer.ray.launcher": {
        "BaseDistributedActor._get_free_port": "",
        "BaseModelActor.execute_batch": "self method_name all_data start_idx end_idx",
        "RayActorGroup.async_run_method": "self method_name args kwargs",
        "RayActorGroup.async_run_method_batch": "self method_name kwargs",
    },
    "openrlhf.utils.agent": {
        "SingleTurnAgentExecutor._fetch_rewards_via_func": "self queries_list prompts_list labels_list",
        "AgentExecutorBase.execute": "self prompt label sampling_params max_length hf_tokenizer llm_engine images",
    },
    "openrlhf.utils.deepspeed.deepspeed": {
        "Actor": None,
        "DeepspeedStrategy._ds_init_train_model": "self model cfg",
        "DeepspeedStrategy.save_model": "self model tokenizer output_dir kwargs",
    },
    "openrlhf.trainer.ppo_trainer": {
        "PromptDataset": "dataset tokenizer strategy input_template",
        "SamplesGenerator": "strategy prompts_dataloader eval_dataloader tokenizer vllm_engines",
        "prepare_datasets": "strategy tokenizer",
        "compute_eval_metrics": "eval_dataloader samples_list n_samples_per_prompt",
        "BasePPOTrainer.init_checkpoint_states": "self",
        "BasePPOTrainer.train_step": "self rollout_samples global_step",
        "BasePPOTrainer.save_logs_and_checkpoints": "self global_step logs_dict client_states",
    },
    "openrlhf.trainer.ppo_utils.samples_generator": {
        "SamplesGenerator.generate_samples": "self generate_kwargs",
        "SamplesGenerator.generate_eval_samples": "self generate_kwargs",
        "SamplesGenerator._process_response_into_experience": "self response generate_kwargs",
    },
    "openrlhf.trainer.ppo_utils.experience_maker": {
        "RemoteExperienceMaker.compute_advantages_and_returns": "self experiences",
        "RemoteExperienceMaker.get_advantages_and_returns": "self values rewards action_mask gamma lambd",
        "RemoteExperienceMaker.get_cumulative_returns": "self rewards action_mask gamma",
        "compute_reward": "r kl_coef kl action_mask reward_clip_range",
    },
}
"""What is changed or called in each module, with the names of its parameters; None for any."""


def main():
    """Import all that is changed; the exit code says whether it fits, a line on stderr why not."""
    install()
    try:
        for name in CHANGES:
            importlib.import_module(name)
    except (SeamError, ImportError) as error:
        print(f"rlsp: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
