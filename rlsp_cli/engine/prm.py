"""Training of a process reward model: a classifier of tokens that says at each step's end whether it is right."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import torch

from rlsp_cli.data import LabelledSteps, training_rows
from rlsp_cli.engine.batch import pad
from rlsp_cli.engine.precision import autocast
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.step_examples import StepExample, step_examples
from rlsp_cli.engine.supervised import Objective, Sums, train
from rlsp_cli.recipe.rows import StepRows
from rlsp_cli.recipe.sft import Sft


def train_prm(
    context: Context, settings: Sft, source: StepRows, rows: Collection[LabelledSteps]
) -> None:
    """Train the context's classifier on labelled steps; see `supervised.train`."""
    training, validation = training_rows(len(rows), settings.val_rows, "responses")
    limits = source.separator, context.tokenizer, settings.max_length
    examples = step_examples(islice(rows, len(training)), *limits)
    kept_out = islice(rows, len(training), None)
    kept = step_examples(kept_out, *limits) if validation else []
    train(context, settings, StepLabels(context), examples, kept)


class StepLabels(Objective[StepExample]):
    """Cross-entropy of the steps' labels, in nats.

    The target of a label y is the distribution (1 - y, y) over wrong and right: hard labels are
    those of 2305.20050, soft ones the shares that Monte-Carlo estimates give (2312.08935).
    """

    def __init__(self, context: Context) -> None:
        self.context = context

    def targets(self, example: StepExample) -> int:
        """Its labelled steps."""
        return len(example.labels)

    def sums(self, examples: Sequence[StepExample]) -> Sums:
        """The cross-entropy, and counts of what is said of steps against their labels."""
        wrong, right = self._logp(examples).unbind(-1)
        labels = [label for example in examples for label in example.labels]
        wanted = torch.tensor(labels, device=right.device)
        loss = -(wanted * right + (1 - wanted) * wrong).sum()

        said_wrong, is_wrong = right <= wrong, wanted <= 0.5
        return {
            "loss": loss,
            "agreed": (said_wrong == is_wrong).sum(),
            "found": (said_wrong & is_wrong).sum(),
            "named": said_wrong.sum() + is_wrong.sum(),
        }

    def metrics(self, sums: Mapping[str, float], targets: int) -> dict[str, float]:
        """Loss, accuracy, and F1 of the class `wrong` where a step is wrong or said to be."""
        found = super().metrics(sums, targets) | {"accuracy": sums["agreed"] / targets}
        if sums["named"]:
            found["f1_wrong"] = 2 * sums["found"] / sums["named"]
        return found

    def _logp(self, examples: Sequence[StepExample]) -> torch.Tensor:
        """(labelled steps, 2) log-probabilities of wrong and right, in float32."""
        context = self.context
        tokens = [example.tokens for example in examples]
        inputs = pad(tokens, context.tokenizer.pad_token_id, context.device)
        with autocast(context.model, context.recipe.model.precision):
            logits = context.model(inputs, use_cache=False).logits

        rows = [row for row, example in enumerate(examples) for _ in example.ends]
        ends = [end for example in examples for end in example.ends]
        found: torch.Tensor = logits[rows, ends].float().log_softmax(-1)
        return found
