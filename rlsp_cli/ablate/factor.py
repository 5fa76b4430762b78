"""What an ablation varies: a key of the recipe and its values."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rlsp_cli.errors import UsageError
from rlsp_cli.recipe.source import parse_value

_EXAMPLE = "--over reward.alpha=0.8,1.0"


@dataclass(frozen=True)
class Factor:
    """A dotted key and the values that it takes, at least two."""

    key: str
    values: tuple[Any, ...]

    @property
    def overrides(self) -> Iterator[str]:
        """`key=value` for each value, as on the command line."""
        # JSON is YAML, and reads back as the same value whatever is in a text.
        return (f"{self.key}={json.dumps(value)}" for value in self.values)


def read_factors(texts: Sequence[str]) -> list[Factor]:
    """Factors from `key=value,value`, where values are YAML; UsageError for what varies nothing."""
    factors = list(map(_read, texts))
    times = Counter(factor.key for factor in factors)
    for key, count in times.items():
        if count > 1:
            raise UsageError(f"--over {key}: given {count} times; name all its values in one")
    return factors


def _read(text: str) -> Factor:
    key, equals, values = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(f"--over {text}: expected KEY=VALUE,VALUE, as in {_EXAMPLE}")
    if key == "seed":
        raise UsageError(f"--over {text}: seeds are what settings are paired over; use --seeds N")

    # Between brackets, commas inside of lists, mappings and quotes separate nothing.
    found = parse_value(f"[{values}]")
    if not isinstance(found, list):
        raise UsageError(f"--over {text}: expected YAML values between commas, as in {_EXAMPLE}")
    if len(found) < 2:
        raise UsageError(
            f"--over {text}: one value varies nothing; name another, or set it for all settings "
            f"by the word {key}=VALUE without --over"
        )
    return Factor(key, tuple(found))
