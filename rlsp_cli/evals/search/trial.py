"""Try a search policy on small trees, whose every branch ends, as a search would run it."""

from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from rlsp_cli.errors import PluginError
from rlsp_cli.evals.samplers.sampler import Decoding, Request, Response
from rlsp_cli.evals.search.grow import Grown, Search
from rlsp_cli.evals.search.log import TreeLog
from rlsp_cli.evals.search.policy import Policy
from rlsp_cli.evals.search.scoring import NodeScorer
from rlsp_cli.recipe.search import SearchUse
from rlsp_cli.rewards import Node, Tree
from rlsp_cli.rewards.conformance import Check
from rlsp_cli.rewards.sample import Score

ALLOWED = "expands what can be expanded"
"""The check without which a search stops with an error."""

_REQUESTS = [Request(f"trial-{number}", "What is 2 + 2?") for number in range(3)]
_DECODING = Decoding(temperature=1.0, top_p=1.0, max_new_tokens=100, seed=0)
_SETTINGS = SearchUse(budget=2048)
"""A step is one token, so that 16 children of every node come to less than this budget."""
_STEP = "a step\n"
_DEPTH = 3
"""Steps of the longest response."""


class _Writer:
    """Writes steps of one token; of those that are not the last, the seed says which ends a response."""

    def __init__(self) -> None:
        self.asked = 0

    def answer(
        self, requests: Sequence[Request], decoding: Decoding, done: Container[int] = ()
    ) -> Iterator[tuple[int, Response]]:
        self.asked += len(requests)
        for row, request in enumerate(requests):
            random = Random(request.seed)
            ends = random.random() < 0.5 or request.prefix.count(_STEP) == _DEPTH - 1
            scores = {"logprob": -random.random()} if decoding.logprobs else {}
            yield row, Response(_STEP, 1, scores=scores, stopped=not ends)


class _Scores:
    """Scores that depend on a node's place alone; it abstains from every fourth."""

    def score(self, places: Sequence[tuple[Tree, Node]]) -> Iterator[Score]:
        for tree, node in places:
            abstains = node.id % 4 == 0
            value = None if abstains else Random(f"{tree.id}:{node.id}").random()
            yield Score("trial", "abstain" if abstains else "value", value)


def check_policy(policy: Policy) -> list[Check]:
    """The checks of a policy with its options, on trees with scores and on trees without.

    Loading it has checked its signature. Like a search, this waits for as long as the policy takes.
    """
    with TemporaryDirectory() as folder:
        log = Path(folder, "scored.jsonl")
        try:
            scored = _grown(policy, _Writer(), _Scores(), log)
            plain = _grown(policy, _Writer(), None, Path(folder, "plain.jsonl"))
        except PluginError as error:
            return [Check(ALLOWED, False, str(error))]
        resumed = _resumed(policy, log)

    trees = [*scored, *plain]
    steps = sum(len(grown.tree.nodes) - 1 for grown in trees)
    return [
        Check(ALLOWED, True, f"{steps} steps in {len(trees)} trees, half of them without scores"),
        _ends(trees),
        _answers(trees),
        resumed,
    ]


def _grown(policy: Policy, writer: _Writer, scorer: NodeScorer | None, log: Path) -> list[Grown]:
    search = Search(writer, policy, scorer, _SETTINGS, TreeLog(log))
    return list(search.grow(_REQUESTS, _DECODING))


def _ends(trees: Sequence[Grown]) -> Check:
    """Whether it stops by itself; else the budget would stop it."""
    name, endless = "ends by itself", [grown for grown in trees if grown.end == "budget"]
    if not endless:
        return Check(name, True, "before the budget is spent")

    known = f"no branch has more than {_DEPTH} steps, and it still asked after {_SETTINGS.budget}"
    return Check(name, False, f"{known}; return [] once there is nothing left to expand")


def _answers(trees: Sequence[Grown]) -> Check:
    """Whether any tree has a response that has come to its end."""
    whole = sum(grown.whole for grown in trees)
    detail = f"in {whole} of {len(trees)} trees"
    return Check("reaches a whole response", whole > 0, detail)


def _resumed(policy: Policy, log: Path) -> Check:
    """Whether a search that goes on from its log asks for nothing that is there."""
    name, writer = "chooses the same in a resumed search", _Writer()
    try:
        _grown(policy, writer, _Scores(), log)
    except PluginError as error:
        return Check(name, False, str(error))

    if writer.asked:
        words = f"it asked for {writer.asked} steps that it had not asked for before"
        return Check(name, False, f"{words}; draw from tree.random")
    return Check(name, True, "no step asked for twice")
