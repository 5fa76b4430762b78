"""Grow trees of partial responses, round by round, and many trees side by side."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal, NamedTuple

from rlsp_cli.errors import DataError, PluginError
from rlsp_cli.evals.answer import LOGPROB
from rlsp_cli.evals.samplers.sampler import Decoding, Request, Response, Sampler
from rlsp_cli.evals.search.backup import back_up
from rlsp_cli.evals.search.choice import CHOICES
from rlsp_cli.evals.search.log import Place, Step, TreeLog
from rlsp_cli.evals.search.policy import Expansion, Policy
from rlsp_cli.evals.search.scoring import NodeScorer
from rlsp_cli.recipe.search import SearchUse
from rlsp_cli.rewards import Node, Tree, ranked
from rlsp_cli.rewards.sample import Score

End = Literal["policy", "budget", "unscored"]
"""Why a search ended: its policy had enough, its tokens are spent, or no node got a score."""

_SEED_BYTES = 7
"""Of a digest, for a node's seed: what a signed 64-bit integer can hold."""


@dataclass(eq=False)
class Grown:
    """The tree of a request, and why it ended; `policy_tokens` are those of its sampler alone.

    `choose` is one of `CHOICES`.
    """

    request: Request
    tree: Tree
    choose: str = "best"
    policy_tokens: int = 0
    end: End | None = None
    lost: list[Score] = field(default_factory=list)
    """Scores without a value."""

    @property
    def whole(self) -> bool:
        """Whether a response has come to its end."""
        return any(not node.truncated for node in self.tree.ended)

    @property
    def answer(self) -> Node:
        """The chosen of the whole responses, else the best that the limit cut, else the best part."""
        ended = self.tree.ended
        whole = [node for node in ended if not node.truncated]
        return CHOICES[self.choose](whole) if whole else ranked(ended or self.tree.open)[0]

    @property
    def reason(self) -> str | None:
        """In words why there is no whole response, or no score; None if there are both."""
        if self.end == "unscored":
            outcomes = Counter(score.outcome for score in self.lost)
            counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
            why = next((f": {score.reason}" for score in self.lost if score.reason), "")
            return f"the scorer gave no node a score ({counts}){why}"

        if self.whole:
            return None
        if self.end == "budget":
            return f"{self.tree.budget} tokens reached no whole response; raise search.budget"
        return "the policy ended the search before a response was whole"

    def place(self, node: int) -> Place:
        """A node's place in trees.jsonl."""
        return Place(self.request.id, self.request.index, node)


class _Child(NamedTuple):
    """A node that is to be: its tree, its parent and its number."""

    grown: Grown
    parent: Node
    number: int

    @property
    def place(self) -> Place:
        return self.grown.place(self.number)


class Search:
    """A policy with all that it needs to grow trees.

    What `log` has already is neither asked for nor scored again. `tick` is called after each step
    and may raise to stop.
    """

    def __init__(
        self,
        sampler: Sampler,
        policy: Policy,
        scorer: NodeScorer | None,
        settings: SearchUse,
        log: TreeLog,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.sampler, self.policy, self.scorer = sampler, policy, scorer
        self.settings, self.log, self.tick = settings, log, tick

    def grow(self, requests: Sequence[Request], decoding: Decoding) -> Iterator[Grown]:
        """A tree for each request, as they end; `decoding` limits whole responses.

        In each round every tree grows, so that a sampler has many steps to write at once.
        """
        going = [self._planted(request, decoding.seed) for request in requests]
        while going:
            wanted = [(grown, self._wanted(grown)) for grown in going]
            for grown, expansions in wanted:
                if not expansions:
                    self.log.add_end(grown.place(grown.answer.id), str(grown.end))
                    yield grown

            going = [grown for grown, expansions in wanted if expansions]
            self._grow([child for one in wanted for child in _children(*one)], decoding)

    def _planted(self, request: Request, seed: int) -> Grown:
        root = Node(0, text=request.prefix, token_ids=request.prefix_ids)
        random = Random(f"{seed}:{request.id}:{request.index}")
        tree = Tree(request.prompt, request.id, self.settings.budget, random, [root])
        return Grown(request, tree, self.settings.choose)

    def _wanted(self, grown: Grown) -> list[Expansion]:
        """What the policy wants; nothing once the search is at its end, which is noted."""
        if self.scorer and grown.lost and not _scored(grown.tree):
            grown.end = "unscored"
            return []

        wanted = self.policy.next(grown.tree)
        if wanted and grown.tree.tokens < self.settings.budget:
            return wanted
        grown.end = "budget" if wanted else "policy"
        return []

    def _grow(self, children: Sequence[_Child], decoding: Decoding) -> None:
        """Add the children to their trees, with their scores."""
        self._ask([child for child in children if child.place not in self.log.steps], decoding)
        for grown in {child.grown for child in children}:
            grown.tree.latest = []

        added = [(child.grown, self._added(child)) for child in children]
        if self.scorer:
            self._score(self.scorer, added)

    def _ask(self, children: Sequence[_Child], decoding: Decoding) -> None:
        """Have each child written, and keep it as it comes."""
        # A sampler has one limit for all that it is asked.
        by_limit: dict[int, list[_Child]] = defaultdict(list)
        for child in children:
            left = decoding.max_new_tokens - _tokens(child.parent)
            by_limit[min(left, self.settings.step_tokens)].append(child)

        for limit, some in by_limit.items():
            asked = [_request(child, decoding.seed) for child in some]
            for row, response in self.sampler.answer(asked, self._of_a_step(decoding, limit)):
                step = _step(some[row], response, decoding.max_new_tokens)
                self.log.add_step(some[row].place, step)
                self.tick()

    def _of_a_step(self, decoding: Decoding, limit: int) -> Decoding:
        ends, reads = self.settings.steps.ends, self.policy.plugin.reads_logprobs
        return replace(decoding, max_new_tokens=limit, stop=ends, logprobs=reads)

    def _added(self, child: _Child) -> Node:
        step, tree = self.log.steps[child.place], child.grown.tree
        if step.parent != child.parent.id:
            raise PluginError(
                f"search {self.policy.plugin.name}, problem {tree.id!r}: node {child.number} is to "
                f"follow node {child.parent.id}, and {self.log.path} has it after {step.parent}: "
                "it chose otherwise when it was asked again; draw from tree.random"
            )

        node = step.node(child.number, child.parent)
        tree.nodes.append(node)
        tree.latest.append(node)
        tree.tokens += step.num_tokens
        child.grown.policy_tokens += step.num_tokens
        return node

    def _score(self, scorer: NodeScorer, added: Sequence[tuple[Grown, Node]]) -> None:
        """Score the nodes that have no score yet, then back up all."""
        unscored = [one for one in added if one[0].place(one[1].id) not in self.log.scores]
        scores = scorer.score([(grown.tree, node) for grown, node in unscored])
        for (grown, node), score in zip(unscored, scores, strict=True):
            if score is not None:
                self.log.add_score(grown.place(node.id), score)

        for grown, node in added:
            known = self.log.scores.get(grown.place(node.id))
            if known is None:
                continue
            grown.tree.tokens += known.tokens
            node.score = known.value
            if known.value is None:
                grown.lost.append(known)
            back_up(node, self.settings.backup)


def _children(grown: Grown, expansions: Sequence[Expansion]) -> Iterator[_Child]:
    number = len(grown.tree.nodes)
    for node, count in expansions:
        for _ in range(count):
            yield _Child(grown, node, number)
            number += 1


def _request(child: _Child, seed: int) -> Request:
    """One step after the parent, with a seed that depends on the child's place alone."""
    place = (seed, *child.place.tree, child.number)
    digest = hashlib.sha256(repr(place).encode()).digest()
    return replace(
        child.grown.request,
        prefix=child.parent.response,
        prefix_ids=_token_ids(child.parent),
        seed=int.from_bytes(digest[:_SEED_BYTES], "big"),
    )


def _token_ids(node: Node) -> tuple[int, ...]:
    """The tokens from the root to a node; none if those of a part are not known."""
    parts = [part for part in node.path if part.text or part.num_tokens]
    if not all(part.token_ids for part in parts):
        return ()
    return tuple(token for part in parts for token in part.token_ids)


def _step(child: _Child, response: Response, most: int) -> Step:
    """What was written as a child; the response ends with it at an end token, or at its limit."""
    if response.num_tokens is None:
        raise DataError(
            f"problem {child.grown.request.id!r}: a search needs num_tokens, which this response "
            "does not have"
        )

    # A step of no tokens would be asked for without end.
    cut = _tokens(child.parent) + response.num_tokens >= most
    goes_on = (response.stopped or response.truncated) and response.num_tokens > 0
    return Step(
        child.parent.id,
        response.text,
        response.token_ids,
        response.num_tokens,
        response.scores.get(LOGPROB),
        ended=cut or not goes_on,
        truncated=cut and goes_on,
    )


def _tokens(node: Node) -> int:
    return sum(part.num_tokens for part in node.path)


def _scored(tree: Tree) -> bool:
    return any(node.score is not None for node in tree.nodes)
