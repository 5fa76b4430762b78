"""Rows of data, and the columns in which each use of them looks."""

from typing import Any

from pydantic import ConfigDict, Field

from rlsp_cli.recipe.section import Plain, PositiveInt, Section


class RowUse(Plain):
    """A row function, with its options beside `use`."""

    model_config = ConfigDict(extra="allow")

    use: str
    """Name of a row function, or `./file.py:function`."""

    @property
    def options(self) -> dict[str, Any]:
        """The function's options: every key that is not ours."""
        return dict(self.__pydantic_extra__ or {})


class Rows(Section):
    """Rows of a JSON Lines, JSON, CSV or Parquet file, of the hub, or of a procedural task."""

    source: str
    """A file, `hf:org/name[@revision]`, or `task:NAME` for a procedural task."""
    config: str | None = None
    """Configuration (subset) of the hub data set, if it has several."""
    split: str = "train"
    """Split of the hub data set or of the task."""
    rows: PositiveInt | None = None
    """Use only the first N rows; all by default, and 1000 of a procedural task."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the task, for `task:NAME`."""
    row: RowUse | None = None
    """Row function that gives each row other columns, or makes several rows of it."""

    @property
    def on_hub(self) -> bool:
        """Whether the rows are a data set on the hub."""
        return self.source.startswith("hf:")

    @property
    def is_task(self) -> bool:
        """Whether a procedural task makes the rows."""
        return self.source.startswith("task:")

    @property
    def is_file(self) -> bool:
        """Whether the rows are in a file, which may not exist."""
        return not (self.on_hub or self.is_task)


class Traces(Rows):
    """Traces of the thinking process, for SFT to imitate."""

    prompt: str = "problem"
    """Column of the prompt."""
    response: str = "solution"
    """Column of the response to imitate."""
    messages: str | None = None
    """Column of a conversation, instead of prompt and response; each assistant turn is imitated."""


class StepRows(Rows):
    """Responses whose steps are labelled right or wrong, for `sft.kind: prm`."""

    prompt: str = "prompt"
    """Column of the prompt: the text that the response followed, with its chat template."""
    completions: str = "completions"
    """Column of the steps, a list of texts."""
    labels: str = "labels"
    """Column of the labels, one a step: true, false, 0 to 1, or null for none."""
    separator: str = "\n"
    """Text after each step; the last of its tokens, or else of the step's, carries the label."""


class PreferenceRows(Rows):
    """Pairs of responses to a prompt, of which one is better."""

    prompt: str = "prompt"
    """Column of the prompt: a problem, or the conversation before the response."""
    chosen: str = "chosen"
    """Column of the better response: a text, or a conversation that ends with it."""
    rejected: str = "rejected"
    """Column of the worse response, likewise."""


NO_ANSWER = "none"
"""Instead of a column: the problems have no reference answers."""


class Prompts(Rows):
    """Problems with reference answers, for PPO and evaluation."""

    problem: str = "problem"
    """Column of the problem."""
    answer: str = "answer"
    """Column of the reference answer; `none` for problems without, if no reward needs one."""
    id: str = "id"
    """Column of the problem's id; rows without one are numbered."""

    @property
    def has_references(self) -> bool:
        """Whether the problems have reference answers."""
        return self.answer != NO_ANSWER
