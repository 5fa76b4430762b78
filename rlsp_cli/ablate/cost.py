"""What the runs of an ablation cost: as planned, and as their metrics say."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rlsp_cli.ablate.ablation import sft_sources
from rlsp_cli.ablate.design import Design
from rlsp_cli.plan import Measure, make_plan
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.runs import shapes
from rlsp_cli.runs.run import Run
from rlsp_cli.runs.stream import read_rows

_HOUR_S = 3600


Hours = tuple[float, float]
"""From short to long responses."""


@dataclass(frozen=True)
class ArmCost:
    """One run of an arm: its tokens at most, and its hours; None is unknown.

    `sft` says whether a run trains its own SFT model, or takes that of another arm. Hours are of
    training: of the machine in the embedded engine, of GPUs elsewhere.
    """

    arm: str
    sft: str
    tokens: int | None
    hours: Hours | None


@dataclass(frozen=True)
class PlannedCost:
    """All runs of an ablation; `tokens` and `hours` are those of all of them."""

    arms: Sequence[ArmCost]
    seeds: int

    @property
    def runs(self) -> int:
        """How many there are."""
        return len(self.arms) * self.seeds

    @property
    def tokens(self) -> int | None:
        """At most; None if those of one arm are unknown."""
        tokens = [arm.tokens for arm in self.arms]
        return None if None in tokens else self.seeds * sum(filter(None, tokens))

    @property
    def hours(self) -> Hours | None:
        """None if those of one arm are unknown."""
        return _together([arm.hours for arm in self.arms], self.seeds)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "runs": self.runs, "tokens": self.tokens, "hours": self.hours}


def plan_cost(design: Design, measure: Measure | None = None) -> PlannedCost:
    """The cost by `make_plan`, of each arm without the SFT that another arm's runs are for."""
    sources, arms = sft_sources(design.arms), []
    for arm in design.arms:
        source = sources.get(arm.name)
        sft = "none" if arm.recipe.sft is None else f"of {source}" if source else "its own"
        arms.append(ArmCost(arm.name, sft, *_planned(arm.recipe, source is None, measure)))
    return PlannedCost(arms, len(design.seeds))


def _planned(
    recipe: Recipe, with_sft: bool, measure: Measure | None
) -> tuple[int | None, Hours | None]:
    plan = make_plan(recipe, measure=measure)
    stages = [counts for counts in plan.counts if with_sft or counts.stage != "sft"]
    tokens = [counts.tokens for counts in stages]

    seconds = {one.stage: one.total for one in plan.times}
    hours = {stage: total and _together([total], 1 / _HOUR_S) for stage, total in seconds.items()}
    hours |= {one.stage: one.gpu_hours for one in plan.estimates}
    trained = [hours.get(counts.stage) for counts in stages if counts.stage != "eval"]
    return None if None in tokens else sum(filter(None, tokens)), _together(trained, 1)


def _together(ranges: Sequence[Hours | None], times: float) -> Hours | None:
    """The sum of ranges, so many times; None if one is unknown."""
    known = [one for one in ranges if one is not None]
    if len(known) < len(ranges):
        return None
    return times * sum(low for low, _ in known), times * sum(high for _, high in known)


@dataclass(frozen=True)
class Cost:
    """Means over an arm's runs: tokens sampled by PPO, and seconds of SFT and PPO.

    SFT counts in full for each run, also where several share it. None is unknown.
    """

    tokens: float | None
    seconds: float | None


def cost_of(runs: Sequence[Run]) -> Cost:
    """What finished runs of one arm cost."""
    spent = list(map(_spent, runs))
    return Cost(_mean(tokens for tokens, _ in spent), _mean(seconds for _, seconds in spent))


def _spent(run: Run) -> tuple[float | None, float | None]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for stage in ("sft", "ppo"):
        rows[stage] = list(read_rows(run.paths.stage(stage).metrics, shapes.MetricsRow))
    responses = run.recipe.ppo.responses if run.recipe.ppo else 0

    sampled = [_tokens(row, responses) for row in rows["ppo"]]
    seconds = [_seconds(row, responses) for stage in rows.values() for row in stage]
    return _total(sampled), _total(seconds)


def _tokens(row: Mapping[str, Any], responses: int) -> float | None:
    # OpenRLHF does not count what it samples.
    if "tokens" in row:
        return float(row["tokens"])
    return responses * row["response/tokens"] if "response/tokens" in row else None


def _seconds(row: Mapping[str, Any], responses: int) -> float | None:
    """Of a whole step."""
    tokens, speed = _tokens(row, responses), row.get("time/tokens_per_s")
    return tokens / speed if tokens is not None and speed else None


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
