"""The tables of a report, as text cells."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from rlsp_cli.evals.compare import verdict
from rlsp_cli.evals.statistics import FEWEST

_NUMBER = re.compile(r"([-+<~]? ?[\d.,]+%?( (\(.*\)|@\d+|points))?|\d+-\d+|-)")
_PPO_ROWS = 8
_PPO_COLUMNS = {
    "correctness/mean": ("correct", "{:.3f}"),
    "response/tokens": ("tokens", "{:.1f}"),
    "response/truncated": ("truncated", "{:.3f}"),
    "response/answered": ("answered", "{:.3f}"),
    "response/repetition": ("repetition", "{:.3f}"),
    "behaviour/backtrack": ("backtrack", "{:.2f}"),
    "behaviour/verify": ("verify", "{:.2f}"),
    "kl/response": ("KL", "{:.3f}"),
    "alpha": ("alpha", "{:.2f}"),
}


@dataclass(frozen=True)
class Table:
    """A title, column names and rows of text; the first `keys` columns say what a row is about."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: int = 1

    @property
    def numbers(self) -> list[int]:
        """The columns of numbers, which stand on the right."""
        return [i for i in range(self.keys, len(self.columns)) if are_numbers([row[i] for row in self.rows])]

    def without_blanks(self) -> "Table":
        """The same without columns that hold nothing in any row."""
        kept = [i for i in range(len(self.columns)) if i < self.keys or any(row[i] != "-" for row in self.rows)]
        rows = [[row[i] for i in kept] for row in self.rows]
        return Table(self.title, [self.columns[i] for i in kept], rows, self.keys)


def are_numbers(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers: whole ones, shares, with an interval behind them, or none."""
    return any(cell != "-" for cell in cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def eval_table(evaluation: dict[str, Any]) -> Table:
    """One row per bench, kind of decoding and model; shares in percent with 95% intervals."""
    columns = ["bench", "decoding", "model", "accuracy % (95%)", "pass@k %", "maj@k %", "tokens", "truncated %"]
    columns += ["answered %", "repetition", "backtrack", "verify", "unscored"]
    models = evaluation.get("models", {})
    benches: dict[str, Any] = next(iter(models.values()), {"benches": {}})["benches"]
    rows = [
        [bench, _decoding(kind, result["benches"][bench][kind]), model, *_cells(result["benches"][bench], kind)]
        for bench in benches
        for kind in ("greedy", "sample")
        for model, result in models.items()
        if kind in result["benches"][bench]
    ]
    return Table("Evaluation, per response", columns, rows, keys=3)


def difference_table(evaluation: dict[str, Any]) -> Table:
    """Paired differences in points of percent, and whether they can be told from 0."""
    rows = []
    for item in evaluation.get("comparisons", []):
        points = f"{100 * item['difference']:+.1f} ({100 * item['low']:+.1f} to {100 * item['high']:+.1f})"
        decoding = "greedy" if item["kind"] == "greedy" else "sampled"
        models = f"{item['from']} -> {item['to']}"
        rows.append(
            [
                item["bench"],
                decoding,
                models,
                points,
                verdict_text(item),
                p_text(item.get("p_value")),
                str(item["problems"]),
            ]
        )
    columns = ["bench", "decoding", "models", "points (95%)", "verdict", "p", "problems"]
    return Table("Difference on the same problems", columns, rows, keys=3)


def ppo_table(rows: Sequence[dict[str, Any]]) -> Table:
    """PPO over steps: means over some eight equal stretches."""
    exploration = sorted({key for row in rows for key in row if fnmatch(key, "exploration/*/mean")})
    names = {key: (key.split("/")[1], "{:.3f}") for key in exploration}
    columns = {**dict(list(_PPO_COLUMNS.items())[:1]), **names, **dict(list(_PPO_COLUMNS.items())[1:])}
    size = max(1, -(-len(rows) // _PPO_ROWS))
    stretches = [rows[i : i + size] for i in range(0, len(rows), size)]
    cells = [
        [span(part[0]["step"], part[-1]["step"]), *(_mean(part, key, text) for key, (_, text) in columns.items())]
        for part in stretches
    ]
    return Table(
        "PPO over rollout steps (training problems)", ["steps", *(name for name, _ in columns.values())], cells
    )


def accuracy_text(part: dict[str, Any]) -> str:
    """`41.2 (37.0 to 45.6)`, or - when nothing was scored."""
    return "-" if part["accuracy"] is None else share_text(part["accuracy"])


def share_text(share: dict[str, float]) -> str:
    """A share and its interval in percent: `41.2 (37.0 to 45.6)`."""
    return f"{100 * share['value']:.1f} ({100 * share['low']:.1f} to {100 * share['high']:.1f})"


def _cells(result: dict[str, Any], kind: str) -> list[str]:
    part = result[kind]
    unscored = ", ".join(f"{n} {kind}" for kind, n in part["unscored"].items()) or "-"
    if (least := part.get("accuracy_if_unscored_wrong")) is not None:
        unscored += f" (accuracy {100 * least:.1f} if wrong)"
    return [
        accuracy_text(part) + of_problems(part, result),
        _last(part.get("pass_at"), part),
        _last(part.get("maj_at"), part),
        "-" if part["tokens"] is None else f"{part['tokens']:.1f}",
        f"{100 * part['truncated']:.1f}",
        f"{100 * part['answered']:.1f}",
        f"{part['repetition']:.3f}",
        f"{part['behaviour']['backtrack']:.2f}",
        f"{part['behaviour']['verify']:.2f}",
        unscored,
    ]


def of_problems(part: dict[str, Any], result: dict[str, Any]) -> str:
    """` on 510 of 541 problems` where some have no scored response: then the number is none of the whole bench."""
    scored, whole = part.get("problems", 0), result.get("protocol", {}).get("problems", 0)
    return f" on {scored} of {whole} problems" if 0 < scored < whole else ""


def p_text(value: float | None) -> str:
    """A p-value with four decimals; - when there is none."""
    return "-" if value is None else f"{value:.4f}" if value >= 0.0001 else "< 0.0001"


def verdict_text(item: dict[str, Any]) -> str:
    """The verdict, and why there can be no other where hardly any problem differs."""
    differ = item.get("differ", FEWEST)
    return verdict(item) + (f": only {differ} problems differ, no test can tell" if differ < FEWEST else "")


def _last(curve: dict[str, float] | None, part: dict[str, Any]) -> str:
    """The value at the largest k, which is named where it is not that of avg@k."""
    if not curve:
        return "-"
    k, value = list(curve.items())[-1]
    return f"{100 * value:.1f}" + ("" if k == str(part["k"]) else f" @{k}")


def _decoding(kind: str, part: dict[str, Any]) -> str:
    if kind == "greedy":
        return "greedy"
    k, least = part.get("k", "-"), part.get("k_least", part.get("k"))
    return f"avg@{k}" if least in (k, None) else f"avg@{least}-{k}"


def span(first: int, last: int) -> str:
    """Steps by their indices, as a person counts them: from 1."""
    return f"{first + 1}" if first == last else f"{first + 1}-{last + 1}"


def _mean(part: Sequence[dict[str, Any]], key: str, text: str) -> str:
    values = [row[key] for row in part if key in row]
    return text.format(statistics.fmean(values)) if values else "-"
