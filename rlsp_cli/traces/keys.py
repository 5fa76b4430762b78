"""The keys of `rlsp data traces`, `check` and `clean`, which are given as KEY=VALUE."""

from typing import Annotated, Literal

from pydantic import Field

from rlsp_cli.data.formats import Columns
from rlsp_cli.evals.samplers import Decoding
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.search import TreeSearch
from rlsp_cli.recipe.section import NonNegativeInt, PositiveInt, Section

_DEFAULT_VERIFIER = "math_verify"
_TOP_P = 1.0


class ColumnSettings(Section):
    """Columns of rows that are compared with benches."""

    problem: str = "problem"
    """Column that holds the problem, in plain rows."""
    answer: str = "answer"
    """Column that holds the reference answer, if there is one."""

    @property
    def columns(self) -> Columns:
        """The columns for the readers of rows, which need no solution here."""
        return Columns(self.problem, None, self.answer)


class HandbookSettings(Section):
    """Columns of the traces that behaviours are drawn from, and how many are read."""

    problem: str = "problem"
    """Column that holds the problem."""
    solution: str = "solution"
    """Column that holds the solution."""
    rows: PositiveInt | None = None
    """Read only the first N traces; all by default."""


class PairSettings(Section):
    """Which responses become pairs."""

    verifier: str | None = None
    """Verify the responses by this verifier, instead of taking the verdicts in the file."""
    per_problem: PositiveInt = 4
    """Most pairs of a problem: one with many responses would else outweigh the others."""
    decontaminate: str | None = None
    """A recipe; copies of its benches' problems are left out."""


class StartSettings(Section):
    """Where responses are cut, and how many of the beginnings are kept."""

    by: Literal["lines", "blank_line", "numbered", "sentences"] = "lines"
    """What ends a step; a response is cut after one of its steps, but not after the last."""
    per_problem: PositiveInt = 4
    """Most starts of a problem from right responses, and most from wrong ones."""
    seed: NonNegativeInt = 0
    """Of the random cuts and choices."""


class RejectionSampling(Section):
    """How solutions are sampled, from a model folder, a hub id, or a server at `url`."""

    model: str
    """A folder or hub id; with `url`, the model's name there."""
    url: str | None = None
    """OpenAI-compatible server, such as `http://host:8000/v1`; its key is in OPENAI_API_KEY."""
    samples: PositiveInt = 8
    """Solutions for each problem."""
    temperature: Annotated[float, Field(ge=0)] = 0.7
    """Sampling temperature."""
    max_new_tokens: PositiveInt = 4096
    """Longest solution in tokens; longer ones are left out."""
    continuation: ContinuationUse | None = None
    """What answers between the model's words; see docs/turns.md."""
    start: str | None = None
    """Column of starts: the beginning of a solution, from which the model goes on."""

    def decoding(self, seed: int = 0) -> Decoding:
        """How a sampler draws them."""
        return Decoding(self.temperature, _TOP_P, self.max_new_tokens, seed)


class TraceSettings(ColumnSettings):
    """How traces are read or sampled, and which are kept."""

    format: str | None = None
    """qwq, openthoughts, messages or plain; inferred from the columns if not given."""
    solution: str = "solution"
    """Column that holds the solution to imitate, in plain rows."""
    sample: RejectionSampling | None = None
    """Sample solutions from a model instead of reading them."""
    search: TreeSearch | None = None
    """Search for solutions with the model of `sample`, and write what the trees hold."""
    trees: str | None = None
    """Folder of trees, for `search`; those in it are not asked for again. Beside --out by default."""
    tokenizer: str | None = None
    """Folder or hub id that counts tokens; words are counted if not given."""
    min_tokens: NonNegativeInt = 0
    """Shortest solution to keep; needs `tokenizer`."""
    max_tokens: PositiveInt | None = None
    """Longest solution to keep; needs `tokenizer`."""
    verifier: str | None = None
    """Keep solutions that this verifier scores 1.0; `math_verify` for sampled ones by default."""
    keep_wrong: bool = False
    """Keep wrong solutions too, if the selector of `--select` keeps them."""
    decontaminate: str | None = None
    """A recipe; copies of its benches' problems are left out."""
    one_per_problem: bool = False
    """Keep only the shortest solution of each problem."""

    @property
    def columns(self) -> Columns:
        """The columns for the readers of rows, without a solution if one will be sampled."""
        return Columns(self.problem, None if self.sample else self.solution, self.answer)

    @property
    def limits_length(self) -> bool:
        """Whether solutions may be left out for their length."""
        return bool(self.min_tokens) or self.max_tokens is not None

    @property
    def chosen_verifier(self) -> str | None:
        """The verifier to keep solutions by; sampled ones are always verified."""
        return self.verifier or (_DEFAULT_VERIFIER if self.sample else None)
