"""A model beside the one that is trained, such as a judge or a process reward model."""

from typing import Literal

from pydantic import model_validator

from rlsp_cli.recipe.section import Section


class NamedModel(Section):
    """A model that plugins ask by its name in `models`; give either `path` or `url`."""

    path: str | None = None
    """Folder or hub id, which rlsp loads once and serves on this machine."""
    serve: Literal["embedded", "vllm"] = "embedded"
    """What serves `path`: the embedded engine, or vLLM."""

    url: str | None = None
    """OpenAI-compatible server that has it already, such as `http://host:8000/v1`."""
    id: str | None = None
    """Its name on that server; by default the first that the server lists."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable with the server's key."""

    @model_validator(mode="after")
    def _one_place(self) -> "NamedModel":
        if (self.path is None) == (self.url is None):
            raise ValueError("give either path, a model to load, or url, a server that has it")
        return self
