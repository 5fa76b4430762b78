"""A process reward model: a classifier of tokens that says at each step's end whether it is right."""

from collections.abc import Sequence

from rlsp_cli.rewards import ModelName, Sample, ServedModel, served_model, step_scorer

CLASSES = 2
"""Wrong, and right."""


@step_scorer
def prm(
    sample: Sample,
    steps: Sequence[str],
    *,
    model: ModelName = "prm",
    separator: str = "\n",
) -> list[float | None]:
    """The probability that a step is right, by a process reward model (arXiv 2305.20050).

    The model has two classes of tokens, wrong and right, and is read at the last token of each
    step and the separator after it. Prompt, steps and separators are tokenised apart, as Axolotl
    and `sft.kind: prm` train such models, so that a step's tokens do not depend on the next one.
    """
    judge = served_model(model)
    tokens, ends = judge.tokenize_prompt(sample.prompt), []
    end = judge.tokenize(separator)
    for number, step in enumerate(steps):
        own = judge.tokenize(step)
        if not own:
            raise ValueError(f"the tokenizer of model {model!r} makes no token of step {number}")
        tokens += [*own, *end]
        ends.append(len(tokens) - 1)
    return _right(judge, tokens, ends)


def _right(judge: ServedModel, tokens: list[int], ends: list[int]) -> list[float | None]:
    rows = judge.token_scores(tokens)
    classes = len(rows[0])
    if classes != CLASSES:
        raise ValueError(
            f"model {judge.name!r} has {classes} classes of tokens, expected {CLASSES}: wrong, right"
        )
    return [rows[end][1] for end in ends]
