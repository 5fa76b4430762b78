"""A check of `eval.thinking`, as far as it can be made without a tokenizer."""

from collections.abc import Iterator
from pathlib import Path

from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.model import Model
from rlsp_cli.recipe.schema import Recipe

_FILES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")
"""Where a model folder may have its chat template."""
_VARIABLE = "thinking"
"""Part of every name that the switch has."""


def check_thinking(recipe: Recipe) -> Iterator[Issue]:
    """An issue if no chat template of the model can have a switch: after training is too late."""
    if recipe.eval is None or recipe.eval.thinking is None:
        return

    template = _template(recipe.model)
    if template is not None and _VARIABLE not in template:
        lack = "the model's chat template has no switch (enable_thinking or thinking)"
        message = f"eval.thinking: {recipe.eval.thinking}: {lack}"
        hint = "leave it out, or name a template by model.chat_template"
        yield Issue("eval.thinking", message, hint)


def _template(model: Model) -> str | None:
    """The text that holds the chat template, empty without one; None where it is not at hand."""
    if model.chat_template == "none" or model.from_scratch is not None:
        return ""
    if model.chat_template != "auto":
        return _text(Path(model.chat_template))

    folder = Path(model.path or "")
    if model.path is None or not folder.is_dir():
        return None
    return "".join(_text(folder / name) for name in _FILES)


def _text(file: Path) -> str:
    # The check of the model reports a file that is missing or not readable.
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
