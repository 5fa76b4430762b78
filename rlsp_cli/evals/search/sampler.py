"""A sampler that searches: its response to a request is the best that a tree has."""

from collections import Counter
from collections.abc import Container, Iterator, Sequence

from rlsp_cli.evals.samplers.sampler import Decoding, Request, Response
from rlsp_cli.evals.search.grow import Grown, Search


class SearchSampler:
    """A sampler around a search; `notes` says what went wrong with some requests, in words.

    A response's `num_tokens` are those of the model that is searched, in all branches, and its
    `other_tokens` those of the scorer's models.
    """

    def __init__(self, search: Search) -> None:
        self.search = search
        self._asked, self._faults = 0, Counter[str]()

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        """The responses as the trees end."""
        rows = {(request.id, request.index): row for row, request in enumerate(requests)}
        asked = [request for row, request in enumerate(requests) if row not in done]

        for grown in self.search.grow(asked, decoding):
            self._asked += 1
            if grown.reason:
                self._faults[grown.reason] += 1
            yield rows[grown.request.id, grown.request.index], _response(grown)

    @property
    def notes(self) -> list[str]:
        """Each reason for a response that is not whole or not scored, and how often."""
        return [
            f"search: {count} of {self._asked} problems: {reason}"
            for reason, count in self._faults.most_common()
        ]


def _response(grown: Grown) -> Response:
    answer, others = grown.answer, grown.tree.tokens - grown.policy_tokens
    scores = {} if answer.score is None else {"search": answer.score}
    return Response(
        answer.response,
        grown.policy_tokens,
        answer.truncated or not answer.ended,
        scores,
        other_tokens=others,
    )
