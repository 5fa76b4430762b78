"""Rollouts by vLLM: a server beside the trainer, which takes the policy's weights before each of them."""

import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from rlsp_cli.backends.local.untied import save_untied
from rlsp_cli.backends.model_shape import model_shape
from rlsp_cli.backends.vllm import Server, for_rollouts, rollout_environment, serving
from rlsp_cli.engine import adapter
from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.draw import row_seeds
from rlsp_cli.engine.ending import end_ids
from rlsp_cli.engine.precision import computes_in_bfloat16
from rlsp_cli.engine.stage import Context
from rlsp_cli.errors import JobError, NotReadyError
from rlsp_cli.evals.samplers import Endpoint, Question
from rlsp_cli.outside import read_json
from rlsp_cli.recipe.model import Model
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.rewards.sample import Sample

Reply = TypeVar("Reply")

_BLOCK = 128
"""Tokens of a block in vLLM's cache, at most: each sequence fills its last one in part."""
_BYTES_OF_UNKNOWN = 2**18
"""Bytes of a token's keys and values where the model's shape is unknown: twice those of a model of 7B."""
_SHOWN = 80
"""Characters of a reply that an error shows."""


class ServedPolicy:
    """A `PolicySampler`: a policy in training, on a server that samples from it."""

    records = False

    def __init__(self, server: Server, context: Context, settings: Ppo) -> None:
        self.server, self.settings = server, settings
        self.policy, self.tokenizer = context.model, context.tokenizer
        self.seed, self.folder = context.recipe.seed, context.paths.served / "policy"
        self.adapts, self.name = settings.lora is not None, ""

    def draw(
        self,
        prompts: Sequence[list[int]],
        step: int,
        first: int = 0,
        samples: Sequence[Sample] = (),
    ) -> list[Generated]:
        """A response to each prompt by the policy as it is now, with the server's log-probabilities.

        NotReadyError when the server ends or hangs: a resumed run starts another.
        """
        # The further prompts of a step are for the weights that the server has.
        if not first:
            self.hand_over()
        seeds = row_seeds(self.seed, "rollout", step, len(prompts), first)
        ends = end_ids(self.policy, self.tokenizer)

        questions = []
        for row, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            body = self._body(prompt, seed, ends)
            question = Question(
                body, partial(_read, ends=ends), f"prompt {first + row} of step {step + 1}"
            )
            questions.append((row, question))

        found = dict(self._ask(f"{self.server.root}/v1/completions", questions))
        return [found[row] for row in range(len(prompts))]

    def hand_over(self) -> None:
        """Give the server the policy's weights; their files are removed when it has them."""
        before, self.name = self.name, _new_name()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.adapts:
            self._replace_adapter(before)
        else:
            save_untied(self.policy, self.folder)
            weights = {"weights_path": str(self.folder)}
            self._tell("/collective_rpc", {"method": "reload_weights", "kwargs": weights})
        shutil.rmtree(self.folder)

    def _replace_adapter(self, before: str) -> None:
        # Under a new name: vLLM would read an adapter that is loaded in place of another again from
        # its files for each token.
        adapter.save_adapter(self.policy, self.folder)
        if before:
            self._tell("/v1/unload_lora_adapter", {"lora_name": before})
        one = {"lora_name": self.name, "lora_path": str(self.folder)}
        self._tell("/v1/load_lora_adapter", one)

    def _tell(self, path: str, body: dict[str, Any]) -> None:
        question = Question(body, bytes, "the policy's weights")
        list(self._ask(self.server.root + path, [(0, question)]))

    def _body(self, prompt: Sequence[int], seed: int, ends: Collection[int]) -> dict[str, Any]:
        """A request for tokens as the embedded engine would draw them."""
        return {
            "model": self.name if self.adapts else self.server.model,
            "prompt": list(prompt),
            "max_tokens": self.settings.max_new_tokens,
            "temperature": self.settings.temperature,
            "seed": seed,
            # The policy's end tokens, and not those that vLLM finds in the model's files.
            "stop_token_ids": sorted(ends),
            "ignore_eos": True,
            "return_token_ids": True,
            "logprobs": 0,
            # vLLM keeps keys and values of prompts, also when the weights behind them have changed.
            "cache_salt": self.name,
        }

    def _ask(
        self, address: str, questions: Iterable[tuple[int, Question[Reply]]]
    ) -> Iterator[tuple[int, Reply]]:
        server = self.server
        endpoint = Endpoint(address, server.key, self.settings.decode_batch, server.watch().look)
        try:
            yield from endpoint.replies(questions)
        except JobError as error:
            # What ended it in the middle of training need not come again.
            raise NotReadyError(str(error)) from error


@contextmanager
def served_policy(
    context: Context, settings: Ppo, prompts: Sequence[Sequence[int]]
) -> Iterator[ServedPolicy]:
    """A server for the context's model, which has no adapter yet; all of it ends with the block.

    `prompts` are all that may be asked, as token ids. The errors are those of `serving` and
    `rollout_environment`.
    """
    recipe, paths = context.recipe, context.paths
    environment = rollout_environment(recipe)
    in_16_bits = computes_in_bfloat16(context.model, recipe.model.precision)

    base = paths.served / "base"
    if settings.lora:
        context.model.save_pretrained(base)
    else:
        save_untied(context.model, base)
    context.tokenizer.save_pretrained(base)

    sequences = min(settings.decode_batch, settings.responses)
    length = max(map(len, prompts)) + settings.max_new_tokens
    cache = sequences * (length + _BLOCK) * _bytes_of_a_token(base, in_16_bits)
    rank = settings.lora.rank if settings.lora else None
    try:
        with serving(
            str(base),
            environment,
            recipe.cluster.gpus_per_node,
            "bfloat16" if in_16_bits else "float32",
            paths.root.parent,
            paths.server_log,
            context.stop.leave_if_set,
            for_rollouts(sequences, length, cache, rank),
        ) as server:
            yield ServedPolicy(server, context, settings)
    finally:
        shutil.rmtree(paths.served, ignore_errors=True)


def _new_name() -> str:
    """A name for the weights of one hand-over, which no others have had on the server."""
    return f"policy-{uuid4().hex}"


def _bytes_of_a_token(model: Path, in_16_bits: bool) -> int:
    """Bytes of a token's keys and values."""
    shape = model_shape(Model(path=str(model)))
    if shape is None:
        return _BYTES_OF_UNKNOWN
    return shape.kv_bytes if in_16_bits else 2 * shape.kv_bytes


def _read(content: bytes, ends: Collection[int]) -> Generated:
    """The tokens of a completion; ValueError for a reply without them."""
    try:
        choice = read_json(content)["choices"][0]
        tokens, logp = choice["token_ids"], choice["logprobs"]["token_logprobs"]
        return Generated(tokens, truncated=tokens[-1] not in ends, logp=logp)
    except (LookupError, TypeError) as error:
        raise ValueError(f"vLLM's reply has no tokens: {content[:_SHOWN]!r}") from error
