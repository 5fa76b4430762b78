"""A bench for scorers as a YAML file: where its labelled responses are, and what is measured."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from rlsp_cli.errors import RlspError
from rlsp_cli.evals.benches.shipped import file_path, shipped_files
from rlsp_cli.recipe.load import read_section
from rlsp_cli.recipe.section import Section
from rlsp_cli.recipe.source import read_source


class Columns(Section):
    """The columns of a row; a measure reads some of them."""

    problem: str = "problem"
    """Column that holds the problem."""
    steps: str = "steps"
    """Column with the steps of a response, for `first_error`."""
    label: str = "label"
    """Column with the index of the first wrong step from 0, or -1 where none is wrong."""
    right: str | None = None
    """Column that says whether the final answer is right; by default, whether no step is wrong."""
    chosen: str = "chosen"
    """Column with right responses, one or a list, for `chosen_over_rejected`."""
    rejected: str = "rejected"
    """Column with wrong responses."""


class ScorerBenchFile(Section):
    """One bench for scorers."""

    kind: Literal["scorer"]
    """What tells it from a bench for models."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Its name in results, and of the file in a data folder."""
    description: str
    """One line for `rlsp benches list`."""
    measure: Literal["first_error", "chosen_over_rejected"]
    """Find the first wrong step of a chain, or rank right responses above wrong ones."""
    source: str
    """`hf:org/name`, or a file."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit of the hub data set; `null` if none is pinned."""
    config: str | None = None
    """Configuration of the hub data set, where it has several."""
    subsets: Annotated[tuple[str, ...], Field(min_length=1)]
    """Splits of the hub data set, which are measured apart."""
    columns: Columns = Columns()
    """The columns of a row."""


def shipped_scorer_benches() -> dict[str, Path]:
    """The files of the benches for scorers that come with rlsp, by name."""
    return shipped_files("scorer_benches")


def find_scorer_bench(name: str) -> ScorerBenchFile:
    """The bench of a shipped name or a file; RecipeError lists all that is wrong with it."""
    path = file_path("bench for scorers", name, shipped_scorer_benches())
    return read_section(path, ScorerBenchFile)


def is_scorer_bench(name: str) -> bool:
    """Whether a name or a file is one of these, and no bench for models."""
    if name in shipped_scorer_benches():
        return True
    try:
        return read_source(Path(name).absolute()).data.get("kind") == "scorer"
    except (OSError, RlspError):
        return False
