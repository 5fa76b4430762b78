"""The YAML block at the top of a model card, by which the Hugging Face hub files a model."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlsp_cli.hub_cache import cached_file
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.report.evaluation import KINDS, parts_of
from rlsp_cli.report.summary import Report

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_CARD = "README.md"


def metadata(recipe: Recipe, report: Report, model: str) -> str:
    """The block's YAML, without the lines `---`; `model` is the model's name in the results."""
    from huggingface_hub import ModelCardData

    base = _hub_id(recipe.model.path)
    known: dict[str, Any] = {
        "base_model": base,
        "license": _license(recipe.model.path),
        "datasets": sorted(set(_datasets(recipe))) or None,
    }
    # The hub takes scores only together with a name.
    if scores := list(_scores(report, model)):
        known |= {"model_name": f"{recipe.name}-{model}", "eval_results": scores}

    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["rlsp", "reasoning", model],
        **known,
    )
    return str(data.to_yaml())


def base_model(recipe: Recipe) -> str:
    """What the model was made of, for people: a hub id, the name of a folder, or nothing."""
    path = recipe.model.path
    if path is None:
        return "a new model with random weights"
    return _hub_id(path) or f"the model folder {Path(path).name}"


def _hub_id(path: str | None) -> str | None:
    name = (path or "").partition("@")[0]
    is_folder = path is not None and Path(path).exists()
    return name if _HUB_ID.fullmatch(name) and not is_folder else None


def _datasets(recipe: Recipe) -> Iterator[str]:
    for role in ("traces", "steps", "pairs", "prompts"):
        for rows in recipe.data.sources(role).values():
            if rows.on_hub:
                yield rows.source.removeprefix("hf:").partition("@")[0]


def _license(path: str | None) -> str | None:
    """The license that the base model's own card states; None where there is none at hand."""
    from huggingface_hub import ModelCard

    card = _card_of(path)
    if card is None:
        return None
    try:
        text = card.read_text(encoding="utf-8")
        stated = ModelCard(text, ignore_metadata_errors=True).data.get("license")
    except (OSError, ValueError):  # a card that somebody else wrote: not YAML, or not UTF-8
        return None
    return stated if isinstance(stated, str) else None


def _card_of(path: str | None) -> Path | None:
    """The card in a model's folder, or in the hub's cache; no network is asked."""
    if path is None:
        return None
    if Path(path).is_dir():
        return Path(path) / _CARD if (Path(path) / _CARD).is_file() else None
    return cached_file(path, _CARD)


def _scores(report: Report, model: str) -> "Iterator[EvalResult]":
    from huggingface_hub import EvalResult

    for part in parts_of(report.evaluation):
        accuracy = part.metrics.accuracy
        if part.model != model or accuracy is None:
            continue
        yield EvalResult(
            task_type="text-generation",
            dataset_type=part.bench,
            dataset_name=part.bench,
            metric_type="accuracy",
            metric_name=f"accuracy, {KINDS[part.kind]}",
            metric_value=round(accuracy.value, 6),
        )
