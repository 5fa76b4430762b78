"""The model of a recipe: its folder has what a model needs, and its positions are enough for what is sampled."""

import json
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from rlsp_cli.backends.model_shape import model_config
from rlsp_cli.errors import NotReadyError, RecipeError
from rlsp_cli.evals.benches import Benches
from rlsp_cli.preflight.hub import model_on_hub
from rlsp_cli.recipe.issue import Issue, Note
from rlsp_cli.recipe.schema import FromScratch, Recipe

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")
_WEIGHTS = ("*.safetensors", "*.bin", "*.index.json")
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "*.tiktoken",
)
_LONGEST = 255
"""Bytes that a name in a path may have."""
_MOST_HEADS = 1024
_ROTARY = ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi", "gpt_neox")
"""Common architectures that turn pairs of a head's numbers by the position."""


def look_at_model(recipe: Recipe, stages: Sequence[str], ask_hub: bool) -> Iterator[Issue]:
    """What keeps the model from being loaded or from sampling as long as `stages` want."""
    if recipe.model.from_scratch is not None:
        yield from _look_at_new(recipe.model.from_scratch)
    elif recipe.model.path is not None and not (recipe.eval and recipe.eval.url):
        yield from _look_at_path(recipe.model.path, ask_hub)
    yield from _look_at_template(recipe.model.chat_template)
    yield from _look_at_positions(recipe, stages)


def _look_at_new(spec: FromScratch) -> Iterator[Issue]:
    head, rest = divmod(spec.hidden_size, spec.num_heads)
    place = "model.from_scratch.num_heads"
    if rest:
        most = min(spec.hidden_size, 2 * spec.num_heads, _MOST_HEADS)
        divisors = [n for n in range(1, most + 1) if spec.hidden_size % n == 0]
        near = min(divisors, key=lambda n: abs(n - spec.num_heads))
        yield Issue(
            place,
            f"num_heads {spec.num_heads} does not divide hidden_size {spec.hidden_size}",
            f"try {near}",
        )
    elif head % 2 and spec.model_type in _ROTARY:
        yield Issue(
            place,
            f"a head would have {head} numbers, and {spec.model_type} needs an even size of heads",
        )
    if (known := _model_types()) and spec.model_type not in known:
        like = get_close_matches(spec.model_type, known, n=1)
        message = f"transformers has no model type {spec.model_type!r}"
        yield Issue(
            "model.from_scratch.model_type", message, f'did you mean "{like[0]}"?' if like else None
        )


def _model_types() -> set[str]:
    """The folders of transformers' models, which are named by their types; nothing is imported."""
    found = find_spec("transformers")
    folders = Path(found.origin).parent.glob("models/*/") if found and found.origin else ()
    return {folder.name for folder in folders if (folder / "__init__.py").exists()}


def _look_at_path(path: str, ask_hub: bool) -> Iterator[Issue]:
    folder = Path(path)
    if any(len(part) > _LONGEST for part in folder.parts):
        yield Issue("model.path", f"model.path: {path[:40]}...: too long for a path")
    elif folder.is_dir():
        yield from (Issue("model.path", f"model.path: {path}: {line}") for line in _lacks(folder))
    elif folder.exists():
        yield Issue("model.path", f"model.path: {path} is a file, expected a folder or a hub id")
    elif not _HUB_ID.fullmatch(path):
        message = f"model.path: {path}: no such folder, and no hub id, which is org/name"
        yield Issue("model.path", message)
    else:
        yield from _look_at_hub(path, ask_hub)


def _lacks(folder: Path) -> Iterator[str]:
    """What a model folder does not have."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        yield "no config.json: this is not a model in the Hugging Face layout"
        return
    except (OSError, ValueError) as error:
        yield f"config.json cannot be read: {error}"
        return
    if not isinstance(config, dict) or "model_type" not in config:
        yield "config.json names no model_type"
    if not any(any(folder.glob(pattern)) for pattern in _WEIGHTS):
        yield "no weights (*.safetensors)"
    if not any(any(folder.glob(pattern)) for pattern in _TOKENIZERS):
        yield "no tokenizer (tokenizer.json)"


def _look_at_hub(path: str, ask_hub: bool) -> Iterator[Issue]:
    if not ask_hub:
        yield Note(
            "model.path", f"model.path: {path} is on the hub, if anywhere, and was not looked at"
        )
    elif reason := model_on_hub(path):
        message = (
            f"model.path: {path} is neither a folder here nor in the hub's cache, and {reason}"
        )
        yield Issue("model.path", message, "name a folder, or connect")


def _look_at_template(template: str) -> Iterator[Issue]:
    if template not in ("auto", "none") and not Path(template).is_file():
        message = (
            f"model.chat_template: {template}: no such file; expected auto, none or a Jinja file"
        )
        yield Issue("model.chat_template", message)


def _look_at_positions(recipe: Recipe, stages: Sequence[str]) -> Iterator[Issue]:
    """Responses that cannot fit whatever the prompt is."""
    positions = _positions(recipe)
    for key, tokens in _longest(recipe, stages):
        if positions is not None and tokens >= positions:
            message = (
                f"a prompt and max_new_tokens {tokens} do not fit the model's {positions} positions"
            )
            yield Issue(key, f"{key}: {message}", f"lower {key}")


def _longest(recipe: Recipe, stages: Sequence[str]) -> Iterator[tuple[str, int]]:
    if recipe.ppo and "ppo" in stages:
        yield "ppo.max_new_tokens", recipe.ppo.max_new_tokens
    settings = recipe.eval
    if (
        settings is None
        or "eval" not in stages
        or settings.url
        or settings.responses
        or settings.serve
    ):
        return
    if settings.benches:
        try:
            drawn = map(Benches.of(recipe).sampling, settings.benches)
            yield "eval.max_new_tokens", max(sampling.max_new_tokens for sampling in drawn)
        except RecipeError:  # reported by the check of benches
            return


def _positions(recipe: Recipe) -> int | None:
    """The model's longest sequence in tokens; None when its configuration is not here or does not say."""
    if recipe.model.from_scratch:
        return recipe.model.from_scratch.max_length
    try:
        config = model_config(recipe.model) or {}
    except (NotReadyError, OSError):  # reported with the folder
        return None
    found = {**config, **(config.get("text_config") or {})}.get("max_position_embeddings")
    return found if isinstance(found, int) else None
