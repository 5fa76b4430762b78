"""Completions from a model that is served."""

from dataclasses import asdict

from rlsp_cli.rewards.models import Address, ServedModel
from rlsp_cli.traces.labels.completions import Draw, Drawing, Drawn


def drawn_from(name: str, address: Address) -> Draw:
    """A function that asks the model; several threads may call it."""

    def draw(prompt: str, drawing: Drawing) -> Drawn:
        with ServedModel(name, address) as model:
            found = model.complete(prompt, **asdict(drawing))
            return Drawn([one.text for one in found], model.tokens_used)

    return draw
