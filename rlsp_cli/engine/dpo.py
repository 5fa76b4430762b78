"""Direct preference optimisation: of two responses, make the better one more likely than the model did before."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import torch
from torch.nn.functional import logsigmoid

from rlsp_cli.data import Preference, training_rows
from rlsp_cli.engine.pair_examples import PairExample, pair_examples
from rlsp_cli.engine.response_logp import response_logp
from rlsp_cli.engine.stage import Context
from rlsp_cli.engine.supervised import Objective, Sums, train
from rlsp_cli.recipe.sft import Sft


def train_dpo(context: Context, settings: Sft, pairs: Collection[Preference]) -> None:
    """Train the context's model on pairs; see `supervised.train`. The model is its own reference."""
    training, validation = training_rows(len(pairs), settings.val_rows, "pairs")
    limits = context.recipe.data, context.tokenizer, settings.max_length
    examples = pair_examples(islice(pairs, len(training)), *limits)
    kept_out = islice(pairs, len(training), None)
    kept = pair_examples(kept_out, *limits) if validation else []

    # Now, before a checkpoint is loaded or an adapter is added: a resumed training has the same.
    known = [with_reference(context, some, settings.micro_batch) for some in (examples, kept)]
    train(context, settings, Preferences(context, settings.dpo_beta), *known)


class Preferences(Objective[PairExample]):
    """The loss of DPO (arXiv 2305.18290, equation 7), in nats.

    It is -log sigmoid of the difference of two rewards: a response's reward is beta times the log
    of how much more likely it is now than under the reference.
    """

    def __init__(self, context: Context, beta: float) -> None:
        self.context, self.beta = context, beta

    def targets(self, example: PairExample) -> int:
        """One: which of the two is better."""
        return 1

    def sums(self, examples: Sequence[PairExample]) -> Sums:
        """The loss, the rewards of both responses, and how often the better one has more."""
        reference = torch.tensor([one.reference for one in examples], device=self.context.device)
        rewards = self.beta * (pair_logp(self.context, examples) - reference)
        chosen, rejected = rewards.unbind(-1)
        return {
            "loss": -logsigmoid(chosen - rejected).sum(),
            "right": (chosen > rejected).sum(),
            "chosen": chosen.sum(),
            "rejected": rejected.sum(),
        }

    def metrics(self, sums: Mapping[str, float], targets: int) -> dict[str, float]:
        """Loss, accuracy, and the mean rewards of the better and of the worse responses."""
        return {
            **super().metrics(sums, targets),
            "accuracy": sums["right"] / targets,
            "reward_chosen": sums["chosen"] / targets,
            "reward_rejected": sums["rejected"] / targets,
        }


def pair_logp(context: Context, examples: Sequence[PairExample]) -> torch.Tensor:
    """(N, 2) log-probability of the better and of the worse response, in nats."""
    sequences = [one for example in examples for one in (example.chosen, example.rejected)]
    return response_logp(context, sequences).sum(-1).view(-1, 2)


@torch.no_grad()
def with_reference(
    context: Context, examples: Sequence[PairExample], size: int
) -> list[PairExample]:
    """The examples with the log-probabilities under the context's model; `size` pairs at a time."""
    context.model.eval()
    found = []
    for start in range(0, len(examples), size):
        some = examples[start : start + size]
        for example, (chosen, rejected) in zip(
            some, pair_logp(context, some).tolist(), strict=True
        ):
            found.append(example._replace(reference=(chosen, rejected)))
    return found
