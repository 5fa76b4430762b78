"""Drop prompts whose reference answer cannot be checked by a rule."""

from collections.abc import Sequence

from rlsp_cli.rewards import Sample, selector


@selector
def verifiable_answer(group: Sequence[Sample], *, most_words: int = 10) -> list[bool]:
    """Keep prompts with a reference answer of 1 to `most_words` words.

    Longer ones are sentences, which no rule compares. After CrossThink; the number is from memory
    of the paper and was not checked against it.
    """
    words = [(sample.reference or "").split() for sample in group]
    return [1 <= len(each) <= most_words for each in words]
