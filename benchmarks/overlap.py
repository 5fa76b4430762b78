"""How many changed copies of a bench's problems are found, and how many problems that are none.

    .venv/bin/python benchmarks/overlap.py --data FOLDER    # with math500.jsonl, aime24.jsonl, aime_1983_2023.jsonl

Copies of MATH-500 are made by rewriters with a seed; a row counts where the rewriter changed
something. Every second problem (`--half tuning`) chose the limits of the rule for likely copies,
the others (the default) did not. Paraphrases by hand are in overlap_paraphrases.yaml. AIME
1983-2023 against MATH-500 shows false alarms: nine problems are in both.
"""

# ruff: noqa: RUF001 - other signs that look alike are what this is about

import argparse
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import yaml
from scipy import stats

from rlsp_cli.evals.overlap import OverlapIndex
from rlsp_cli.runs.stream import read_rows

Rewriter = Callable[[str, random.Random], str]

_SHARED = {
    *(
        "1983-2",
        "1995-9",
        "2001-II-3",
        "2002-I-12",
        "2006-II-5",
        "2010-I-6",
        "2015-II-6",
        "2016-I-10",
        "2017-II-7",
    ),
}
"""The problems of AIME that MATH-500 has too, found by reading."""
_UNICODE = {
    r"\sqrt": "√", r"\pi": "π", r"\leq": "≤", r"\le": "≤", r"\geq": "≥", r"\ge": "≥", r"\cdot": "·", r"\times": "×",
    r"\theta": "θ", r"\alpha": "α", r"\omega": "ω", r"\angle": "∠", r"\triangle": "△", r"\infty": "∞", r"^\circ": "°",
    r"\neq": "≠", r"\pm": "±", r"\in": "∈", "^2": "²", "^3": "³", "_1": "₁", "_2": "₂",
}  # fmt: skip
_SYNONYMS = {
    "Find": "Determine", "find": "determine", "Compute": "Evaluate", "compute": "evaluate", "What is": "Calculate",
    "How many": "What is the number of", "Suppose": "Assume", "Let": "Suppose", "positive integers": "natural numbers",
    "smallest": "least", "largest": "greatest", "value": "number", "such that": "so that", "each": "every",
    "distinct": "different", "If": "Given that", "sum": "total", "Express": "Write", "equation": "relation",
}  # fmt: skip
_BEFORE = (
    "Solve the following math problem step by step. Put your final answer within \\boxed{}.\n\n"
)
_AFTER = "\n\nPlease reason carefully and check your result before you answer."


def _replaced(table: Mapping[str, str]) -> Rewriter:
    parts = [re.escape(key) + ("(?![A-Za-z])" if key[-1].isalpha() else r"(?!\d)") for key in table]
    pattern = re.compile("|".join(sorted(parts, key=len, reverse=True)))
    return lambda text, rng: pattern.sub(lambda found: table[found[0]], text)


def _fractions(text: str, rng: random.Random) -> str:
    return re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"(\1)/(\2)", text)


def _each(number: int, change: Callable[[str, random.Random], str]) -> Rewriter:
    """Each so-many-th word changed, from a random one on."""

    def rewrite(text: str, rng: random.Random) -> str:
        first, words = rng.randrange(number), text.split(" ")
        changed = [
            change(word, rng) if place % number == first else word
            for place, word in enumerate(words)
        ]
        return " ".join(changed)

    return rewrite


def _misspelt(word: str, rng: random.Random) -> str:
    if not word.isalpha() or len(word) < 4:
        return word
    place = rng.randrange(1, len(word) - 2)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _shuffled(text: str, rng: random.Random) -> str:
    sentences = re.split(r"(?<=[.?!])\s+", text)
    rng.shuffle(sentences)
    return " ".join(sentences)


def _half(text: str, rng: random.Random) -> str:
    words = text.split()
    return " ".join(words[: len(words) // 2])


def _stripped(text: str, rng: random.Random) -> str:
    return re.sub(r"\\[A-Za-z]+|[${}\\]", " ", text)


def _other_numbers(text: str, rng: random.Random) -> str:
    return re.sub(r"\d+", lambda found: str(int(found[0]) + rng.randrange(1, 9)), text)


def rewriters(vocabulary: list[str]) -> dict[str, Rewriter]:
    """By name, in the order of the table; the last makes no copies but problems of the same family."""
    another: Callable[[str, random.Random], str] = lambda word, rng: rng.choice(vocabulary)  # noqa: E731
    return {
        "capitals": lambda text, rng: text.upper() if "\\" not in text else text,
        "`\\(` and `\\[` for dollars": lambda text, rng: re.sub(r"\$([^$]+)\$", r"\\(\1\\)", text),
        "`(a)/(b)` for `\\frac{a}{b}`": _fractions,
        "Unicode for LaTeX": _replaced(_UNICODE),
        "`*` for `\\cdot`, `\\times`": _replaced({r"\cdot": "*", r"\times": "*"}),
        "LaTeX's commands stripped": _stripped,
        "instructions before and after": lambda text, rng: _BEFORE + text + _AFTER,
        "sentences in another order": _shuffled,
        "each 12th word misspelt": _each(12, _misspelt),
        "each 8th word left out": _each(8, lambda word, rng: ""),
        "usual synonyms": _replaced(_SYNONYMS),
        "each 10th word another": _each(10, another),
        "each 6th word another": _each(6, another),
        "each 4th word another": _each(4, another),
        "the first half": _half,
        "other numbers (no copies)": _other_numbers,
    }


def _rules(index: OverlapIndex, texts: Iterable[tuple[str | None, str]]) -> Counter[str]:
    """Texts by how they are found: `refused`, `likely`; of a text with an id only its own problem counts."""
    found: Counter[str] = Counter()
    for id, text in texts:
        match = index.match(text, likely=True)
        found["all"] += 1
        if match and id in (None, match.id):
            found["refused" if match.is_copy else "likely"] += 1
    return found


def _changed(problems: Mapping[str, str], rewrite: Rewriter) -> Iterator[tuple[str | None, str]]:
    for id, text in problems.items():
        changed = rewrite(text, random.Random(id))
        if changed != text:
            yield id, changed


def _line(name: str, found: Counter[str]) -> str:
    seen = found["refused"] + found["likely"]
    low, high = stats.binomtest(seen, found["all"]).proportion_ci(method="wilson")
    shares = [f"{100 * part / found['all']:.0f}" for part in (found["refused"], seen)]
    return f"| {name} | {found['all']} | {shares[0]} | {shares[1]} ({100 * low:.0f} to {100 * high:.0f}) |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--half", choices=("tuning", "held_out"), default="held_out")
    options = parser.parse_args()

    names = ("math500", "aime24", "aime_1983_2023")
    bench, aime24, old = (
        {r["id"]: r["problem"] for r in read_rows(options.data / f"{n}.jsonl")} for n in names
    )
    half = {
        id: text
        for n, (id, text) in enumerate(bench.items())
        if n % 2 == (options.half == "held_out")
    }
    index, small = OverlapIndex(), OverlapIndex()
    index.add("math500", bench)
    small.add("aime24", aime24)

    print("| copies of MATH-500 | rows | refused % | refused or listed % |\n|---|---|---|---|")
    vocabulary = [word for text in old.values() for word in text.split() if word.isalpha()]
    for name, rewrite in rewriters(vocabulary).items():
        print(_line(name, _rules(index, _changed(half, rewrite))))
    written = yaml.safe_load((Path(__file__).parent / "overlap_paraphrases.yaml").read_text())[
        options.half
    ]
    print(_line("paraphrases by hand", _rules(index, written.items())))

    print("\n| no copies | rows | refused % | refused or listed % |\n|---|---|---|---|")
    others = {id: text for id, text in old.items() if id not in _SHARED}
    print(
        _line(
            "AIME 1983-2023 against MATH-500",
            _rules(index, ((None, text) for text in others.values())),
        )
    )
    print(
        _line(
            "AIME 1983-2023 against AIME 2024",
            _rules(small, ((None, text) for text in old.values())),
        )
    )
    print(
        _line(
            "MATH-500 against AIME 2024", _rules(small, ((None, text) for text in bench.values()))
        )
    )
    true = _rules(index, ((None, old[id]) for id in sorted(_SHARED)))
    print(
        f"\nof the {true['all']} problems of AIME in MATH-500: {true['refused']} refused, {true['likely']} listed"
    )


if __name__ == "__main__":
    main()
