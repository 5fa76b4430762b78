"""Games in which the policy plays both seats: two responses of one rollout hear each other's moves.

After SPIRAL (arXiv 2506.24119). Row 2k is the first player of game k, and row 2k+1 the second. A
continuation is asked after each turn, and what it says goes to the other player. What a player is
told first is its prompt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.dialogue import Dialogue, Draft, Draw
from rlsp_cli.engine.prompt import encode_prompt, prompt_text
from rlsp_cli.recipe.data import Data
from rlsp_cli.rewards.continuing import Continuer
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.turns import MODEL, Turn, Turns


@dataclass(frozen=True)
class SelfPlay(Dialogue):
    """A dialogue of two responses; `prompt` has the token ids of what a player is told first."""

    prompt: Callable[[str], list[int]]

    def respond(
        self, prompts: Sequence[list[int]], samples: Sequence[Sample], limit: int, draw: Draw
    ) -> list[Generated]:
        """Both responses of each game; what cut one short, or broke it, has ended both."""
        found = super().respond(prompts, samples, limit, draw)
        return [_ended_with(one, found[self.hearer(row)]) for row, one in enumerate(found)]

    def first(self, count: int) -> list[int]:
        """The first player of each game."""
        return list(range(0, count, 2))

    def hearer(self, row: int) -> int:
        """The other player of the same game."""
        return row ^ 1

    def tell(self, draft: Draft, text: str, limit: int) -> None:
        """As in any dialogue; the first text becomes the prompt."""
        if draft.said:
            super().tell(draft, text, limit)
            return
        draft.prompt = self.prompt(text)
        draft.said.append(Turn(self.by, text))


def self_play_of(continuer: Continuer, tokenizer: PreTrainedTokenizerBase, data: Data) -> SelfPlay:
    """Self-play led by a continuation; DataError if the chat template has no place for it."""

    def prompt(told: str) -> list[int]:
        return encode_prompt(prompt_text(told, data, tokenizer), tokenizer)

    found = SelfPlay(continuer.ask, continuer.name, continuer.settings, tokenizer, prompt)
    _ = found.foreign
    return found


def _ended_with(one: Generated, other: Generated) -> Generated:
    assert one.turns and other.turns, "a dialogue"
    # Out of tokens is out of moves, which the other player wins.
    if other.turns.outcome in ("whole", "length"):
        return one
    turns = replace(one.turns, outcome=other.turns.outcome, reason=other.turns.reason)
    return replace(one, turns=turns, truncated=other.truncated)


def told_first(turns: Turns | None) -> str | None:
    """What a player was told before its first turn, if that came from elsewhere."""
    said: Sequence[Turn] = turns.said if turns else ()
    return said[0].text if said and said[0].by != MODEL else None
