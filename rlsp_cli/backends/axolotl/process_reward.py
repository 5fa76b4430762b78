"""What Axolotl cannot do for a process reward model, which the embedded engine can."""

from collections.abc import Iterator
from contextlib import suppress

from rlsp_cli.data import LabelledSteps, step_rows
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.issue import Issue
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.sft import Sft

_HINT = "leave it out, or set sft.backend: local"


def prm_conflicts(recipe: Recipe, sft: Sft) -> Iterator[Issue]:
    """Soft labels, and settings that are for language models."""
    if sft.lora is not None:
        message = "Axolotl's adapters leave out the new head that classifies steps"
        yield Issue("sft.lora", message, _HINT)
    if sft.axolotl.packing:
        message = "Axolotl packs no rows of labelled steps"
        yield Issue("sft.axolotl.packing", message, "leave it out")
    if sft.axolotl.kernels:
        message = "they replace the loss of a language model, and this is a classifier"
        yield Issue("sft.axolotl.kernels", message, "leave it out")

    steps = recipe.data.steps
    if steps is not None and steps.is_file:
        with suppress(DataError):  # reported with the data
            rows = step_rows(steps, recipe.plugins)
            soft = next((row for row in rows if not row.is_hard), None)
            if soft:
                yield Issue("sft.backend", _refusal(soft))


def hard_labels(row: LabelledSteps) -> list[int]:
    """The labels as Axolotl takes them: 1 is right, 0 wrong, -100 no label.

    DataError for a soft one, which Axolotl would round down to 0.
    """
    if not row.is_hard:
        raise DataError(_refusal(row))
    return [-100 if label is None else int(label) for label in row.labels]


def _refusal(row: LabelledSteps) -> str:
    soft = next(label for label in row.labels if label not in (0, 1, None))
    return (
        f"{row.place}: the label {soft:g} is soft, and Axolotl trains on true and false alone; "
        "set sft.backend: local"
    )
