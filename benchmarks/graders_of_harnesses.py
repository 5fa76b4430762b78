r"""The same responses judged by our `math_verify`, by four graders of lm-eval's tasks and by Qwen2.5-Math's.

Responses are of two kinds. Files given by --responses: JSON Lines with reference and response, such
as recorded grader cases, with `expected`, which is what is right. And the references of --golds in
wordings and forms in which models write them, right and wrong; how they were made tells which, and
no model wrote them. The peers live in environments of their own.

Every response over which two graders disagree is written to --out, with who is right and, where
graders_judged.yaml has a rule for it, why. The tables count them.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards.sample import Sample
from rlsp_cli.rewards.scorer import Scorer

HERE = Path(__file__).parent
WORDINGS = {
    "a box": "We add both parts.\n\nThe final answer is $\\boxed{%(x)s}$.",
    "a box after thinking": "<think>\nIs it $\\boxed{%(w)s}$? No.\n</think>\n\n**Final Answer**\n\n$\\boxed{%(x)s}$",
    "a box, corrected": "So we get $\\boxed{%(w)s}$. Wait, that misses a case.\n\nIt is $\\boxed{%(x)s}$.",
    "Minerva's sentence": "Final Answer: The final answer is $%(x)s$. I hope it is correct.",
    "a sentence": "We add both parts.\n\nTherefore, the answer is $%(x)s$.",
    "between dollars": "$%(x)s$",
}
Row = dict[str, Any]
Verdict = bool | str | None
"""True, false, or why there is none."""


def made(golds: Sequence[Row]) -> Iterator[Row]:
    """Each reference in each wording, another problem's in its place, and other ways to write it."""
    for i, row in enumerate(golds):
        gold, other = row["answer"], golds[(i + 7) % len(golds)]["answer"]
        for name, wording in WORDINGS.items():
            yield _row(row, name, wording % {"x": gold, "w": other}, expected=True)
            if other != gold and name.startswith("a box"):
                yield _row(row, f"{name}, wrong", wording % {"x": other, "w": gold}, expected=False)
        for name, (answer, right) in forms(gold).items():
            yield _row(row, name, WORDINGS["a box"] % {"x": answer}, expected=right)


def _row(problem: Row, kind: str, response: str, *, expected: bool) -> Row:
    row = {
        "id": f"{problem['id']}: {kind}",
        "kind": kind,
        "reference": problem["answer"],
        "response": response,
    }
    return {**row, "expected": expected, "solution": problem.get("solution")}


def forms(gold: str) -> dict[str, tuple[str, bool]]:
    """Name -> (another way to write the reference, or a near miss; is it right)."""
    found: dict[str, tuple[str, bool]] = {}
    if "\\frac{" in gold:
        found["dfrac"] = gold.replace("\\frac{", "\\dfrac{"), True
    if parts := re.fullmatch(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}", gold):
        value = Fraction(int(parts[1]), int(parts[2]))
        found["a/b"] = f"{parts[1]}/{parts[2]}", True
        if 10**6 % value.denominator == 0:
            found["decimal"] = str(float(value)), True
    if parts := re.fullmatch(r"\(([^(),]+),([^(),]+)\)", gold):
        found["(b, a)"] = f"({parts[2]},{parts[1]})", parts[1].strip() == parts[2].strip()
    if re.fullmatch(r"[(\[][^()\[\]]+,[^()\[\]]+[)\]]", gold) and ("[" in gold or "]" in gold):
        found["other end points"] = gold.translate(str.maketrans("()[]", "[]()")), False
    plain = gold.replace("\\!", "").replace("{,}", ",")
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+|-?\d+(\.\d+)?", plain):
        found |= _numbers(plain.replace(",", ""))
    return {name: pair for name, pair in found.items() if pair[0] != gold}


def _numbers(gold: str) -> dict[str, tuple[str, bool]]:
    number = float(gold)
    found = {
        "negated": (gold.removeprefix("-") if number < 0 else f"-{gold}", number == 0),
        "one more": (f"{number + 1:.12g}", False),
        "a hundred times": (f"{number * 100:.12g}", number == 0),
        "0.005% more": (f"{number * 1.00005:.12g}", number == 0),
        "with a unit": (f"{gold}\\text{{ units}}", True),
        "as an equation": (f"x = {gold}", True),
    }
    if "." not in gold:
        found |= {"with decimals": (f"{gold}.00", True), "in plain digits": (str(int(gold)), True)}
        found["thousands apart"] = f"{int(gold):,}", True
    return found


def ours(rows: Sequence[Row]) -> list[Verdict]:
    with Scorer(Reward(workers=os.cpu_count() or 2, timeout_s=10)) as scorer:
        scores = scorer.verify([Sample("", row["response"], row["reference"]) for row in rows])
    return [score.outcome if score.value is None else score.value == 1.0 for score in scores]


def peer(
    harness: str, python: str, folder: Path, rows: Sequence[Row], *more: str
) -> list[dict[str, Verdict]]:
    """For each response grader -> verdict, from the harness's interpreter, at work in `folder`."""
    folder.mkdir()
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(rows))
    command = [
        str(Path(python).absolute()),
        "-W",
        "ignore",
        str(HERE / "peer_graders.py"),
        harness,
        str(file),
        *more,
    ]
    with folder.with_suffix(".jsonl").open("w+") as sink:
        subprocess.run(command, cwd=folder, stdout=sink, check=True)
        sink.seek(0)
        found = [json.loads(line) for line in sink]
    if left := sorted(path.name for path in folder.iterdir()):
        print(f"{harness} ran code from an answer: it left {left} behind", flush=True)
    return found


def judge(
    rows: Sequence[Row], lm_eval: str | None, qwen: Sequence[str] | None
) -> dict[str, list[Verdict]]:
    """Grader -> its verdicts, ours first; each harness in as many processes as there are cores."""
    cores = os.cpu_count() or 2
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor() as pool:

        def start(harness: str, python: str, *more: str) -> list[Future[list[dict[str, Verdict]]]]:
            folders = [Path(root) / f"{harness}-{n}" for n in range(cores)]
            return [
                pool.submit(peer, harness, python, f, rows[n::cores], *more)
                for n, f in enumerate(folders)
            ]

        started = [start("lm_eval", lm_eval)] if lm_eval else []
        started += [start("qwen", qwen[0], str(Path(qwen[1]).absolute()))] if qwen else []
        found: dict[str, list[Verdict]] = {"rlsp": [None] * len(rows)}
        for harness in started:
            for n, part in enumerate(future.result() for future in harness):
                for name in part[0]:
                    found.setdefault(name, [None] * len(rows))[n::cores] = [
                        said[name] for said in part
                    ]
    return {**found, "rlsp": ours(rows)}


def table(rows: Sequence[Row], verdicts: Mapping[str, Sequence[Verdict]]) -> str:
    """By kind, how many responses each grader judges as expected, as Markdown."""
    kinds = dict.fromkeys(row["kind"] for row in rows)
    lines = [
        "| responses | right or wrong | number | " + " | ".join(verdicts) + " |",
        "|" + "---|" * (3 + len(verdicts)),
    ]
    for kind, wanted in ((kind, wanted) for kind in kinds for wanted in (True, False)):
        picked = [
            i for i, row in enumerate(rows) if (row["kind"], row["expected"]) == (kind, wanted)
        ]
        right = [sum(column[i] == wanted for i in picked) for column in verdicts.values()]
        if picked:
            cells = [kind, "right" if wanted else "wrong", len(picked), *right]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def disagreements(rows: Sequence[Row], verdicts: Mapping[str, Sequence[Verdict]]) -> list[Row]:
    """Rows with more than one verdict, with every grader's, and why those that are wrong are."""
    rules = yaml.safe_load((HERE / "graders_judged.yaml").read_text(encoding="utf-8"))
    found = []
    for i, row in enumerate(rows):
        said = {name: column[i] for name, column in verdicts.items()}
        if len(set(said.values())) > 1:
            wrong = [name for name, verdict in said.items() if verdict != row["expected"]]
            shown = {key: row[key] for key in ("id", "kind", "reference", "response", "expected")}
            found.append(
                {**shown, "verdicts": said, "wrong": wrong, "why": _why(row, wrong, rules)}
            )
    return found


def _why(row: Row, wrong: Sequence[str], rules: Sequence[Row]) -> dict[str, str]:
    """For each grader that is wrong why, by the first rule that names it with the row's id or a pattern of ids."""
    found = {}
    for name in wrong:
        fits = (
            rule["why"] for rule in rules if name in rule["graders"] and _meant(rule, row["id"])
        )
        found[name] = next(fits, "")
    return found


def _meant(rule: Row, id: str) -> bool:
    return id in rule["ids"] if "ids" in rule else re.search(rule["pattern"], id) is not None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--responses",
        type=Path,
        nargs="*",
        default=[],
        help="JSON Lines: id, kind, reference, response, expected",
    )
    parser.add_argument(
        "--golds", type=Path, nargs="*", default=[], help="JSON Lines: id, answer, perhaps solution"
    )
    parser.add_argument("--lm-eval", metavar="PYTHON", help="an interpreter with lm-eval[math]")
    parser.add_argument(
        "--qwen", nargs=2, metavar=("PYTHON", "FOLDER"), help="interpreter, Qwen2.5-Math/evaluation"
    )
    parser.add_argument("--out", type=Path, required=True, help="file for the disagreements")
    arguments = parser.parse_args()
    rows = [
        json.loads(line) for path in arguments.responses for line in path.open(encoding="utf-8")
    ]
    rows = [row for row in rows if not row.get("policy")]
    for path in arguments.golds:
        rows += made([json.loads(line) for line in path.open(encoding="utf-8")])
    verdicts = judge(rows, arguments.lm_eval, arguments.qwen)
    found = disagreements(rows, verdicts)
    arguments.out.write_text("".join(json.dumps(row) + "\n" for row in found))
    print(table(rows, verdicts))
    for name, column in verdicts.items():
        right = sum(verdict == row["expected"] for row, verdict in zip(rows, column, strict=True))
        silent = Counter(verdict for verdict in column if not isinstance(verdict, bool))
        print(f"{name}: {right} of {len(rows)} as expected, without a verdict: {dict(silent)}")
    print(f"{len(rows)} responses, {len(found)} with disagreement")


if __name__ == "__main__":
    main()
