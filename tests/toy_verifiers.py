"""The part of the library `verifiers` 0.1.14 that an environment is played by, and a toy environment.

The library itself takes 600 MB; tests/test_environment.py runs it where RLSP_TEST_VERIFIERS names a venv.
"""

import logging
import os
import random
import time
from types import SimpleNamespace
from typing import Any

log = logging.getLogger("verifiers.toy")


class Error(Exception):
    """Ends a rollout in order."""


class OverlongPromptError(Error):
    """The prompt is too long."""


class Client:
    """Asks a model."""


class ClientConfig:
    """Settings of a client."""


class ResponseMessage(SimpleNamespace):
    """What a model wrote."""


class Response(SimpleNamespace):
    """A reply of a client."""


class Rubric:
    """`length` counts, and `metric` does not."""

    weights = (1.0, 0.0)

    def __init__(self) -> None:
        def length(text: str) -> float:
            return len(text) / 10 if text != "raise" else 1 / 0

        def metric(text: str) -> float:
            raise ValueError(text)

        self.funcs = (length, metric)

    async def score_rollout(self, state: dict[str, Any]) -> None:
        """Sum the functions; one that raises counts 0, and is logged."""
        state["reward"] = 0.0
        for function, weight in zip(self.funcs, self.weights, strict=True):
            try:
                state["reward"] += weight * function(
                    state["trajectory"][-1]["completion"][0]["content"]
                )
            except Exception as error:  # as the library does it
                log.error("Error calling reward function %s: %s", function.__name__, error)

    async def cleanup(self, state: dict[str, Any]) -> None:
        """Nothing is left."""


class RubricGroup:
    """Adds up rubrics, and has no functions of its own."""

    funcs = weights = ()

    def __init__(self, rubrics: list[Rubric]) -> None:
        self.rubrics = rubrics

    async def score_rollout(self, state: dict[str, Any]) -> None:
        """The reward of the only rubric."""
        await self.rubrics[0].score_rollout(state)

    async def cleanup(self, state: dict[str, Any]) -> None:
        """Nothing is left."""


class Toy:
    """Says what the model said in capitals and a die; "stop" ends a rollout, other words break it."""

    def __init__(
        self,
        tools: bool = False,
        message_type: str = "chat",
        groups: bool = False,
        several_rubrics: bool = False,
    ) -> None:
        self.tool_defs, self.message_type = (["a tool"] if tools else []), message_type
        self.requires_group_rollouts = groups
        self.rubric = RubricGroup([Rubric()]) if several_rubrics else Rubric()
        self.get_model_response: Any = None
        print("an environment may print")

    def get_dataset(self) -> list[dict[str, Any]]:
        """Two rows."""
        system = {"role": "system", "content": "Be brief."}
        user = {"role": "user", "content": [{"type": "text", "text": "Say a word."}]}
        return [{"prompt": [system, user], "answer": "word"}, {"prompt": "Say.", "answer": 3}]

    def get_eval_dataset(self) -> list[dict[str, Any]]:
        """One row."""
        return [{"prompt": "Say it.", "answer": ""}]

    async def rollout(self, row: dict[str, Any], *_: Any) -> dict[str, Any]:
        """The loop of `MultiTurnEnv`."""
        state: dict[str, Any] = {"trajectory": [], "error": None, "final_env_response": None}
        prompt = row["prompt"] if isinstance(row["prompt"], list) else [row["prompt"]]
        while True:
            try:
                reply = await self.get_model_response(state, prompt)
            except OverlongPromptError:
                return state
            said = {"role": "assistant", "content": reply.message.content}
            state["trajectory"].append({"prompt": prompt, "completion": [said]})
            if said["content"] == "ail":  # the library keeps an error of its own kind in the state
                return {**state, "error": Error("broken tool")}
            heard = {"role": "user", "content": self._answer(said["content"])}
            if said["content"] == "stop":
                state["final_env_response"] = [heard]
                return state
            prompt = [*(prompt if said["content"] != "forget" else prompt[1:]), said, heard]

    def _answer(self, text: str) -> Any:
        if text == "hang":
            time.sleep(60)
        if text == "die":
            os._exit(3)
        if text == "fail":
            raise ValueError("broken\nenvironment")
        if text == "look":
            return [{"type": "image_url", "image_url": {"url": "data:,"}}]
        return f"{text.upper()} {random.randint(1, 6)}"


def load_environment(**arguments: Any) -> Toy:
    """The toy environment."""
    return Toy(**arguments)
