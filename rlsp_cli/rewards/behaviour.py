"""Search behaviours in a response, counted by the words of a lexicon, and how much of it is repetition.

The counts are of words, not of thoughts: read them beside accuracy and repetition.
"""

import zlib

from rlsp_cli.rewards.lexicon import load_lexicon


def behaviour_counts(text: str, lexicon: str | None = None) -> dict[str, int]:
    """Occurrences of each behaviour's words, of the shipped lexicon or of another file or folder."""
    return load_lexicon(lexicon).counts(text)


def repetition(text: str, n: int = 4) -> float:
    """Share of the text's n-grams of words that occurred before in it, 0 to 1; 0 for a text of fewer words."""
    words = text.split()
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def compression(text: str) -> float:
    """Bytes of the text over those after zlib: about 1 for a sentence, 2 to 3 for pages, far more where it loops."""
    raw = text.encode(errors="replace")
    return len(raw) / len(zlib.compress(raw)) if raw else 1.0
