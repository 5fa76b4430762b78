"""Our verifier `ifeval` and IFEval's own code, as lm-eval has it, on the same responses: where do they differ?

Prompts are IFEval's rows (key, prompt, instruction_id_list, kwargs) as JSON Lines, responses have
prompt and response. The original runs in an interpreter with `lm-eval[ifeval]` and nltk's
punkt_tab; its langdetect gets our seed.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

RULES = ("strict", "loose")


def original() -> None:
    """Answer each line of stdin, a prompt's row with a response, with the original's verdicts."""
    import langdetect
    from lm_eval.tasks.ifeval import utils

    langdetect.DetectorFactory.seed = 0
    for line in sys.stdin:
        row = json.loads(line)
        asked = utils.InputExample(
            row["key"], row["instruction_id_list"], row["prompt"], row["kwargs"]
        )
        judges = (utils.test_instruction_following_strict, utils.test_instruction_following_loose)
        found = [judge(asked, row["response"]).follow_instruction_list for judge in judges]
        print(json.dumps(dict(zip(RULES, found, strict=True))))


def ours(rows: list[dict[str, Any]]) -> list[dict[str, list[bool]]]:
    from rlsp_cli.rewards.registry import get_plugin
    from rlsp_cli.rewards.sample import Sample

    shape, judge = (get_plugin(kind, "ifeval").function for kind in ("row_shape", "verifier"))
    samples = [Sample(row["prompt"], row["response"], metadata=shape(row)) for row in rows]
    return [judge(sample).checks for sample in samples]


def read(path: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()
    ]


def main() -> None:
    """Print the four numbers of both, and the instructions over which they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=Path, required=True)
    parser.add_argument("--responses", type=Path, nargs="+", required=True)
    parser.add_argument("--python", required=True, help="an interpreter with lm-eval")
    given = parser.parse_args()

    prompts = {row["prompt"]: row for row in read(given.prompts)}
    said = [one for file in given.responses for one in read(file) if one["prompt"] in prompts]
    rows = [prompts[one["prompt"]] | {"response": one["response"] or ""} for one in said]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    done = subprocess.run(
        [given.python, __file__, "--original"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [json.loads(line) for line in done.stdout.splitlines()]

    differ: Counter[str] = Counter()
    for name, found in {"original": theirs, "rlsp": (mine := ours(rows))}.items():
        prompt = [sum(map(all, (one[rule] for one in found))) / len(found) for rule in RULES]
        each = [
            sum(sum(one[rule]) for one in found) / sum(len(one[rule]) for one in found)
            for rule in RULES
        ]
        print(
            f"{name}: prompts {prompt[0]:.4f} strict, {prompt[1]:.4f} loose; instructions {each[0]:.4f}, {each[1]:.4f}"
        )
    for row, a, b in zip(rows, theirs, mine, strict=True):
        for rule in RULES:
            pairs = zip(row["instruction_id_list"], a[rule], b[rule], strict=True)
            differ.update(
                f"{rule}, {id}, prompt {row['key']}"
                for id, one, other in pairs
                if bool(one) != other
            )
    judged = sum(len(one[rule]) for one in theirs for rule in RULES)
    print(f"{sum(differ.values())} of {judged} judgements differ: {dict(differ)}")


if __name__ == "__main__":
    original() if "--original" in sys.argv else main()
