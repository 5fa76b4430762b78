"""Responses in turns: OpenRLHF's engines write, and the reward service says what follows.

A response so far travels with each request, so that a service that was started again can go on with
it. `templates/openrlhf/rlsp_agent.py` is the other half of the conversation.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from threading import Lock
from typing import Any

from rlsp_cli.backends.local.sampling import continuer_of
from rlsp_cli.backends.sections import ppo_section
from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.dialogue import Dialogue, Draft, dialogue_of
from rlsp_cli.engine.model import load_tokenizer
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.models import Addresses
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.service.openrlhf import RequestError
from rlsp_cli.rewards.service.turns import NextTurn
from rlsp_cli.rewards.turns import Turn


class ServedTurns:
    """A `TurnTaking` by the engine's own dialogue; a response has at most `max_tokens` tokens."""

    def __init__(self, dialogue: Dialogue, max_tokens: int) -> None:
        self.dialogue, self.max_tokens = dialogue, max_tokens
        self._tokenizing = Lock()  # a tokenizer serves one thread at a time

    def follow(self, body: Mapping[str, Any], step: int) -> NextTurn:
        """See `TurnTaking`; a request without a turn asks how the first is to be drawn."""
        try:
            known = _known(body["prompts"], body["labels"], self.max_tokens, step)
            draft = _read(body["prompt_tokens"], known, body["so_far"])
            written = body["written"] and Generated(**body["written"])
        except (LookupError, TypeError, ValueError) as error:
            raise RequestError(f"no turn of a response: {type(error).__name__}: {error}") from error

        if written:
            self._answer(draft, written)
        if draft.outcome is None:
            return NextTurn(self._going_on(draft))

        ended, reference = draft.generated(), body["labels"].get("reference")
        sample = replace(draft.sample(), reference=reference, truncated=ended.truncated)
        return NextTurn({"so_far": _plain(draft), "truncated": ended.truncated}, sample)

    def _answer(self, draft: Draft, written: Generated) -> None:
        """Add what the model wrote, and what follows it."""
        with self._tokenizing:
            draft.write(written, self.dialogue.tokenizer)
        if draft.outcome is not None:
            return

        (reply,) = self.dialogue.ask([draft.sample()])
        with self._tokenizing:
            self.dialogue.follow(draft, reply, self.max_tokens)

    def _going_on(self, draft: Draft) -> dict[str, Any]:
        """How the next turn is to be drawn."""
        return {
            "so_far": _plain(draft),
            "limit": self.max_tokens - len(draft.tokens),
            "stop": self.dialogue.settings.stop,
        }


@contextmanager
def served_turns(recipe: Recipe, model: str, models: Addresses) -> Iterator[ServedTurns]:
    """The turns of a recipe's continuation, which can ask `models`; `model` has the tokenizer.

    The errors are those of `load_tokenizer` and `dialogue_of`.
    """
    tokenizer = load_tokenizer(model, recipe.model.chat_template)
    with continuer_of(recipe, models) as continuer:
        assert continuer is not None, "asked for a recipe with a continuation"
        dialogue = dialogue_of(continuer, tokenizer)
        yield ServedTurns(dialogue, ppo_section(recipe).max_new_tokens)


def _known(prompt: str, label: Mapping[str, Any], max_tokens: int, step: int) -> Sample:
    """What is known before there is a response."""
    return Sample(
        prompt,
        "",
        id=label["id"],
        metadata=label.get("metadata") or {},
        max_tokens=max_tokens,
        step=None if label.get("heldout") else step,
    )


def _read(prompt: list[int], known: Sample, so_far: Mapping[str, Any] | None) -> Draft:
    """The response that a request has; without one a new response."""
    if so_far is None:
        return Draft(prompt, known)
    foreign = [range(*ends) for ends in so_far["foreign"]]
    said = [Turn(**turn) for turn in so_far["said"]]
    others = so_far["other_tokens"]
    return Draft(
        prompt, known, tokens=so_far["tokens"], foreign=foreign, said=said, other_tokens=others
    )


def _plain(draft: Draft) -> dict[str, Any]:
    """What `_read` reads."""
    return {
        "tokens": draft.tokens,
        "foreign": [[one.start, one.stop] for one in draft.foreign],
        "said": [asdict(turn) for turn in draft.said],
        "other_tokens": draft.other_tokens,
    }
