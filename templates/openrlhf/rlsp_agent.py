"""Responses in turns: OpenRLHF's engine writes, and rlsp's reward service says what follows.

OpenRLHF loads this file by its path (`--train.agent_func_path`). The turns themselves are the
service's (rlsp_cli/backends/openrlhf/turns.py): it returns token ids, so that what the model wrote
is never encoded again, and with the last turn the reward.
"""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

from openrlhf.utils.agent import AgentExecutorBase
from rlsp_hook import THREADS
from rlsp_reward import DRAWN, NUMBER_BITS, ask, finite, give_up


class AgentExecutor(AgentExecutorBase):
    """Has the engine write turns until the service says that a response has ended."""

    def __init__(self):
        # Of our own, since asyncio's are too few for rewards that wait for a whole group.
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="rlsp-turns")

    async def execute(
        self, prompt, label, sampling_params, max_length, hf_tokenizer, llm_engine, images=None
    ):
        """A response, as OpenRLHF takes it of any executor."""
        room = max_length - sampling_params.max_tokens
        before = hf_tokenizer(prompt, add_special_tokens=False)["input_ids"][-room:]
        request = DRAWN.getrandbits(NUMBER_BITS)
        asking = {
            "prompts": prompt,
            "labels": json.loads(label),
            "prompt_tokens": before,
            "request": request,
        }

        own, logp = [], []
        said = await self.take_turn({**asking, "so_far": None, "written": None})
        while "limit" in said:
            tokens = before + said["so_far"]["tokens"]
            output = await draw(llm_engine, tokens, sampling_params, said)
            own.append((len(tokens), len(tokens) + len(output.token_ids)))

            # Prompts and what others say have no probability.
            logp += [0.0] * (len(tokens) - len(logp)) + chosen(output)
            written = as_written(output)
            said = await self.take_turn({**asking, "so_far": said["so_far"], "written": written})

        return {
            "prompt": prompt,
            "label": label,
            "images": images,
            "mm_train_inputs": None,
            "observation_tokens": before + said["so_far"]["tokens"],
            "action_ranges": own,
            "rollout_log_probs": None if sampling_params.logprobs is None else logp,
            "truncated": said["truncated"],
            "reward": said["rewards"],
            "scores": said["scores"],
            "extra_logs": {**said["extra_logs"], "rlsp_request": request},
        }

    async def take_turn(self, body):
        """What the service says after a turn, in a thread that may wait for it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, take_turn, body)


def take_turn(body):
    """What the service says after a turn; ends the process when it refuses."""
    try:
        said = ask("/turn", body)
        return said if "limit" in said else finite(said)
    except Exception as error:
        give_up(f"{type(error).__name__}: {error}")


async def draw(engine, tokens, sampling_params, said):
    """What the engine writes after these tokens: its output, with token ids."""
    params = deepcopy(sampling_params)
    params.max_tokens = said["limit"]
    params.stop = list(said["stop"])
    params.min_tokens = 0  # vLLM looks for no `stop` in the first of them
    request = await engine.generate(tokens, params)
    return request.outputs[0]


def as_written(output):
    """A turn as the service reads it; a text among the recipe's `stop` is vLLM's stop reason."""
    return {
        "tokens": list(output.token_ids),
        "truncated": output.finish_reason == "length",
        "stopped": isinstance(output.stop_reason, str),
    }


def chosen(output):
    """The log-probabilities of the drawn tokens; 0.0 where none were asked for."""
    if output.logprobs is None:
        return [0.0] * len(output.token_ids)
    rows = zip(output.token_ids, output.logprobs, strict=True)
    return [row[token].logprob for token, row in rows]
