"""Reward the words of verification, backtracking, subgoals and alternatives."""

from rlsp_cli.rewards import Sample, behaviour_counts, exploration_reward


@exploration_reward
def cognitive_behaviors(
    sample: Sample,
    *,
    verify: float = 1.0,
    backtrack: float = 1.0,
    subgoal: float = 1.0,
    alternative: float = 1.0,
    self_correction: float = 0.0,
    backward_chaining: float = 0.0,
    cap: int = 3,
    lexicon: str | None = None,
) -> float:
    """Words of verification, backtracking, subgoals and alternatives, counted up to a cap; 0 to 1.

    The weighted mean of min(count, cap) / cap over the behaviours, each with the weight that its
    option sets. They follow Four Habits (2503.01307), whose fourth is `backward_chaining`; the form
    is ours. The words are those of plugins/behaviour, or of the folder or file `lexicon`. A model
    can write them without thinking: watch accuracy.
    """
    weights = {
        "verify": verify,
        "backtrack": backtrack,
        "subgoal": subgoal,
        "alternative": alternative,
        "self_correction": self_correction,
        "backward_chaining": backward_chaining,
    }
    total = sum(weights.values())
    if not total:
        return 0.0

    # The cap, or one word said a hundred times would pay for all others.
    counts = behaviour_counts(sample.response, lexicon)
    capped = {name: min(counts.get(name, 0), cap) for name in weights}
    return sum(weight * capped[name] / cap for name, weight in weights.items()) / total
