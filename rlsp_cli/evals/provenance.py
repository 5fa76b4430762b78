"""How the responses to a bench were made: protocol.json, and `protocol` in results."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from rlsp_cli.errors import DataError
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.strategies import BUDGET_FORCING
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.runs.stream import read_json, write_json

_UNKNOWN = ("temperature", "top_p", "max_new_tokens", "seed", "first_prompt")
"""What is not known of responses that were given."""
_ONLY_IF_ASKED = ("forcing", "thinking", "turn_digest", "search", "continuation")


@dataclass(frozen=True)
class Provenance:
    """What a reader needs to compare a number with another; None where it is not known.

    `like` is the protocol that was asked for, `differs` what is not as in it. `bench_changed` says
    whether the problems are others than the bench's file says. `forcing` has the settings of budget
    forcing, if there was some. `thinking` is how the chat template's switch was set; `turn_digest` is
    then that of system message and user's turns, without the template. `search` has the settings of
    a search, and `continuation` those of what answered between the model's words, if there was one.
    """

    problems: int
    like: str | None
    differs: tuple[str, ...]
    samples: int
    greedy: bool
    temperature: float | None
    top_p: float | None
    max_new_tokens: int | None
    seed: int | None
    source: str
    revision: str | None
    bench_changed: bool | None
    prompt_from: str
    system: str | None
    first_prompt: str | None
    prompt_digest: str
    bench_digest: str
    verifier: Mapping[str, Any] | None
    forcing: Mapping[str, Any] | None = None
    thinking: str | None = None
    turn_digest: str | None = None
    search: Mapping[str, Any] | None = None
    continuation: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data; without what only some evaluations have, where it is not there."""
        # A list, since `keep` compares this with what it reads back, and JSON has no tuples.
        data = {**asdict(self), "differs": list(self.differs)}
        absent = [key for key in _ONLY_IF_ASKED if not data[key]]
        return {key: value for key, value in data.items() if key not in absent}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Provenance":
        """Read what `to_json` wrote; pydantic's ValidationError names a missing or wrong key."""
        return _PROVENANCE.validate_python(data)


_PROVENANCE = TypeAdapter(Provenance)


def provenance(
    bench: Bench,
    seed: int,
    prompts: Sequence[str],
    settings: Eval,
    continuation: ContinuationUse | None = None,
) -> Provenance:
    """The provenance of responses to these prompts, one for each problem."""
    known = {
        **bench.sampling.model_dump(include={"temperature", "top_p", "max_new_tokens"}),
        "seed": seed,
        "first_prompt": prompts[0],
    }
    # The recipe's temperature says nothing of responses that came from elsewhere.
    asked = bench.prompt_from != "responses"
    if not asked:
        known = dict.fromkeys(_UNKNOWN)

    forces = BUDGET_FORCING in settings.strategies
    return Provenance(
        problems=len(bench.problems),
        like=bench.like,
        differs=tuple(bench.differs),
        samples=bench.sampling.samples,
        greedy=bench.sampling.greedy,
        source=bench.source,
        revision=bench.source.partition("@")[2] or None,
        bench_changed=bench.changed,
        prompt_from=bench.prompt_from,
        system=bench.system,
        prompt_digest=_digest(prompts),
        **bench.identity,
        forcing=settings.forcing.model_dump() if forces else None,
        thinking=settings.thinking,
        turn_digest=_turn_digest(bench) if settings.thinking else None,
        search=settings.search.model_dump(mode="json") if settings.search else None,
        continuation=continuation.model_dump(mode="json") if continuation and asked else None,
        **known,
    )


def _turn_digest(bench: Bench) -> str:
    turns = [bench.ask(problem.problem) for problem in bench.problems]
    return _digest([bench.system or "", *turns])


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def keep(path: Path, made: Mapping[str, Any], what: str = "responses") -> None:
    """Write how something was made, or make sure that the file says the same.

    DataError if `what` is beside it was made in another way: it must not be mixed with new ones.
    """
    if not path.exists():
        write_json(path, made)
        return

    before = read_json(path)
    for key, value in made.items():
        if before.get(key) != value:
            change = f"{key} was {before.get(key)!r}, is {value!r}"
            raise DataError(
                f"{path.parent}: the {what} here were made differently ({change}); "
                "move this folder away"
            )
