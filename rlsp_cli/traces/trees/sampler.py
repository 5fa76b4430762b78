"""Search for solutions of problems, and write what the trees hold."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.data.returns import Returns
from rlsp_cli.evals.samplers import Decoding, Request, Sampler
from rlsp_cli.evals.search import (
    Grown,
    NodeScorer,
    Policy,
    Search,
    TreeLog,
    VerifierScoring,
    step_scoring,
)
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.search import TreeSearch
from rlsp_cli.rewards import Node, Sample
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.sample import Score
from rlsp_cli.traces.filters import Tick
from rlsp_cli.traces.tally import Filtered, tally
from rlsp_cli.traces.trees.ends import End, Ends
from rlsp_cli.traces.trees.linear import linear
from rlsp_cli.traces.trees.paths import pairs, paths, values

Verify = Callable[[Sequence[Sample]], list[Score]]

_TOP_P = 1.0
_TICK = 16
"""Trees between two calls of a tick."""
_DIGEST_SHOWN = 16
"""Characters of a digest in the name of a file of trees."""
_WRITING = {"write", "branches", "returns"}
"""Keys that change what is written of the trees, and not the trees."""
_NOTHING = {
    "paths": "no whole response is right",
    "linear": "no whole response is right",
    "pairs": "nowhere do right and wrong responses part",
    "values": "whole responses have no steps",
}
"""By `write`: why a tree with verdicts gives no row."""


@dataclass(frozen=True)
class Searched:
    """What was written of trees, and the whole responses in them by problem."""

    filtered: Filtered
    ends: Mapping[str, Ends]


@dataclass(frozen=True)
class TreeSampler:
    """A search with its sampler and verifier, the prompt for a problem, and a folder for trees.

    `scorer` guides the search; without it the verifier does.
    """

    sampler: Sampler
    search: TreeSearch
    policy: Policy
    scorer: NodeScorer | None
    verify: Verify
    prompt: Callable[[str], str]
    folder: Path
    decoding: Decoding
    identity: Sequence[str] = ()
    """What else the trees depend on: the model, and the code of plugins."""
    system: str | None = None
    tick: Tick = lambda done, total: None
    returns: Returns = field(default_factory=Returns)

    def sample(self, rows: Sequence[RawTrace]) -> Searched:
        """What is written of a tree for each row.

        Steps and scores are kept in a file for these rows and settings as they come, so that an
        interrupted call goes on.
        """
        # Without a reference nothing can be verified, so a search would be wasted.
        faults = [("no reference answer", row.place) for row in rows if row.answer is None]
        found: list[RawTrace] = []
        ends, tokens = {}, 0

        for row, request, grown in self._trees([row for row in rows if row.answer is not None]):
            tokens += grown.tree.tokens
            ends[row.problem] = self._ends(row, grown)
            written = self._written(row, request, ends[row.problem])
            found += written
            if not written:
                faults.append((self._fault(grown, ends[row.problem]), row.place))

        name = f"search {self.policy.plugin.name}, {self.search.write}, {tokens} tokens"
        return Searched(Filtered(found, tally(name, len(rows), len(found), faults)), ends)

    def file(self, rows: Sequence[RawTrace]) -> Path:
        """Where the trees of these rows are kept."""
        asked = [[row.id, self.prompt(row.problem)] for row in rows if row.answer is not None]
        settings = self.search.model_dump(mode="json", exclude=_WRITING)
        plain = json.dumps([settings, vars(self.decoding), self.identity, self.system, asked])
        digest = hashlib.sha256(plain.encode()).hexdigest()
        return self.folder / f"trees-{digest[:_DIGEST_SHOWN]}.jsonl"

    def _trees(self, rows: Sequence[RawTrace]) -> Iterator[tuple[RawTrace, Request, Grown]]:
        """The tree of each row, in the order of the rows."""
        # Ids of rows may be those of other rows, and a tree must have one of its own.
        requests = [
            Request(f"{number}:{row.id}", self.prompt(row.problem), system=self.system)
            for number, row in enumerate(rows)
        ]
        asked = dict(zip((request.id for request in requests), rows, strict=True))

        problems = {id: _sample(row) for id, row in asked.items()}
        scorer = self.scorer or VerifierScoring(self.verify, problems)
        log = TreeLog(self.file(rows))
        search = Search(self.sampler, self.policy, scorer, self.search, log)

        trees: dict[str, Grown] = {}
        for grown in search.grow(requests, self.decoding):
            trees[grown.request.id] = grown
            if len(trees) % _TICK == 0 or len(trees) == len(rows):
                self.tick(len(trees), len(rows))
        for request in requests:
            yield asked[request.id], request, trees[request.id]

    def _ends(self, row: RawTrace, grown: Grown) -> Ends:
        """The whole responses that have a verdict."""
        nodes = [node for node in grown.tree.ended if not node.truncated]
        judged = zip(nodes, self._verdicts(row, nodes), strict=True)
        return Ends(
            [
                End(tuple(node.steps), verdict == 1, node.score)
                for node, verdict in judged
                if verdict is not None
            ]
        )

    def _verdicts(self, row: RawTrace, nodes: Sequence[Node]) -> list[float | None]:
        if self.scorer is None:
            return [node.score for node in nodes]
        samples = [replace(_sample(row), response=node.response) for node in nodes]
        return [verdict.value for verdict in self.verify(samples)]

    def _fault(self, grown: Grown, ends: Ends) -> str:
        """Why nothing was written of a tree."""
        if grown.reason:
            return grown.reason
        return _NOTHING[self.search.write] if ends.ends else "no whole response has a verdict"

    def _written(self, row: RawTrace, request: Request, ends: Ends) -> Sequence[RawTrace]:
        search = self.search
        if search.write == "paths":
            return paths(row, ends)
        if search.write == "linear":
            return linear(row, ends, search.steps, search.branches, self.returns.words)
        if search.write == "pairs":
            return pairs(row, ends)
        return values(row, ends, request.prompt, search.backup)


@contextmanager
def tree_sampler(
    sampler: Sampler,
    search: TreeSearch,
    *,
    model: str,
    reward: Reward,
    verify: Verify,
    prompt: Callable[[str], str],
    folder: Path,
    decoding: Decoding,
    files: Sequence[str] = (),
    models: Addresses = NO_MODELS,
    system: str | None = None,
    tick: Tick = lambda done, total: None,
) -> Iterator[TreeSampler]:
    """A tree sampler, while its step scorer's processes run, under the limits of `reward`.

    `model` names what the sampler asks, `files` are plugin files, and a scorer can ask `models`.
    """
    policy = Policy(search.use, search.options, files)
    with ExitStack() as running:
        scorer = step_scoring(search, reward, files, models, running)
        judge = scorer.use.digest if scorer else reward.correctness.model_dump_json()
        identity = (model, policy.plugin.digest, judge)
        yield TreeSampler(
            sampler,
            search,
            policy,
            scorer,
            verify,
            prompt,
            folder,
            decoding,
            identity,
            system,
            tick,
            Returns(search.returns),
        )


def tree_files(folder: Path) -> list[Path]:
    """The files of trees in a folder."""
    return sorted(folder.glob("trees-*.jsonl"))


def count_tree_tokens(folder: Path) -> int:
    """The tokens of all trees in a folder, of all models together."""
    total = 0
    for log in map(TreeLog, tree_files(folder)):
        total += sum(step.num_tokens for step in log.steps.values())
        total += sum(score.tokens for score in log.scores.values())
    return total


def _sample(row: RawTrace) -> Sample:
    return Sample(row.problem, "", row.answer, row.id, row.metadata)
