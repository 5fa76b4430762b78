"""A check of the model: its folder has what a model needs, and its positions are enough."""

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
from rlsp_cli.recipe.model import FromScratch
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.rewards.model_use import model_uses

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
_LONGEST_NAME = 255
"""Bytes that a name in a path may have, on every common file system."""
_MOST_HEADS = 1024
"""Where the search for a number of heads ends that divides the width."""
_ROTARY = ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi", "gpt_neox")
"""Common architectures that turn pairs of a head's numbers by the position."""


_GGUF_MAGIC = b"GGUF"


def look_at_model(recipe: Recipe, stages: Sequence[str], ask_hub: bool) -> Iterator[Issue]:
    """What keeps the model from being loaded or from sampling as long as `stages` want."""
    if recipe.model.from_scratch is not None:
        yield from _look_at_new(recipe.model.from_scratch)
    elif recipe.model.path is not None and not (recipe.eval and recipe.eval.url):
        yield from _look_at_path("model.path", recipe.model.path, ask_hub)
        yield from _gguf_elsewhere(recipe)
    asked = {use.model for use in model_uses(recipe)}
    for name, model in recipe.models.items():
        if model.path is not None and name in asked:
            yield from _look_at_path(f"models.{name}.path", model.path, ask_hub)
    yield from _look_at_template(recipe.model.chat_template)
    yield from _look_at_positions(recipe, stages)


def _look_at_new(spec: FromScratch) -> Iterator[Issue]:
    head, rest = divmod(spec.hidden_size, spec.num_heads)
    place = "model.from_scratch.num_heads"

    if rest:
        message = f"num_heads {spec.num_heads} does not divide hidden_size {spec.hidden_size}"
        yield Issue(place, message, f"try {_nearest_divisor(spec.hidden_size, spec.num_heads)}")
    elif head % 2 and spec.model_type in _ROTARY:
        message = f"a head would have {head} numbers, and {spec.model_type} needs an even number"
        yield Issue(place, message)

    known = _model_types()
    if known and spec.model_type not in known:
        like = get_close_matches(spec.model_type, known, n=1)
        message = f"transformers has no model type {spec.model_type!r}"
        hint = f'did you mean "{like[0]}"?' if like else None
        yield Issue("model.from_scratch.model_type", message, hint)


def _nearest_divisor(width: int, heads: int) -> int:
    """The number of heads nearest to `heads` that divides the width."""
    # 1 divides every width, so nothing beyond twice the number can be nearer.
    most = min(width, 2 * heads, _MOST_HEADS)
    divisors = [number for number in range(1, most + 1) if width % number == 0]
    return min(divisors, key=lambda number: abs(number - heads))


def _model_types() -> set[str]:
    """The model types that transformers knows; none without transformers."""
    # Each has a folder of its name. To import transformers for its own table would take seconds.
    found = find_spec("transformers")
    folders = Path(found.origin).parent.glob("models/*/") if found and found.origin else ()
    return {folder.name for folder in folders if (folder / "__init__.py").exists()}


def _look_at_path(key: str, path: str, ask_hub: bool) -> Iterator[Issue]:
    folder = Path(path)
    # To ask whether such a folder exists would raise an OSError.
    if any(len(part) > _LONGEST_NAME for part in folder.parts):
        yield Issue(key, f"{key}: {path[:40]}...: too long for a path")
    elif folder.is_dir():
        yield from (Issue(key, f"{key}: {path}: {line}") for line in _lacks(folder))
    elif folder.suffix == ".gguf":
        yield from _look_at_gguf(key, folder)
    elif folder.exists():
        yield Issue(key, f"{key}: {path} is a file, expected a folder or a hub id")
    elif not _HUB_ID.fullmatch(path):
        message = f"{key}: {path}: no such folder, and no hub id, which is org/name"
        yield Issue(key, message)
    else:
        yield from _look_at_hub(key, path, ask_hub)


def _look_at_gguf(key: str, file: Path) -> Iterator[Issue]:
    try:
        with file.open("rb") as stream:
            is_gguf = stream.read(len(_GGUF_MAGIC)) == _GGUF_MAGIC
    except OSError as error:
        yield Issue(key, f"{key}: {file}: {error.strerror}")
        return

    if not is_gguf:
        yield Issue(key, f"{key}: {file} does not begin as a GGUF file does")
    if find_spec("gguf") is None:
        message = "a GGUF file is read by the package gguf, which is not installed"
        yield Issue(key, message, "pip install 'rlsp[gguf]'")


def _gguf_elsewhere(recipe: Recipe) -> Iterator[Issue]:
    """A stage that would read the file itself, and does not know the format."""
    if not (recipe.model.path or "").endswith(".gguf"):
        return
    first = recipe.sft or recipe.ppo
    served = first is None and recipe.eval is not None and recipe.eval.serve
    if served or (first is not None and first.backend != "local"):
        reader = "vLLM" if first is None else first.backend
        message = f"{reader} is given models in the Hugging Face layout, not GGUF files"
        yield Issue(
            "model.path", message, "load it with the local backend, which writes that layout"
        )


def _lacks(folder: Path) -> Iterator[str]:
    """What a model folder does not have."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        # Without it the rest is of no interest: the folder holds something else.
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


def _look_at_hub(key: str, path: str, ask_hub: bool) -> Iterator[Issue]:
    if not ask_hub:
        message = f"{key}: {path} is on the hub, if anywhere, and was not looked at"
        yield Note(key, message)
        return

    reason = model_on_hub(path)
    if reason:
        message = f"{key}: {path} is neither a folder here nor in the hub's cache, and {reason}"
        yield Issue(key, message, "name a folder, or connect")


def _look_at_template(template: str) -> Iterator[Issue]:
    if template not in ("auto", "none") and not Path(template).is_file():
        message = (
            f"model.chat_template: {template}: no such file; expected auto, none or a Jinja file"
        )
        yield Issue("model.chat_template", message)


def _look_at_positions(recipe: Recipe, stages: Sequence[str]) -> Iterator[Issue]:
    """Responses that cannot fit, whatever the prompt is."""
    positions = _positions(recipe)
    if positions is None:
        return

    # A prompt has one token at least, so as many new ones as positions are too many.
    for key, tokens in _longest(recipe, stages):
        if tokens >= positions:
            message = (
                f"a prompt and max_new_tokens {tokens} do not fit the model's {positions} positions"
            )
            yield Issue(key, f"{key}: {message}", f"lower {key}")


def _longest(recipe: Recipe, stages: Sequence[str]) -> Iterator[tuple[str, int]]:
    """The longest response of each stage that samples, in tokens, with the key that sets it."""
    if recipe.ppo and "ppo" in stages:
        yield "ppo.max_new_tokens", recipe.ppo.max_new_tokens

    settings = recipe.eval
    if settings is None or "eval" not in stages or not settings.benches:
        return

    # A server has its own limit, and says so; responses that are given were sampled before.
    if settings.url or settings.serve or settings.responses:
        return

    try:
        samplings = [Benches.of(recipe).sampling(name) for name in settings.benches]
    except RecipeError:  # reported by the check of benches
        return
    yield "eval.max_new_tokens", max(sampling.max_new_tokens for sampling in samplings)


def _positions(recipe: Recipe) -> int | None:
    """The model's longest sequence in tokens; None when no configuration here says it."""
    if recipe.model.from_scratch:
        return recipe.model.from_scratch.max_length

    try:
        config = model_config(recipe.model) or {}
    except (NotReadyError, OSError):  # reported with the folder
        return None

    # Models that also see images keep what is about text in a section of its own.
    text = {**config, **(config.get("text_config") or {})}
    found = text.get("max_position_embeddings")
    return found if isinstance(found, int) else None
