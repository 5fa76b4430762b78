"""Pays for the words of thinking: verification, backtracking, subgoals, alternatives."""

from rlsp_cli.rewards import Sample, behaviour_counts, exploration_reward


@exploration_reward
def cognitive_behaviors(
    sample: Sample,
    *,
    verify: float = 1.0,
    backtrack: float = 1.0,
    subgoal: float = 1.0,
    alternative: float = 1.0,
    cap: int = 3,
) -> float:
    """Weighted mean of min(count, cap) / cap over the behaviours of the lexicon, 0 to 1.

    The behaviours are those of Four Habits (2503.01307); the form is ours, the words are in
    rlsp_cli/rewards/behaviour.py. It pays for words, which a model can say without thinking: watch accuracy.
    """
    weights = {"verify": verify, "backtrack": backtrack, "subgoal": subgoal, "alternative": alternative}
    counts = behaviour_counts(sample.response)
    total = sum(weights.values())
    return sum(weight * min(counts[name], cap) / cap for name, weight in weights.items()) / total if total else 0.0
