"""Search behaviours in a response, counted by a lexicon that anyone can read, and how much of it is repetition.

The counts are of words, not of thoughts: read them beside accuracy and repetition.
"""

import re

LEXICON = {
    "backtrack": r"\b(go(ing)? back|backtrack\w*|start over|return to step|dead end)\b",
    "verify": r"\b(too (low|high|small|large|big)|(re|double-)?check(s|ing)?|verif(y|ies|ying)|re-?examin(e|es|ing)"
    r"|correct(?=[.!]))\b",
    "alternative": r"\b(wait|alternatively|another (way|approach)|instead|let'?s try|try (again|another)|start with)\b",
    "subgoal": r"\b(first(ly)?(?=,)|next(?=,)|step \d+|(our|my|the) (plan|strategy) is"
    r"|break (it|this|the \w+) (down|into)|sub-?(goal|problem|task)s?|it (suffices|remains) to)\b",
}
_PATTERNS = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in LEXICON.items()}


def behaviour_counts(text: str) -> dict[str, int]:
    """Occurrences of each behaviour's words."""
    return {name: sum(1 for _ in pattern.finditer(text)) for name, pattern in _PATTERNS.items()}


def repetition(text: str, n: int = 4) -> float:
    """Share of the text's n-grams of words that occurred before in it, 0 to 1; 0 for a text of fewer words."""
    words = text.split()
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
