"""A bench as it is evaluated: its problems, and how each is asked, drawn and judged."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlsp_cli.data import Problem
from rlsp_cli.evals.benches.bench_file import Sampling
from rlsp_cli.recipe.plugin_use import PluginUse


@dataclass(frozen=True)
class Bench:
    """Problems under a name; `source` says where they were read.

    `verifier` is None if the recipe's own decides. `changed` says whether these are other problems
    than the bench's file says, None if the file does not say. `prompt_from` says whose template it
    is: `bench`, `protocol`, `recipe`, or `responses` for given responses, whose prompts are not
    known. `like` is the protocol that was asked for, and `differs` lists departures from it.
    `probe_of` is the bench that a probe was made of.
    """

    name: str
    problems: Sequence[Problem]
    source: str
    template: str = "{problem}"
    system: str | None = None
    prompt_from: str = "recipe"
    verifier: PluginUse | None = None
    sampling: Sampling = field(default_factory=Sampling)
    changed: bool | None = None
    like: str | None = None
    differs: Sequence[str] = ()
    probe_of: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of ids, problems and answers: equal digests mean equal benches."""
        # With ids and order, since responses are paired by id and seeds depend on the order.
        rows = [[problem.id, problem.problem, problem.answer] for problem in self.problems]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    @property
    def identity(self) -> dict[str, Any]:
        """What two evaluations must share, beside their prompts, to be compared."""
        verifier = {"use": self.verifier.use, **self.verifier.options} if self.verifier else None
        return {"bench_digest": self.digest, "verifier": verifier}

    def ask(self, problem: str) -> str:
        """The user's turn that asks a problem."""
        # Not `format`: problems are full of LaTeX's braces.
        return self.template.replace("{problem}", problem)


def content_digest(problems: Iterable[Problem]) -> str:
    """SHA-256 of problems and answers, without ids and order, in which exports may differ."""
    rows = sorted([problem.problem, problem.answer] for problem in problems)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
