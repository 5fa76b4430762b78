"""How much of a response is repetition, by n-grams and by compression."""

import zlib


def repetition(text: str, n: int = 4) -> float:
    """Share of n-grams of words that occurred before in the text, 0 to 1; 0 with fewer words."""
    words = text.split()
    ngrams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def compression(text: str) -> float:
    """Zlib's compression ratio: about 1 for a sentence, 2 to 3 for pages, far more in a loop."""
    raw = text.encode(errors="replace")
    return len(raw) / len(zlib.compress(raw)) if raw else 1.0
