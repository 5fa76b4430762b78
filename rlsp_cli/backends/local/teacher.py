"""The teacher of on-policy distillation, as a model beside the trainer's."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from rlsp_cli.backends.local.room import refuse_too_large
from rlsp_cli.engine.model import load_model, load_tokenizer, refuse_overflow
from rlsp_cli.engine.precision import computes_in_bfloat16
from rlsp_cli.engine.stage import Context
from rlsp_cli.errors import NotReadyError
from rlsp_cli.recipe.ppo import Ppo


def load_teacher(
    context: Context, settings: Ppo, prompts: Sequence[Sequence[int]]
) -> PreTrainedModel | None:
    """The frozen model that `ppo.teacher` names; None without one.

    NotReadyError when its tokens are not the policy's or it does not fit into memory, DataError
    when its positions end before the longest response.
    """
    if settings.teacher is None:
        return None

    path = context.recipe.models[settings.teacher.model].path
    assert path is not None, "checked by the backend"
    _refuse_other_tokens(path, context)
    refuse_too_large(path, context.device)

    model = load_model(path, context.device).requires_grad_(False)
    refuse_overflow(model, prompts, settings.max_new_tokens)
    if computes_in_bfloat16(model, context.recipe.model.precision):
        model = model.to(torch.bfloat16)
    return model


def _refuse_other_tokens(path: str, context: Context) -> None:
    """A teacher judges token ids, which have to mean the same to it."""
    theirs, ours = load_tokenizer(path).get_vocab(), context.tokenizer.get_vocab()
    if theirs == ours:
        return

    token = min(set(ours.items()) ^ set(theirs.items()))[0]
    raise NotReadyError(
        f"ppo.teacher: the tokens of {path!r} are not the policy's ({token!r} has another id, or none, "
        "in one of them); take a model of the same family"
    )
