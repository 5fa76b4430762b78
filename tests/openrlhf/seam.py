"""Run in OpenRLHF's interpreter: its own executor, data sets, trainer and advantages, as a test asks for them.

Each line of stdin is a request {"do", "with", "folder", "env", "hook", "answer", "log"}. It is done in a fork, because
a reward may end its process, and because OpenRLHF's modules must be imported behind the hook. Its exit code is a line
of stdout.
"""

import asyncio
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

HEAVY = ("torch.utils.data", "transformers.models.auto", "datasets", "ray", "deepspeed", "vllm.sampling_params")
"""What takes most of the time to import, and so is there before a fork."""
ROOM = 10**7
"""Tokens that fit into any context here."""


class Engine:
    """Stands for vLLM: it says what it was told to."""

    def __init__(self, tokens, reason):
        self.output = SimpleNamespace(token_ids=tokens, finish_reason=reason, logprobs=None)

    async def generate(self, prompt_token_ids, sampling_params, multi_modal_data=None):
        return SimpleNamespace(outputs=[self.output])


def execute(model, samples, reward="rlsp_reward.py", max_tokens=10**6):
    """Responses through the real executor, all at once, and through the real making of experiences.

    `samples` are [prompt, label, text]. The columns that training gets, or the error of putting them together.
    """
    import torch
    from openrlhf.trainer.ppo_utils.experience import Experience
    from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator
    from openrlhf.utils.agent import SingleTurnAgentExecutor
    from transformers import AutoTokenizer
    from vllm import SamplingParams

    tokenizer = AutoTokenizer.from_pretrained(model)
    executor, params = SingleTurnAgentExecutor(reward), SamplingParams(max_tokens=max_tokens)
    generator = object.__new__(SamplesGenerator)

    async def one(prompt, label, text):
        tokens = [*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        engine = Engine(tokens[:max_tokens], "length" if len(tokens) > max_tokens else "stop")
        return await executor.execute(prompt, label, params, ROOM, tokenizer, engine)

    async def everyone():
        return await asyncio.gather(*(one(*sample) for sample in samples))

    outputs = asyncio.run(everyone())
    experiences = [generator._process_response_into_experience(output, max_len=ROOM) for output in outputs]
    found = {"none": sum(output["reward"] is None for output in outputs)}
    try:
        whole = Experience.concat_experiences(experiences, tokenizer.pad_token_id)
    except Exception as error:
        return {**found, "error": f"{type(error).__name__}: {error}"}
    column = {name: values.tolist() for name, values in whole.info.items() if isinstance(values, torch.Tensor)}
    rewards = whole.rewards.tolist() if isinstance(whole.rewards, torch.Tensor) else None
    return {**found, "rewards": rewards, "info": column, "keys": [sorted(one["extra_logs"]) for one in outputs]}


def read_data(model, prompts, heldout):
    """Both files as the trainer reads them: lists of [datasource, prompt, label, image]."""
    from openrlhf.trainer.ppo_trainer import prepare_datasets
    from torch.utils.data import DataLoader
    from transformers import AutoTokenizer

    def loader(dataset, size, pin, shuffle, collate, **_):
        return DataLoader(dataset, size, collate_fn=collate)

    keys = {"prompt_dataset": prompts, "prompt_probs": None, "prompt_split": "train", "max_samples": 10**9}
    keys |= {"input_key": "prompt", "label_key": "label", "input_template": None, "dataloader_num_workers": 0}
    args = SimpleNamespace(
        data=SimpleNamespace(**keys),
        eval=SimpleNamespace(dataset=heldout, split="train"),
        train=SimpleNamespace(seed=1, batch_size=4, num_episodes=1, max_epochs=1),
        rollout=SimpleNamespace(n_samples_per_prompt=4),
    )
    strategy = SimpleNamespace(args=args, print=print, is_rank_0=lambda: True, setup_dataloader=loader)
    train, held_out, steps = prepare_datasets(strategy, AutoTokenizer.from_pretrained(model))
    rows = [[[column[0] for column in batch] for batch in part] for part in (train, held_out)]
    return {"train": rows[0], "heldout": rows[1], "steps": steps}


def train(steps, begin=0):
    """The trainer's own beginning, evaluation and ends of steps, around models that only note what they are told."""
    import torch
    from openrlhf.trainer import ppo_trainer

    ppo_trainer.ray = SimpleNamespace(get=lambda refs: refs)
    told = []

    class Trainer(ppo_trainer.BasePPOTrainer):
        def __init__(self):
            self.args = SimpleNamespace(
                ckpt=SimpleNamespace(path="none", load_enable=bool(begin), save_steps=1000),
                logger=SimpleNamespace(logging_steps=1),
            )
            self.wandb_logger = self.tensorboard_logger = self.critic_model_group = None
            self.best_eval_metric_key, self.best_eval_metric_value, self._latest_eval_metric_value = "none", 0.0, None
            self.actor_model_group = SimpleNamespace(async_run_method=self.note)

        def note(self, method_name, **what):
            told.append([method_name, what.get("tag")])
            return [{"episode": 0, "global_step": begin}]

    Path("none/_actor").mkdir(parents=True, exist_ok=True)
    trainer = Trainer()
    state = trainer.init_checkpoint_states()
    reached, ended = state["global_step"], None
    sample = SimpleNamespace(
        prompts=["p"], rewards=torch.tensor([1.0]), response_length=torch.tensor([5.0]), truncated=torch.tensor([False])
    )
    try:
        for numbers in steps:
            if numbers.pop("evaluate", False):
                loader = [(["default"], ["p"], [""], [None])]
                told.append(["eval", ppo_trainer.compute_eval_metrics(loader, [sample], 1)])
            numbers |= {"kl": torch.tensor(0.5), "odd": float("nan"), "generated_samples": ["text", 1.0]}
            reached += 1
            trainer.save_logs_and_checkpoints(reached, numbers, {})
    except Exception as error:
        ended = f"{type(error).__name__}: {error}"
    return {"told": told, "reached": reached, "ended": ended}


def warm_up(steps, frozen):
    """How many pieces of experience each model learns from at once: the real step over models that only count."""
    import torch
    from openrlhf.trainer import ppo_trainer

    ppo_trainer.ray = SimpleNamespace(get=lambda refs: refs)

    class Group:
        def __init__(self):
            self.buffer, self.learnt = [], []

        def async_run_method_batch(self, method_name, experience):
            self.buffer += experience
            return []

        def async_run_method(self, method_name, **what):
            if method_name == "fit":
                self.learnt.append(len(self.buffer))
                self.buffer.clear()
            return [{"kl": 0.1}]

    trainer = object.__new__(ppo_trainer.BasePPOTrainer)
    trainer.args = SimpleNamespace(
        critic=SimpleNamespace(freezing_steps=frozen - 1),
        train=SimpleNamespace(dynamic_batch_enable=False),
        ds=SimpleNamespace(enable_sleep=False),
        rollout=SimpleNamespace(batch_size=4, n_samples_per_prompt=1),
    )
    trainer.actor_model_group, trainer.critic_model_group, trainer.vllm_engines = Group(), Group(), None
    trainer.kl_ctl = SimpleNamespace(value=0.1, update=lambda *_: None)
    trainer.tokenizer = SimpleNamespace(decode=lambda *_, **__: [""])
    one = torch.tensor([1.0])
    piece = SimpleNamespace(sequences=one[None], info={"reward": one}, response_length=one, truncated=one)
    trainer.experience_maker = SimpleNamespace(make_experience_batch=lambda samples: samples)
    for step in range(steps):
        trainer.train_step([piece] * 4, step)
    return {"policy": trainer.actor_model_group.learnt, "critic": trainer.critic_model_group.learnt}


def advantages(cases, size):
    """Advantages of whole rollouts, in two pieces and not in the order of prompts, by the real experience maker."""
    import torch
    from openrlhf.trainer.ppo_utils.experience import Experience
    from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker

    found = []
    for case in cases:
        settings = SimpleNamespace(estimator=case["estimator"], gamma=1.0, lambd=1.0, no_std_norm=False)
        args = SimpleNamespace(
            algo=SimpleNamespace(advantage=settings),
            rollout=SimpleNamespace(n_samples_per_prompt=size),
            reward=SimpleNamespace(clip_range=None),
        )
        maker = object.__new__(RemoteExperienceMaker)
        maker.strategy, maker.advantage_estimator = SimpleNamespace(args=args), case["estimator"]
        maker.kl_ctl = SimpleNamespace(value=case["kl_coef"])
        column = {name: torch.tensor(case[name]) for name in ("rewards", "correctness", "exploration", "kl", "mask")}
        order = torch.randperm(len(column["rewards"]), generator=torch.Generator().manual_seed(1))
        pieces = [
            Experience(
                index=rows.tolist(),
                rewards=column["rewards"][rows],
                kl=column["kl"][rows],
                action_log_probs=torch.zeros(len(rows), column["kl"].shape[1]),
                action_mask=column["mask"][rows].bool(),
                info={
                    "reward": column["rewards"][rows],
                    "rlsp_alpha": torch.full((len(rows),), case["alpha"]),
                    "rlsp_correctness": column["correctness"][rows],
                    "rlsp_exploration": column["exploration"][rows],
                },
            )
            for rows in order.tensor_split(2)
        ]
        done, back = maker.compute_advantages_and_returns(pieces), order.argsort()
        mixed = [piece.rewards for piece in done if "separate_advantage" in piece.info]
        found.append(
            {
                "mixed": torch.cat(mixed)[back].tolist() if mixed else None,
                "advantages": torch.cat([piece.advantages for piece in done])[back].tolist(),
                "estimator": settings.estimator,
            }
        )
    return found


def measured(responses):
    """What is noted of each response, by the real experience maker; rows of log-probabilities, mask, KL, reference."""
    import torch
    from openrlhf.trainer.ppo_utils.experience import Experience
    from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker

    estimator = SimpleNamespace(estimator="reinforce", gamma=1.0, lambd=1.0, no_std_norm=False)
    args = SimpleNamespace(
        algo=SimpleNamespace(advantage=estimator),
        rollout=SimpleNamespace(n_samples_per_prompt=1),
        reward=SimpleNamespace(clip_range=None),
    )
    maker = object.__new__(RemoteExperienceMaker)
    maker.strategy, maker.advantage_estimator = SimpleNamespace(args=args), "reinforce"
    maker.kl_ctl = SimpleNamespace(value=0.0)
    pieces = [
        Experience(
            index=[number],
            rewards=torch.zeros(1),
            kl=torch.tensor([one["kl"]]),
            action_log_probs=torch.tensor([one["logp"]]),
            base_action_log_probs=torch.tensor([one["reference"]]) if one["reference"] else None,
            action_mask=torch.tensor([one["mask"]]).bool(),
            info={},
        )
        for number, one in enumerate(responses)
    ]
    done = maker.compute_advantages_and_returns(pieces)
    return [{name: piece.info[name].item() for name in ("kl_response", "sampled_entropy")} for piece in done]


def ports(count):
    """Ports on which a model's processes would meet."""
    from openrlhf.trainer.ray import launcher

    return [launcher.BaseDistributedActor._get_free_port() for _ in range(count)]


ACTIONS = {action.__name__: action for action in (execute, read_data, train, warm_up, advantages, measured, ports)}


def do(request):
    """One request, in a process of its own."""
    log = os.open(request["log"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(request["folder"])
    os.environ.update(request["env"])
    sys.path.insert(0, request["folder"])
    if request["hook"]:
        import rlsp_hook

        rlsp_hook.install()
    answer = ACTIONS[request["do"]](**request["with"])
    Path(request["answer"]).write_text(json.dumps(answer))


def main():
    codes = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is imported prints
    for name in HEAVY:
        importlib.import_module(name)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            try:
                do(json.loads(line))
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=codes, flush=True)


if __name__ == "__main__":
    main()
