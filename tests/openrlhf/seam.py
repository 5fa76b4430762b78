"""Run in OpenRLHF's interpreter: its own executor, data sets, trainer and advantages, as a test asks for them.

Each line of stdin is a request {"do", "with", "folder", "env", "hook", "answer", "log"}. It is done
in a fork, because a reward may end its process, and because OpenRLHF's modules must be imported
behind the hook. Its exit code is a line of stdout.
"""

import asyncio
import copy
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

HEAVY = (
    "torch.utils.data",
    "transformers.models.auto",
    "datasets",
    "ray",
    "deepspeed",
    "vllm.sampling_params",
)
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

    `samples` are [prompt, label, text]. The columns that training gets, or the error of putting
    them together.
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
    experiences = [
        generator._process_response_into_experience(output, max_len=ROOM) for output in outputs
    ]
    found = {"none": sum(output["reward"] is None for output in outputs)}
    try:
        whole = Experience.concat_experiences(experiences, tokenizer.pad_token_id)
    except Exception as error:
        return {**found, "error": f"{type(error).__name__}: {error}"}
    column = {
        name: values.tolist()
        for name, values in whole.info.items()
        if isinstance(values, torch.Tensor)
    }
    rewards = whole.rewards.tolist() if isinstance(whole.rewards, torch.Tensor) else None
    return {
        **found,
        "rewards": rewards,
        "info": column,
        "keys": [sorted(one["extra_logs"]) for one in outputs],
    }


class Player:
    """Stands for vLLM in a response of several turns; each is [text, how it ends].

    `end`: with the end token; `length`: cut short; any other way is the text at which it stops.
    """

    def __init__(self, tokenizer, turns):
        self.tokenizer, self.turns, self.asked, self.drawn = tokenizer, list(turns), [], []

    async def generate(self, prompt_token_ids, sampling_params, multi_modal_data=None):
        params = sampling_params
        self.asked.append(
            [list(prompt_token_ids), params.max_tokens, params.stop, params.min_tokens]
        )
        text, how = self.turns.pop(0)
        tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if how == "end":
            tokens = [*tokens, self.tokenizer.eos_token_id]
        self.drawn.append(tokens)

        logprobs = [{one: SimpleNamespace(logprob=-one / 100), 0: None} for one in tokens]
        output = SimpleNamespace(
            token_ids=tokens,
            finish_reason="length" if how == "length" else "stop",
            stop_reason=None if how in ("end", "length") else how,
            logprobs=logprobs if params.logprobs is not None else None,
        )
        return SimpleNamespace(outputs=[output])


def turns(model, samples, max_tokens, max_length):
    """Responses in turns through our executor and the real making of experiences.

    `samples` are [prompt, label, turns]. Of each: what the engine was asked and what it drew, and
    the experience: sequence, mask, log-probabilities and numbers.
    """
    import torch
    from openrlhf.trainer.ppo_utils.samples_generator import SamplesGenerator
    from rlsp_agent import AgentExecutor
    from transformers import AutoTokenizer
    from vllm import SamplingParams

    tokenizer, executor = AutoTokenizer.from_pretrained(model), AgentExecutor()
    generator = object.__new__(SamplesGenerator)
    params = SamplingParams(max_tokens=max_tokens, min_tokens=1, logprobs=1)

    async def one(prompt, label, turns):
        engine = Player(tokenizer, turns)
        output = await executor.execute(prompt, label, params, max_length, tokenizer, engine)
        return engine, generator._process_response_into_experience(output, max_len=max_length)

    async def everyone():
        return await asyncio.gather(*(one(*sample) for sample in samples))

    return [
        {
            "asked": engine.asked,
            "drawn": engine.drawn,
            "sequence": made.sequences[0].tolist(),
            "mask": made.action_mask[0].tolist(),
            "logp": made.rollout_log_probs[0].tolist(),
            "length": made.response_length.item(),
            "truncated": made.truncated.item(),
            "info": {
                key: value.item() for key, value in made.info.items() if torch.is_tensor(value)
            },
        }
        for engine, made in asyncio.run(everyone())
    ]


def own_returns(rewards, values, mask, gamma, lambd):
    """Advantages and returns of GAE, and discounted returns, by the real experience maker."""
    import torch
    from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker

    maker = object.__new__(RemoteExperienceMaker)
    r, v, own = torch.tensor(rewards), torch.tensor(values), torch.tensor(mask).bool()
    advantages, returns = maker.get_advantages_and_returns(v, r, own, gamma, lambd)
    cumulated = maker.get_cumulative_returns(r, own, gamma)
    return [(one * own).tolist() for one in (advantages, returns, cumulated)]


def settings(model, prompts, heldout, steps=1, size=4, samples=1, between=None):
    """What the trainer and the generator read of the command's options, and a strategy that has them."""
    from transformers import AutoTokenizer

    args = SimpleNamespace(
        data=SimpleNamespace(
            prompt_dataset=prompts,
            input_key="prompt",
            label_key="label",
            input_template=None,
            max_len=ROOM,
        ),
        eval=SimpleNamespace(dataset=heldout, temperature=1.0, n_samples_per_prompt=1),
        train=SimpleNamespace(seed=3, batch_size=size * samples, max_epochs=1),
        rollout=SimpleNamespace(
            batch_size=size, n_samples_per_prompt=samples, max_new_tokens=ROOM, top_p=1.0
        ),
        vllm=SimpleNamespace(enable_sleep=False),
        algo=SimpleNamespace(
            dynamic_filtering_enable=between is not None,
            dynamic_filtering_range=between,
            advantage=SimpleNamespace(is_correction_level="off"),
        ),
        ckpt=SimpleNamespace(path="none", load_enable=False, save_steps=1000),
        logger=SimpleNamespace(logging_steps=1),
    )
    return SimpleNamespace(args=args, is_rank_0=lambda: True), AutoTokenizer.from_pretrained(model)


def read_data(model, prompts, heldout, take, again):
    """Both files as the trainer reads them: lists of [datasource, prompt, label, image].

    `take` prompts are drawn; `again` is what follows after the first `again` of them went into a
    checkpoint.
    """
    import rlsp_trainer
    from openrlhf.trainer import ppo_trainer

    strategy, tokenizer = settings(model, prompts, heldout)
    loader, nothing, updates = ppo_trainer.prepare_datasets(strategy, tokenizer)
    endless = iter(loader)
    head, state = [next(endless) for _ in range(again)], loader.state_dict()
    resumed, _, _ = ppo_trainer.prepare_datasets(strategy, tokenizer)
    resumed.load_state_dict(state)
    tail = [batch for batch, _ in zip(resumed, range(take - again), strict=False)]
    held_out = rlsp_trainer.read_prompts(ppo_trainer, heldout, strategy, tokenizer)
    return {
        "train": [[column[0] for column in batch] for batch in head + tail],
        "heldout": [held_out[row] for row in range(len(held_out))],
        "evaluates": nothing is not None,
        "updates": updates,
    }


class Talkers:
    """Stands for the vLLM engines of Ray: the real executor, around a model that says what it was told to.

    `texts` are the responses to a prompt, by the id in its label.
    """

    def __init__(self, tokenizer, texts):
        from openrlhf.utils.agent import SingleTurnAgentExecutor

        self.executor, self.tokenizer, self.texts = (
            SingleTurnAgentExecutor("rlsp_reward.py"),
            tokenizer,
            texts,
        )
        self.get_num_unfinished_requests = SimpleNamespace(remote=lambda: 0)
        self.generate_responses = SimpleNamespace(remote=self.respond)
        self.asked = []

    def respond(
        self, prompt, label, sampling_params, max_length, hf_tokenizer, num_samples, images
    ):
        name = json.loads(label)["id"]
        self.asked.append(name)

        async def one(text):
            tokens = [
                *self.tokenizer(text, add_special_tokens=False)["input_ids"],
                self.tokenizer.eos_token_id,
            ]
            engine = Engine(tokens, "stop")
            return await self.executor.execute(
                prompt, label, sampling_params, max_length, hf_tokenizer, engine
            )

        async def everyone():
            return await asyncio.gather(*(one(text) for text in self.texts[name][:num_samples]))

        return asyncio.run(everyone())


def ray_at_once():
    """Stands for Ray, when what is remote has happened already."""
    return SimpleNamespace(
        get=lambda refs: refs, wait=lambda refs, num_returns, timeout: (refs[:1], refs[1:])
    )


def rollouts(model, prompts, texts, steps, size, samples, between, made=0):
    """Rollouts by the real generator until it says that it was the last: ids of each one's prompts, and all asked.

    `made` of them were made before a checkpoint.
    """
    from openrlhf.trainer import ppo_trainer
    from openrlhf.trainer.ppo_utils import samples_generator

    samples_generator.ray = ray_at_once()
    strategy, tokenizer = settings(model, prompts, None, steps, size, samples, between)
    loader, _, updates = ppo_trainer.prepare_datasets(strategy, tokenizer)
    loader.load_state_dict({"position": made * size, "made": made})
    engine = Talkers(tokenizer, texts)
    generator = samples_generator.SamplesGenerator(strategy, loader, None, tokenizer, [engine])
    whole, over = [], False
    try:
        while not over:
            found, _, _, over = generator.generate_samples(max_len=ROOM, max_new_tokens=ROOM)
            whole.append([json.loads(sample.labels[0])["id"] for sample in found])
    except Exception as error:
        return {"made": whole, "ended": f"{type(error).__name__}: {error}"}
    return {"made": whole, "asked": engine.asked, "updates": updates}


def train(model, steps, texts=None, begin=0):
    """The trainer's own beginning, evaluation and ends of steps, around models that only note what they are told.

    It begins with step `begin`, or, when that is None, goes on with a training that has begun.
    """
    import torch
    from openrlhf.trainer import ppo_trainer
    from openrlhf.trainer.ppo_utils import samples_generator

    ppo_trainer.ray = samples_generator.ray = ray_at_once()
    told = []

    class Trainer(ppo_trainer.BasePPOTrainer):
        def __init__(self):
            self.strategy, self.tokenizer = settings(model, None, "heldout.jsonl")
            self.args = self.strategy.args
            self.args.ckpt.load_enable = bool(begin)
            self.vllm_engines = [Talkers(self.tokenizer, texts)] if texts else []
            self.wandb_logger = self.tensorboard_logger = self.critic_model_group = None
            (
                self.best_eval_metric_key,
                self.best_eval_metric_value,
                self._latest_eval_metric_value,
            ) = "none", 0.0, None
            self.actor_model_group = SimpleNamespace(async_run_method=self.note)

        def note(self, method_name, *_, **what):
            told.append([method_name, what.get("tag")])
            return [{"episode": 0, "global_step": begin}]

    Path("none/_actor").mkdir(parents=True, exist_ok=True)
    trainer = Trainer()
    reached = trainer.init_checkpoint_states()["global_step"] if begin is not None else 0
    ended = None
    try:
        for numbers in steps:
            numbers |= {
                "kl": torch.tensor(0.5),
                "odd": float("nan"),
                "generated_samples": ["text", 1.0],
            }
            reached += 1
            trainer.save_logs_and_checkpoints(reached, numbers, {})
    except Exception as error:
        ended = f"{type(error).__name__}: {error}"
    return {"told": told, "reached": reached, "ended": ended}


def warm_up(steps, frozen):
    """How many pieces of experience each model learns from at once: the real step over models that only count."""
    import torch
    from openrlhf.trainer import ppo_trainer

    ppo_trainer.ray = ray_at_once()

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
    trainer.actor_model_group, trainer.critic_model_group, trainer.vllm_engines = (
        Group(),
        Group(),
        None,
    )
    trainer.kl_ctl = SimpleNamespace(value=0.1, update=lambda *_: None)
    trainer.tokenizer = SimpleNamespace(decode=lambda *_, **__: [""])
    one = torch.tensor([1.0])
    piece = SimpleNamespace(
        sequences=one[None], info={"reward": one}, response_length=one, truncated=one
    )
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
        settings = SimpleNamespace(
            estimator=case["estimator"], gamma=1.0, lambd=1.0, no_std_norm=False
        )
        args = SimpleNamespace(
            algo=SimpleNamespace(advantage=settings),
            rollout=SimpleNamespace(n_samples_per_prompt=size),
            reward=SimpleNamespace(clip_range=None),
        )
        maker = object.__new__(RemoteExperienceMaker)
        maker.strategy, maker.advantage_estimator = SimpleNamespace(args=args), case["estimator"]
        maker.kl_ctl = SimpleNamespace(value=case["kl_coef"])
        column = {
            name: torch.tensor(case[name])
            for name in ("rewards", "correctness", "exploration", "kl", "mask")
        }
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


def paid(model, prompts, texts, samples, estimators):
    """A rollout by the real generator, and what the real experience maker makes of it.

    For each estimator and response its prompt's id, its actions as texts of the sequence up to
    them, and the returns at these, without a penalty for KL.
    """
    from openrlhf.trainer import ppo_trainer
    from openrlhf.trainer.ppo_utils import samples_generator

    samples_generator.ray = ray_at_once()
    size = len(texts)
    strategy, tokenizer = settings(model, prompts, None, 1, size, samples)
    loader, _, _ = ppo_trainer.prepare_datasets(strategy, tokenizer)
    engine = Talkers(tokenizer, texts)
    generator = samples_generator.SamplesGenerator(strategy, loader, None, tokenizer, [engine])
    made, *_ = generator.generate_samples(max_len=ROOM, max_new_tokens=ROOM)

    return {name: made_of(copy.deepcopy(made), name, strategy, tokenizer) for name in estimators}


def made_of(samples, estimator, strategy, tokenizer):
    """The responses of a rollout with their returns under an estimator."""
    import torch
    from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker

    args, maker = strategy.args, object.__new__(RemoteExperienceMaker)
    args.algo.advantage = SimpleNamespace(
        estimator=estimator, gamma=1.0, lambd=1.0, no_std_norm=False
    )
    args.reward = SimpleNamespace(clip_range=None)
    args.rollout.micro_batch_size, args.train.dynamic_batch_enable = 3, False
    maker.strategy, maker.args, maker.tokenizer = strategy, args, tokenizer
    maker.advantage_estimator, maker.kl_ctl = estimator, SimpleNamespace(value=0.0)

    pieces = maker.split_rollout_samples(samples)
    for piece in pieces:
        piece.kl = piece.action_log_probs = torch.zeros(piece.action_mask.shape)
    found = []
    for piece in maker.compute_advantages_and_returns(pieces):
        for row, label in enumerate(piece.labels):
            places = piece.action_mask[row].nonzero().flatten().tolist()
            tokens = piece.sequences[row].tolist()
            found.append(
                {
                    "id": json.loads(label)["id"],
                    "until": [tokenizer.decode(tokens[: place + 2]) for place in places],
                    "returns": piece.returns[row][places].tolist(),
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
    return [
        {name: piece.info[name].item() for name in ("kl_response", "sampled_entropy")}
        for piece in done
    ]


def misfits():
    """What is said of each function that the hook relies on, if it took something else, and if it was not there."""
    import rlsp_hook

    def said(module):
        try:
            rlsp_hook.refuse_other(module)
        except rlsp_hook.SeamError as error:
            return str(error)
        return None

    found = {}
    for module in map(importlib.import_module, rlsp_hook.SEAMS):
        found[module.__name__] = said(module)
        for name in rlsp_hook.SEAMS[module.__name__]:
            *path, last = name.split(".")
            place = getattr(module, path[0]) if path else module
            own = place.__dict__[last]
            setattr(place, last, lambda unheard: None)
            other = said(module)
            delattr(place, last)
            found[f"{module.__name__}.{name}"] = [other, said(module)]
            setattr(place, last, own)
    return found


def ports(count):
    """Ports on which a model's processes would meet."""
    from openrlhf.trainer.ray import launcher

    return [launcher.BaseDistributedActor._get_free_port() for _ in range(count)]


ACTIONS = {
    action.__name__: action
    for action in (
        execute,
        turns,
        own_returns,
        read_data,
        rollouts,
        train,
        warm_up,
        advantages,
        measured,
        paid,
        misfits,
        ports,
    )
}


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
