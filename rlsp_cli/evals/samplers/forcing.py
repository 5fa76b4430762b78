"""Budget forcing (s1, 2501.19393): lengthen a model's thinking, or end it with an answer."""

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

from rlsp_cli.errors import DataError
from rlsp_cli.evals.samplers.sampler import Decoding, Request, Response, Sampler
from rlsp_cli.recipe.strategy import Forcing
from rlsp_cli.rewards.thinking import before_the_end, closing, whole

# The words of the paper, Section 3.1.
_WAIT = " Wait"
_FINAL = "\n\nFinal Answer:"

_ANSWER_PART = 8
"""1/8 of the token limit is kept for a forced answer."""
_STEPS = 16
"""What is left for thinking is rounded down to 1/16 of it, so that many responses share a limit."""


class ForcedSampler:
    """A sampler that lengthens and ends the responses of another one; meant for greedy decoding.

    A response that ends by itself before `min_tokens` loses its end (from the last closing tag of
    thinking on, where there is one), gets " Wait" and is continued, at most `waits` times. One that
    reaches the limit of tokens gets the closing tag if it is thinking between tags, then "Final
    Answer:", and is finished.

    The text has what was added. `num_tokens` counts what the model wrote, including the ends that
    were taken off, because that is what the response cost.
    """

    def __init__(self, inner: Sampler, forcing: Forcing) -> None:
        self.inner, self.forcing = inner, forcing

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        """The responses, in rounds: a sampler has one token limit for all that it is asked."""
        limits = _Limits(decoding.max_new_tokens)
        going = {row: _Draft(request) for row, request in enumerate(requests) if row not in done}

        while going:
            groups: dict[int, list[int]] = defaultdict(list)
            for row, draft in going.items():
                groups[limits.next(draft)].append(row)

            before, going = going, {}
            for limit, rows in groups.items():
                asked = [before[row].request for row in rows]
                limited = replace(decoding, max_new_tokens=limit)

                for n, response in self.inner.answer(asked, limited):
                    draft = before[rows[n]].grown(response)
                    further = self._further(draft, limits)
                    if further is None:
                        yield rows[n], draft.response()
                    else:
                        going[rows[n]] = further

    def _further(self, draft: "_Draft", limits: "_Limits") -> "_Draft | None":
        """What is to be continued; None when the response is finished."""
        if draft.final:
            return None
        if draft.truncated:
            return draft.ending()

        # Without `min_tokens` every response is made to wait, as often as `waits` says.
        least = self.forcing.min_tokens
        early = draft.waits < self.forcing.waits and (least is None or draft.tokens < least)
        return draft.waiting() if early and limits.rest(draft) else None


@dataclass(frozen=True)
class _Limits:
    """How the limit of tokens is split between thinking and a forced answer."""

    all: int

    @property
    def answer(self) -> int:
        return max(1, self.all // _ANSWER_PART)

    @property
    def thinking(self) -> int:
        return max(1, self.all - self.answer)

    def rest(self, draft: "_Draft") -> int:
        """Tokens that a response may still use for thinking."""
        # All start with the same rest. Later each has its own, and without rounding each would be a
        # batch of one.
        step = max(1, self.thinking // _STEPS) if draft.tokens else 1
        return max(0, self.thinking - draft.tokens) // step * step

    def next(self, draft: "_Draft") -> int:
        """The limit of the part that comes next."""
        return self.answer if draft.final else self.rest(draft)


@dataclass(frozen=True)
class _Draft:
    """A response so far, as the prefix of its request."""

    request: Request
    tokens: int = 0
    waits: int = 0
    final: bool = False
    truncated: bool = False

    def grown(self, response: Response) -> "_Draft":
        """The draft with what the model added to it."""
        if response.num_tokens is None:
            where = f"problem {self.request.id!r}"
            raise DataError(
                f"{where}: budget forcing needs num_tokens, which this response does not have"
            )

        longer = self._with(self.request.prefix + response.text)
        tokens = self.tokens + response.num_tokens
        return replace(longer, tokens=tokens, truncated=response.truncated)

    def waiting(self) -> "_Draft":
        """The draft without its end and with " Wait", to think on."""
        kept = before_the_end(self.request.prefix)
        return replace(self._with(kept.rstrip() + _WAIT), waits=self.waits + 1)

    def ending(self) -> "_Draft":
        """The draft with its thinking closed, to give the final answer."""
        text = whole(self.request.prompt, self.request.prefix)
        return replace(self._with(text + closing(text) + _FINAL), final=True)

    def response(self) -> Response:
        """The finished response."""
        return Response(self.request.prefix, self.tokens, self.truncated)

    def _with(self, prefix: str) -> "_Draft":
        return replace(self, request=replace(self.request, prefix=prefix))
