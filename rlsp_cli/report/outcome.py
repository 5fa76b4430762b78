"""What an evaluation came to, in one sentence for each bench."""

from collections.abc import Iterator
from typing import Any

from rlsp_cli.evals.compare import verdict
from rlsp_cli.report.table import of_problems

_WORDS = {"greedy": "greedy", "sample": "sampled"}


def outcome(evaluation: dict[str, Any]) -> list[str]:
    """A sentence for each bench: the last model beside the one before it, or the only model alone."""
    models = evaluation.get("models", {})
    if not models:
        return []
    last = list(models)[-1]
    return [sentence for bench in models[last]["benches"] if (sentence := _sentence(evaluation, last, bench))]


def _sentence(evaluation: dict[str, Any], model: str, bench: str) -> str | None:
    compared = list(_comparisons(evaluation, model, bench))
    if compared:
        return _difference(evaluation, compared[0])
    found = next((kind for kind in _WORDS if _accuracy(evaluation, model, bench, kind)), None)
    if found is None:
        return None
    accuracy = _accuracy(evaluation, model, bench, found)
    low, high = (f"{100 * accuracy[end]:.1f}" for end in ("low", "high"))
    result = evaluation["models"][model]["benches"][bench]
    where = f"{bench}{of_problems(result[found], result)}"
    return f"{model} answers {_percent(accuracy)} of {where}, {_WORDS[found]} (95% interval {low} to {high})"


def _comparisons(evaluation: dict[str, Any], model: str, bench: str) -> Iterator[dict[str, Any]]:
    """Those of this model with the one before it, greedy before sampled, where both have an accuracy."""
    for kind in _WORDS:
        for item in evaluation.get("comparisons", []):
            is_it = (item["to"], item["bench"], item["kind"]) == (model, bench, kind)
            if is_it and all(_accuracy(evaluation, item[end], bench, kind) for end in ("from", "to")):
                yield item


def _difference(evaluation: dict[str, Any], item: dict[str, Any]) -> str:
    bench, kind, found = item["bench"], item["kind"], verdict(item)
    before, after = (_percent(_accuracy(evaluation, item[end], bench, kind)) for end in ("from", "to"))
    how = f"on {bench}, {_WORDS[kind]} ({after} against {before})"
    if found not in ("better", "worse"):
        return f"{item['to']} and {item['from']} cannot be told apart {how}"
    points = f"{abs(100 * item['difference']):.1f} points {'more' if found == 'better' else 'fewer'}"
    return f"{item['to']} answers {points} than {item['from']} {how}"


def _accuracy(evaluation: dict[str, Any], model: str, bench: str, kind: str) -> dict[str, float]:
    result = evaluation["models"].get(model, {}).get("benches", {}).get(bench, {}).get(kind, {})
    return result.get("accuracy") or {}


def _percent(accuracy: dict[str, float]) -> str:
    return f"{100 * accuracy['value']:.1f} %"
