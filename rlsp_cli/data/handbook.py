"""A handbook of behaviours: named ways to reason, of which those that fit a problem are looked up.

The handbook of "Metacognitive Reuse", as YAML that people edit:

    behaviours:
    - {name: check_by_substitution, instruction: "Put the result back into the equation."}
"""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.load import read_section
from rlsp_cli.recipe.section import PositiveInt, Section

Text = Annotated[str, Field(min_length=1)]


class Behaviour(Section):
    """A way to reason; `seen` counts the traces that it was drawn from."""

    name: Text
    """Its name, such as `check_by_substitution`."""
    instruction: Text
    """What to do, in a sentence."""
    seen: PositiveInt = 1
    """Traces that it was drawn from."""


class Handbook(Section):
    """The behaviours of a file, each with a name of its own."""

    behaviours: tuple[Behaviour, ...]
    """All of them."""

    @field_validator("behaviours")
    @classmethod
    def _names_differ(cls, behaviours: tuple[Behaviour, ...]) -> tuple[Behaviour, ...]:
        names = [behaviour.name for behaviour in behaviours]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two behaviours are called {twice!r}; merge them")
        if not behaviours:
            raise ValueError("no behaviour; expected at least one")
        return behaviours


def fitting_behaviours(file: Path, problem: str, most: int) -> list[Behaviour]:
    """The behaviours of a handbook that share words with a problem, best first by BM25.

    RecipeError for a file that is no handbook, NotReadyError without the package bm25s.
    """
    # By its time as well, since a handbook is edited between two runs of one process.
    handbook, index = _indexed(file, file.stat().st_mtime_ns if file.is_file() else 0)

    words = _words([problem])
    count = min(most, len(handbook.behaviours))
    places, scores = index.retrieve(words, k=count, show_progress=False)
    return [
        handbook.behaviours[int(place)]
        for place, score in zip(places[0], scores[0], strict=True)
        if score > 0
    ]


@lru_cache(maxsize=8)
def _indexed(file: Path, changed_at: int) -> tuple[Handbook, Any]:
    handbook = read_section(file, Handbook)
    texts = [f"{one.name.replace('_', ' ')} {one.instruction}" for one in handbook.behaviours]

    index = _library().BM25()
    index.index(_words(texts), show_progress=False)
    return handbook, index


def _words(texts: list[str]) -> Any:
    return _library().tokenize(texts, stopwords="en", return_ids=False, show_progress=False)


def _library() -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise NotReadyError(
            "the search in a handbook needs bm25s, which is not installed: pip install 'rlsp[handbook]'"
        ) from error
    return bm25s
