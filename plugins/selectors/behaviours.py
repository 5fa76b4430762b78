"""Keep responses that show search behaviours, right or wrong."""

from collections.abc import Sequence

from rlsp_cli.rewards import Sample, behaviour_counts, selector


@selector
def behaviours(
    group: Sequence[Sample],
    *,
    shown: tuple[str, ...] = ("verify", "backtrack"),
    lexicon: str | None = None,
) -> list[bool]:
    """Keep responses with words of every behaviour in `shown`, whatever the verifier says.

    Four Habits (2503.01307) finds that traces with these behaviours help even where their answers
    are wrong. The words are those of plugins/behaviour, or of the folder or file `lexicon`.
    """
    counts = [behaviour_counts(sample.response, lexicon) for sample in group]
    unknown = [name for name in shown if name not in counts[0]]
    if unknown:
        raise ValueError(f"no behaviour {unknown[0]!r}; the lexicon has {', '.join(counts[0])}")

    return [all(each[name] for name in shown) for each in counts]
