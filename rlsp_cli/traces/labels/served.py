"""Completions and replies from a model that is served."""

from dataclasses import asdict

from rlsp_cli.rewards.models import Address, ServedModel
from rlsp_cli.traces.labels.completions import Draw, Drawing, Drawn
from rlsp_cli.traces.labels.critic import Chat, Messages, Reply


def drawn_from(name: str, address: Address) -> Draw:
    """A function that asks the model; several threads may call it."""

    def draw(prompt: str, drawing: Drawing) -> Drawn:
        with ServedModel(name, address) as model:
            found = model.complete(prompt, **asdict(drawing))
            return Drawn([one.text for one in found], model.tokens_used)

    return draw


def replies_from(name: str, address: Address) -> Chat:
    """A function that asks the model for replies; several threads may call it."""

    def chat(messages: Messages, max_tokens: int) -> Reply:
        with ServedModel(name, address) as model:
            text = model.chat(messages, max_tokens=max_tokens)
            return Reply(text, model.tokens_used)

    return chat
