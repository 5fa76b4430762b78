"""A continuation that a recipe names: what follows the model's words and comes from elsewhere."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, PositiveFloat

from rlsp_cli.recipe.section import Plain, PositiveInt

StopText = Annotated[str, Field(min_length=1)]


class ContinuationUse(Plain):
    """A continuation, with its options beside `use`."""

    model_config = ConfigDict(extra="allow")

    use: str
    """Name of a built-in or installed continuation, or `./file.py:function`."""
    stop: tuple[StopText, ...] = ()
    """Texts that end the model's turn, beside its end token: what follows is in the same message."""
    max_turns: PositiveInt = 4
    """Most texts from elsewhere in one response."""
    max_tokens: PositiveInt = 256
    """Longest text from elsewhere in tokens; a longer one ends the response."""
    timeout_s: PositiveFloat | None = None
    """Its deadline in seconds for one call; `reward.timeout_s` by default."""

    @property
    def options(self) -> dict[str, Any]:
        """The continuation's own options: every key that is not the recipe's."""
        return dict(self.__pydantic_extra__ or {})
