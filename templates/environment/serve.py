"""Runs an environment of the library `verifiers`, in the environment's own interpreter.

`python serve.py VERSIONS LOAD ARGUMENTS` answers each JSON line with one. It imports nothing of rlsp.
The environment goes through its own `rollout`, with the model's turns in the place of a client's
replies; each request plays a response from its start, so that nothing is kept between two of them.
"""

import asyncio
import importlib
import json
import logging
import os
import random
import sys
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Played:
    """A response as the environment has played it; `told` are its texts, one after each turn.

    `waits`: it has told the last one and waits for the model's next turn. `closing` is a text with
    which it has ended.
    """

    state: Any = None
    told: list[str] = field(default_factory=list)
    waits: bool = False
    closing: str | None = None


class Failures(logging.Handler):
    """Keeps the errors that `verifiers` logs: a reward function that raises counts 0 there."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.messages.append(record.getMessage())


def main(versions: str, load: str, arguments: str) -> None:
    """Answer requests until standard input ends."""
    # Standard output becomes standard error: what an environment prints is no answer.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(reply: dict[str, Any]) -> None:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    try:
        environment = loaded(versions.split(), load, json.loads(arguments))
    except (Exception, SystemExit) as error:  # noqa: BLE001 (a package may fail in any way while it is imported)
        say({"error": reason(error)})
        return
    say({"rows": {split: len(rows_of(environment, split)) for split in ("train", "test")}})

    for line in sys.stdin:
        try:
            say(asyncio.run(answer(environment, json.loads(line))))
        except Exception as error:  # noqa: BLE001 (an outcome of one sample)
            say({"error": reason(error)})


def reason(error: BaseException) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def loaded(versions: list[str], load: str, arguments: dict[str, Any]) -> Any:
    """The environment; ValueError for one that cannot be played in texts."""
    from importlib.metadata import version

    found = version("verifiers")
    if found not in versions:
        raise ValueError(f"found verifiers {found}, expected {' or '.join(versions)}")

    module, _, function = load.partition(":")
    make = getattr(importlib.import_module(module), function or "load_environment")
    environment = make(**arguments)

    if environment.message_type != "chat":
        raise ValueError("its prompts are no conversations")
    if environment.tool_defs:
        raise ValueError("it gives the model tools, whose calls are not read from text")
    if environment.requires_group_rollouts:
        raise ValueError("it rewards groups of responses, expected a reward for each")
    return environment


def rows_of(environment: Any, split: str) -> Any:
    """The rows of a split; those of `train` where an environment has no others."""
    return environment.get_dataset() if split == "train" else environment.get_eval_dataset()


async def answer(environment: Any, request: dict[str, Any]) -> dict[str, Any]:
    """The reply to a request to show a row (`row`), to go on (`follow`) or to `score`."""
    row = rows_of(environment, request["split"])[request["row"]]
    if request["do"] == "row":
        return {"prompt": texts_of(row["prompt"]), "answer": plain(row.get("answer"))}

    # Equal responses hear equal texts, also from an environment that draws.
    random.seed(f"{request['split']}:{request['row']}")
    played = await play(environment, row, request["turns"])
    if request["do"] == "score":
        return await score(environment, played)
    return {"told": played.told, "closing": played.closing}


def plain(value: Any) -> str:
    """A value as text."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


async def play(environment: Any, row: dict[str, Any], turns: list[str]) -> Played:
    """What the environment makes of the model's turns."""
    import verifiers as vf
    from verifiers.clients import Client
    from verifiers.types import ClientConfig, Response, ResponseMessage

    played = Played()

    async def next_turn(state: Any, prompt: list[Any], *_: Any, **__: Any) -> Response:
        done = len(state["trajectory"])
        if done:
            played.told.append(after(state["trajectory"][-1], prompt))
        if done == len(turns):
            played.waits = True
            raise vf.OverlongPromptError("no more turns")  # ends a rollout in order
        message = ResponseMessage(content=turns[done], finish_reason="stop", is_truncated=False)
        return Response(id="", created=0, model="policy", message=message)

    class NoClient(Client):  # type: ignore[misc,type-arg]
        """Asks no model."""

    NoClient.__abstractmethods__ = frozenset()
    client = object.__new__(NoClient)
    client.__dict__["_config"] = ClientConfig()

    environment.get_model_response = next_turn
    state = await environment.rollout(dict(row), client, "policy", {})
    if state.get("error") is not None:
        raise RuntimeError(f"the environment failed: {reason(state['error'])}")

    final = state.get("final_env_response")
    if final is not None and not played.waits:
        played.closing = texts_of(final)
    played.state = state
    return played


def after(step: dict[str, Any], prompt: list[Any]) -> str:
    """What the environment has said after a step; ValueError if it changed what stood before."""
    before = [*step["prompt"], *step["completion"]]
    if list(prompt[: len(before)]) != before:
        raise ValueError("the environment changes what was said before, which a response keeps")
    return texts_of(prompt[len(before) :])


def texts_of(messages: Any) -> str:
    """The texts of messages, or of one."""
    return "\n\n".join(map(text_of, messages if isinstance(messages, list) else [messages]))


def text_of(message: Any) -> str:
    """The text of a message; ValueError for one with pictures or sound."""
    content = (
        message["content"] if isinstance(message, dict) else getattr(message, "content", message)
    )
    if isinstance(content, list):
        parts = [part if isinstance(part, dict) else part.model_dump() for part in content]
        if any(part.get("type") != "text" for part in parts):
            raise ValueError("the environment shows more than text")
        content = "".join(part["text"] for part in parts)
    return str(content)


async def score(environment: Any, played: Played) -> dict[str, Any]:
    """The rubric's reward; RuntimeError if a function that counts has raised."""
    failures, log = Failures(), logging.getLogger("verifiers")
    log.addHandler(failures)
    try:
        await environment.rubric.score_rollout(played.state)
        await environment.rubric.cleanup(played.state)
    finally:
        log.removeHandler(failures)

    counted = {f"Error calling reward function {name}:" for name in weighted(environment.rubric)}
    for message in failures.messages:
        if any(message.startswith(start) for start in counted):
            raise RuntimeError(message)
    return {"reward": played.state["reward"]}


def weighted(rubric: Any) -> set[str]:
    """The names of the reward functions that count."""
    parts = getattr(rubric, "rubrics", None)
    if parts is not None:
        return set().union(*map(weighted, parts))
    pairs = zip(rubric.funcs, rubric.weights, strict=True)
    return {function.__name__ for function, weight in pairs if weight}


if __name__ == "__main__":
    main(*sys.argv[1:])
