"""A model that knows a tree: steps are letters, capitals end the response, and scores are in a table."""

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlsp_cli.evals.samplers import Decoding, Request, Response, Sampler
from rlsp_cli.evals.search import Grown, NodeScorer, Policy, Search, TreeLog
from rlsp_cli.recipe.search import SearchUse
from rlsp_cli.rewards import Node, Tree
from rlsp_cli.rewards.sample import Outcome, Score

DECODING = Decoding(temperature=1.0, top_p=1.0, max_new_tokens=20, seed=3)


class Toy:
    """After each partial response it says the letters of `after`, one after the other and from the first again."""

    def __init__(self, after: Mapping[str, Sequence[str]]) -> None:
        self.after = after
        self.asked: list[Request] = []
        self.said: Counter[str] = Counter()
        self.limits: list[int] = []

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        self.limits.append(decoding.max_new_tokens)
        for row, request in enumerate(requests):
            self.asked.append(request)
            letters = self.after[request.prefix]
            letter = letters[self.said[request.prefix] % len(letters)]
            self.said[request.prefix] += 1
            scores = {"logprob": -0.5} if decoding.logprobs else {}
            yield row, Response(letter, 1, scores=scores, stopped=letter.islower())


class Table:
    """Scores by the partial response; it abstains from what it does not know."""

    def __init__(self, scores: Mapping[str, float], tokens: int = 0) -> None:
        self.scores, self.tokens = scores, tokens
        self.asked: list[str] = []

    def score(self, places: Sequence[tuple[Tree, Node]]) -> Iterator[Score]:
        for _, node in places:
            self.asked.append(node.response)
            value = self.scores.get(node.response)
            outcome: Outcome = "abstain" if value is None else "value"
            yield Score("table", outcome, value, tokens=self.tokens)


class Watched(Policy):
    """A policy whose expansions are written down, as the partial responses and their numbers of children."""

    def __init__(self, reference: str, **options: Any) -> None:
        super().__init__(reference, options)
        self.rounds: list[dict[str, int]] = []
        self.kept: list[Node] = []

    def next(self, tree: Tree) -> list[tuple[Node, int]]:
        wanted = super().next(tree)
        counts: Counter[str] = Counter()
        for node, count in wanted:
            counts[node.response] += count
        self.rounds.append(dict(counts))
        if self.plugin.name == "particles":
            self.kept += tree.memory.get("ended", [])
        return wanted


def grow(
    policy: Policy,
    sampler: Sampler,
    scorer: NodeScorer | None,
    path: Path,
    problems: Sequence[str] = ("p",),
    **settings: Any,
) -> list[Grown]:
    """The trees of these problems, which have no prompt to speak of."""
    search = Search(sampler, policy, scorer, SearchUse(**settings), TreeLog(path / "trees.jsonl"))
    return list(search.grow([Request(id, f"{id}?") for id in problems], DECODING))
