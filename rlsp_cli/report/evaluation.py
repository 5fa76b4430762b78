"""The tables that say how far an evaluation's numbers reach: over k, over token budgets, and how sure they are."""

import re
from collections.abc import Iterator
from typing import Any

from rlsp_cli.report.table import Table, accuracy_text, p_text, share_text, verdict_text

_KINDS = {"greedy": "greedy", "sample": "sampled", "forced": "forced"}
"""Kinds of responses, in words."""
_WHO = ["bench", "decoding", "model"]


def evaluation_tables(evaluation: dict[str, Any]) -> list[Table]:
    """All of them; those without data have no rows."""
    parts = list(_parts(evaluation))
    return [
        _checks(parts),
        _certainty(evaluation, parts),
        _curves(parts),
        _budgets(parts),
        _strategies(evaluation),
        _calibration(parts),
    ]


def accuracy_over_steps(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each model of a training's steps, `step-N`: its accuracy by `BENCH/DECODING`."""
    rows = []
    for model, result in evaluation.get("models", {}).items():
        if step := re.fullmatch(r"step-(\d+)", model):
            parts = {f"{bench}/{_KINDS[kind]}": kinds[kind]["accuracy"] for bench, kinds in result["benches"].items()
                     for kind in ("greedy", "sample") if kind in kinds}  # fmt: skip
            rows.append({"step": int(step[1]), **{name: part["value"] for name, part in parts.items() if part}})
    return rows


_Part = tuple[list[str], dict[str, Any]]


def _parts(evaluation: dict[str, Any]) -> Iterator[_Part]:
    """(bench, decoding, model) and the metrics of each."""
    for model, result in evaluation.get("models", {}).items():
        for bench, kinds in result["benches"].items():
            for kind in ("greedy", "sample"):
                if kind in kinds:
                    yield [bench, _KINDS[kind], model], kinds[kind]


def _checks(parts: list[_Part]) -> Table:
    rows = [
        [*who, rule, *(share_text(levels[level]) for level in ("prompt", "instruction"))]
        for who, part in parts
        for rule, levels in part.get("checks", {}).items()
    ]
    columns = [*_WHO, "rule", "prompts with all kept % (95%)", "instructions kept % (95%)"]
    return Table("Instructions kept, at the levels of the prompt and of the instruction", columns, rows, keys=3)


def _certainty(evaluation: dict[str, Any], parts: list[_Part]) -> Table:
    rows = []
    for who, part in parts:
        if least := part.get("detectable"):
            result = evaluation["models"][who[2]]["benches"][who[0]]
            beside = result.get("greedy_over_sampled") if who[1] == "greedy" else None
            counts = [str(part["problems"]), str(part["responses"])]
            rates = [f"{100 * part['rates'][key]:.1f}" for key in ("unanswered", "abstain", "timeout", "error")]
            shown = [_percent(least["unpaired"]), _percent(least["paired"])]
            rows.append([*who, *counts, *shown, _difference(beside) if beside else "-", *rates])
    columns = [*_WHO, "problems", "responses", "unpaired", "paired", "greedy minus sampled (95%)"]
    columns += ["unanswered %", "abstained %", "timed out %", "errors %"]
    title = "What it can show: the smallest difference in points (80% power), and what was lost"
    return Table(title, columns, rows, keys=3)


def _curves(parts: list[_Part]) -> Table:
    curves = [
        ([*who, name], values, intervals)
        for who, part in parts
        for name, values, intervals in _named_curves(part)
        if values
    ]
    ks = sorted({int(k) for _, values, _ in curves for k in values})
    rows = [[*who, *(_cell(str(k), values, intervals) for k in ks)] for who, values, intervals in curves]
    columns = [*_WHO, "metric", *(f"k = {k}" for k in ks)]
    return Table("Chance of a right answer from k responses, % (95%)", columns, rows, keys=4)


def _named_curves(part: dict[str, Any]) -> Iterator[tuple[str, dict[str, float], dict[str, list[float]]]]:
    yield "pass@k", part.get("pass_at", {}), part.get("pass_ci", {})
    yield "maj@k", part.get("maj_at", {}), part.get("maj_ci", {})
    for scorer, best in part.get("best_of", {}).items():
        yield f"best of k by {scorer}", best["best_at"], best["best_ci"]


def _budgets(parts: list[_Part]) -> Table:
    known = [(who, part, part["accuracy_under"]) for who, part in parts if part.get("accuracy_under")]
    budgets = sorted({int(budget) for *_, under in known for budget in under})
    rows = [
        [*who, _number(part["tokens_per_correct"]), *(_percent(under.get(str(budget))) for budget in budgets)]
        for who, part, under in known
    ]
    columns = [*_WHO, "tokens per correct", *(f"<= {budget}" for budget in budgets)]
    return Table("Accuracy % where longer responses count as wrong, by tokens", columns, rows, keys=3)


def _strategies(evaluation: dict[str, Any]) -> Table:
    """The long side of each comparison, then what is set beside it."""
    rows = []
    for model, bench, found in strategies(evaluation):
        if long := found["one_answer"]:
            rows.append([bench, model, f"one answer: {long['label']}", f"each {_KINDS[long['kind']]}", *_spent(long)])
        rows += [
            [bench, model, one["strategy"], _selection(one), *_spent(one), *_moved(one["difference"])]
            for one in found["rows"]
        ]
    columns = ["bench", "model", "strategy", "chosen from", "responses", "tokens", "accuracy % (95%)"]
    columns += ["minus one answer (95%)", "p", "verdict"]
    title = "Strategies: one answer out of several responses, and the tokens of both sides, per problem"
    return Table(title, columns, [[*row, *["-"] * (len(columns) - len(row))] for row in rows], keys=3)


def strategies(evaluation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Model, bench and what its test-time strategies came to, where some were asked for."""
    for model, result in evaluation.get("models", {}).items():
        for bench, kinds in result["benches"].items():
            if "strategies" in kinds:
                yield model, bench, kinds["strategies"]


def _selection(one: dict[str, Any]) -> str:
    return f"{one['selection']}, too few in {one['ran_out']}" if one["ran_out"] else str(one["selection"])


def _spent(one: dict[str, Any]) -> list[str]:
    return [f"{one['responses']:.1f}", _number(one["tokens"]), accuracy_text(one)]


def _moved(difference: dict[str, Any] | None) -> list[str]:
    if difference is None:
        return []
    return [_difference(difference), p_text(difference["p_value"]), verdict_text(difference)]


def _calibration(parts: list[_Part]) -> Table:
    rows = [
        [*who, *(_percent(stated[key]) for key in ("stated", "confidence", "accuracy")), *_errors(stated)]
        for who, part in parts
        if (stated := part.get("calibration"))
    ]
    columns = [*_WHO, "responses that state it %", "confidence %", "accuracy %", "Brier", "ECE (95%)", "ECE by chance"]
    return Table("Calibration of stated confidence", columns, rows, keys=3)


def _errors(stated: dict[str, Any]) -> list[str]:
    brier, ece = (f"{stated[key]:.3f}" for key in ("brier", "ece"))
    if "ece_ci" not in stated:  # of a former version
        return [brier, ece, "-"]
    low, high = stated["ece_ci"]
    return [brier, f"{ece} ({low:.3f} to {high:.3f})", f"{stated['ece_by_chance']:.3f}"]


def _cell(k: str, values: dict[str, float], intervals: dict[str, list[float]]) -> str:
    if k not in values:
        return "-"
    low, high = intervals[k]
    return f"{100 * values[k]:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def _difference(item: dict[str, float]) -> str:
    return f"{100 * item['difference']:+.1f} ({100 * item['low']:+.1f} to {100 * item['high']:+.1f})"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
