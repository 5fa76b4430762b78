"""The results of an evaluation, results.json: all models on all benches, down to one on one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rlsp_cli.evals.compare import Comparison
from rlsp_cli.evals.metrics import GreedyOverSampled, Metrics
from rlsp_cli.evals.overlap import Contamination
from rlsp_cli.evals.provenance import Provenance
from rlsp_cli.evals.strategies import StrategyTable
from rlsp_cli.recipe.sweep import Setting

_GREEDY_OVER_SAMPLED = TypeAdapter(GreedyOverSampled)


@dataclass(frozen=True)
class BenchResult:
    """One model on one bench.

    A part is None if there are no such responses, or it was not asked for.
    """

    protocol: Provenance
    greedy: Metrics | None = None
    sample: Metrics | None = None
    greedy_over_sampled: GreedyOverSampled | None = None
    strategies: StrategyTable | None = None

    @property
    def decodings(self) -> dict[str, Metrics]:
        """The metrics of greedy and of sampled responses, by kind, as far as there are some."""
        parts = {"greedy": self.greedy, "sample": self.sample}
        return {kind: part for kind, part in parts.items() if part}

    def to_json(self) -> dict[str, Any]:
        """Plain data; parts that are None are left out."""
        data: dict[str, Any] = {kind: part.to_json() for kind, part in self.decodings.items()}
        if self.greedy_over_sampled:
            data["greedy_over_sampled"] = asdict(self.greedy_over_sampled)
        if self.strategies:
            data["strategies"] = asdict(self.strategies)
        return {**data, "protocol": self.protocol.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "BenchResult":
        """Read what `to_json` wrote."""
        beside, strategies = data.get("greedy_over_sampled"), data.get("strategies")
        return cls(
            protocol=Provenance.from_json(data["protocol"]),
            greedy=Metrics.from_json(data["greedy"]) if "greedy" in data else None,
            sample=Metrics.from_json(data["sample"]) if "sample" in data else None,
            greedy_over_sampled=_GREEDY_OVER_SAMPLED.validate_python(beside) if beside else None,
            strategies=StrategyTable.from_json(strategies) if strategies else None,
        )


@dataclass(frozen=True)
class ModelResult:
    """One model on all benches; `path` is its folder, its id, or the file of its responses.

    `setting` is the one of a sweep that it was evaluated under, empty without a sweep.
    """

    path: str
    benches: Mapping[str, BenchResult] = field(default_factory=dict)
    setting: Setting = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; without the setting where there was no sweep."""
        benches = {name: result.to_json() for name, result in self.benches.items()}
        setting = {"setting": dict(self.setting)} if self.setting else {}
        return {"path": self.path, **setting, "benches": benches}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ModelResult":
        """Read what `to_json` wrote."""
        benches = {name: BenchResult.from_json(part) for name, part in data["benches"].items()}
        return cls(data["path"], benches, data.get("setting", {}))


@dataclass(frozen=True)
class Results:
    """All models on all benches, by label and in the order of training.

    `comparisons` has each model beside the one before, which is the step of training between them,
    and each setting of a sweep beside the first.
    `verifier` is the recipe's, which judges benches without one of their own. `contaminated` is, by
    bench and training set, how much of the bench the set holds.
    """

    models: Mapping[str, ModelResult] = field(default_factory=dict)
    comparisons: Sequence[Comparison] = ()
    verifier: Mapping[str, Any] = field(default_factory=dict)
    contaminated: Mapping[str, Mapping[str, Contamination]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """`data` of results.json, without the score cards."""
        contaminated = {
            bench: contamination_json(sets) for bench, sets in self.contaminated.items()
        }
        return {
            "models": {label: model.to_json() for label, model in self.models.items()},
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "verifier": dict(self.verifier),
            "contaminated": contaminated,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Results":
        """Read what `to_json` wrote; ValueError says what is missing or of another type."""
        # The file may be of another version or edited by hand, so anything in it can be wrong.
        try:
            return _results(data)
        except KeyError as error:
            raise ValueError(f"{error.args[0]} is missing") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{error.title}: {where}: {first['msg']}") from error
        except (AttributeError, TypeError) as error:
            raise ValueError(str(error)) from error


def contamination_json(sets: Mapping[str, Contamination]) -> dict[str, Any]:
    """By training set."""
    return {role: contamination.to_json() for role, contamination in sets.items()}


def _results(data: Mapping[str, Any]) -> Results:
    return Results(
        models={label: ModelResult.from_json(model) for label, model in data["models"].items()},
        comparisons=[Comparison.from_json(comparison) for comparison in data["comparisons"]],
        verifier=data["verifier"],
        contaminated={bench: _contamination(sets) for bench, sets in data["contaminated"].items()},
    )


def _contamination(sets: Mapping[str, Any]) -> dict[str, Contamination]:
    return {role: Contamination.from_json(contamination) for role, contamination in sets.items()}
