"""A bench as a YAML file: its problems, prompt and verifier, and how many responses are drawn."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from rlsp_cli.errors import RecipeError
from rlsp_cli.evals.benches.shipped import file_path, shipped_files
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.issue import OptionsError
from rlsp_cli.recipe.load import read_section
from rlsp_cli.recipe.plugin_use import PluginUse
from rlsp_cli.recipe.rows import Prompts, RowUse
from rlsp_cli.recipe.section import NonNegativeInt, Section
from rlsp_cli.rewards.registry import resolve_options

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Columns(Section):
    """The columns that hold each part of a problem."""

    problem: str = "problem"
    """Column that holds the problem."""
    answer: str = "answer"
    """Column that holds the reference answer, for code the tests."""
    id: str = "id"
    """Column that names a problem; the row number is used where it is missing."""


class Prompt(Section):
    """How a problem is asked."""

    template: str = "{problem}"
    """Text of the user's turn; `{problem}` stands for the problem."""
    system: str | None = None
    """System message, for models whose tokenizer has a chat template."""
    origin: str
    """Where these words are from."""

    @field_validator("template")
    @classmethod
    def _holds_the_problem(cls, template: str) -> str:
        if "{problem}" not in template:
            raise ValueError("the template must hold {problem}")
        return template


SAMPLING_KEYS = ("samples", "greedy", "temperature", "top_p", "max_new_tokens")
"""The keys that say how responses are drawn."""


class Sampling(Section):
    """How responses are drawn unless the recipe says; `heldout` has these defaults."""

    samples: NonNegativeInt = 1
    """Sampled responses per problem; 0 for greedy only."""
    greedy: bool = True
    """Also decode one greedy response per problem."""
    temperature: PositiveFloat = 0.7
    """Sampling temperature."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus sampling."""
    max_new_tokens: PositiveInt = 8192
    """Longest response in tokens."""
    origin: str = ""
    """Where these numbers are from."""

    def under(self, settings: Eval) -> "Sampling":
        """This sampling, with the values that `settings` give in place of its own."""
        return self.model_copy(
            update=settings.model_dump(include=set(SAMPLING_KEYS), exclude_none=True)
        )


class BenchFile(Section):
    """One bench."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Its name in results, and of the file in a data folder."""
    description: str
    """One line for `rlsp benches list`."""
    problems: PositiveInt
    """How many problems there are; a procedural task makes this many."""
    source: str
    """`hf:org/name`, a file, or `task:NAME`."""
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    """Commit of the hub data set; `null` if none is pinned."""
    config: str | None = None
    """Configuration (subset) of the hub data set, where it has several."""
    split: str = "test"
    """Split of the hub data set or of the task."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the task, when the source is `task:NAME`."""
    columns: Columns = Columns()
    """The columns that hold each part of a problem, after `row` if that is given."""
    row: RowUse | None = None
    """Row function that makes `problem` and `answer` of a row, unless the row has both."""
    sha256: Sha256 | None = None
    """Digest of problems and answers as they come from the source; `null` if not computed."""
    file_sha256: Sha256 | None = None
    """Digest of an export that is passed around as a file, where it differs from the source's."""
    prompt: Prompt
    """How a problem is asked."""
    verifier: PluginUse
    """What judges a response."""
    sampling: Sampling
    """How responses are drawn unless a recipe or a protocol says otherwise."""

    @model_validator(mode="after")
    def _one_meaning(self) -> "BenchFile":
        if self.name == "heldout":
            raise ValueError("the name heldout is taken: it is the recipe's own data.heldout")
        if "@" in self.source:
            raise ValueError("the source names its commit by the key revision, not after an @")
        if self.revision is not None and not self.source.startswith("hf:"):
            raise ValueError("only a source on the hub (hf:org/name) has a revision")
        return self

    @property
    def prompts(self) -> Prompts:
        """The source as rows."""
        pin = f"@{self.revision}" if self.revision else ""

        # A task could go on for ever; rows of a file are all read, and counted by `is_changed`.
        made = self.problems if self.source.startswith("task:") else None
        return Prompts(
            source=f"{self.source}{pin}",
            config=self.config,
            split=self.split,
            rows=made,
            options=self.options,
            **self.columns.model_dump(),
        )


def shipped_benches() -> dict[str, Path]:
    """The files of the benches that come with rlsp, by name."""
    return shipped_files("benches")


def bench_path(name: str) -> Path:
    """The file of a bench: `./file.yaml`, or a shipped one by name; RecipeError otherwise."""
    if name in shipped_files("scorer_benches"):
        raise RecipeError(
            f"{name} is a bench for scorers - add --scorer NAME, the scorer to measure"
        )
    return file_path("bench", name, shipped_benches(), "heldout")


def find_bench(name: str) -> BenchFile:
    """The bench of a shipped name or a file; RecipeError lists all that is wrong with it."""
    return read_section(bench_path(name), BenchFile)


def completed(file: BenchFile) -> BenchFile:
    """The same bench with all options of its plugins.

    RecipeError for a plugin or an option that does not exist.
    """
    verifier, row, options = file.verifier, file.row, file.options
    try:
        # With their defaults written out, since an option that is left out is equal to its default.
        resolved = resolve_options("verifier", verifier.use, verifier.options, ())
        verifier = verifier.model_copy(update=resolved)

        if row is not None:
            row = row.model_copy(update=resolve_options("row_shape", row.use, row.options, ()))

        if file.source.startswith("task:"):
            options = resolve_options("task", file.source.removeprefix("task:"), options, ())
    except OptionsError as error:
        raise RecipeError(f"bench {file.name}: {error}") from error

    return file.model_copy(update={"verifier": verifier, "row": row, "options": options})
