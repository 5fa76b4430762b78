"""Supervised fine-tuning: cross-entropy on the responses, prompts masked out."""

from collections.abc import Collection, Sequence

from rlsp_cli.data import Trace, training_rows
from rlsp_cli.engine.examples import Example, fitting_examples, tokenised
from rlsp_cli.engine.input_mask import InputMask, mask_token
from rlsp_cli.engine.response_logp import response_logp
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.supervised import Objective, Sums, num_steps, train
from rlsp_cli.recipe.sft import Sft


def train_sft(context: Context, settings: Sft, traces: Collection[Trace]) -> None:
    """Train the context's model on traces; see `supervised.train`."""
    store = tokenised(traces, context.recipe.data, context.tokenizer)
    training, validation = training_rows(len(store), settings.val_rows)
    examples = fitting_examples(store, training, settings.max_length)
    kept_out = fitting_examples(store, validation, settings.max_length) if validation else []

    mask = _input_mask(context, settings, num_steps(len(examples), settings))
    train(context, settings, Imitation(context, mask), examples, kept_out)


class Imitation(Objective[Example]):
    """Cross-entropy of the response tokens, in nats."""

    def __init__(self, context: Context, mask: InputMask | None = None) -> None:
        self.context, self.mask = context, mask

    def prepared(self, batch: list[Example], step: int) -> list[Example]:
        """The batch with the inputs that this step hides."""
        return self.mask.over(batch, step) if self.mask else batch

    def settings_at(self, step: int) -> dict[str, float]:
        """The share of inputs to hide, where any are."""
        return {"mask_input": self.mask.share_at(step)} if self.mask else {}

    def targets(self, example: Example) -> int:
        """Its response tokens."""
        return len(example.tokens) - example.start

    def sums(self, examples: Sequence[Example]) -> Sums:
        """Summed cross-entropy of the response tokens."""
        return {"loss": -response_logp(self.context, examples).sum()}


def _input_mask(context: Context, settings: Sft, total: int) -> InputMask | None:
    """What hides inputs in training; the traces are tokens already, so none holds a new mask token."""
    if not settings.mask_input:
        return None
    token = mask_token(context.model, context.tokenizer)
    return InputMask(settings.mask_input, total, token, context.recipe.seed)
