"""Does a scorer rank right responses above wrong ones? RewardMATH (arXiv 2410.01729)."""

from collections.abc import Sequence
from dataclasses import dataclass

from rlsp_cli.evals.scorer_benches.first_error import Pair
from rlsp_cli.evals.statistics import Estimate, mean_share


@dataclass(frozen=True)
class Ranking:
    """How a scorer ranks the responses to the problems of one subset.

    `accuracy` is the share of problems whose every chosen response scores above every rejected one;
    a tie counts against it, and `ties` counts the problems that one decides.
    `reciprocal_rank` is the mean of 1 / rank of the worst chosen response among the rejected ones,
    behind those with the same score. Problems with a response without a score are in `unscored`
    alone.
    """

    problems: int
    unscored: int
    ties: int
    accuracy: Estimate | None
    reciprocal_rank: Estimate | None


def ranking(pairs: Sequence[Pair]) -> Ranking:
    """The numbers of one subset; a problem's responses share an id."""
    problems: dict[str, list[Pair]] = {}
    for pair in pairs:
        problems.setdefault(pair.response.id, []).append(pair)

    gaps, ranks = [], []
    for several in problems.values():
        chosen, rejected = _scores(several, right=True), _scores(several, right=False)
        if None in chosen or None in rejected:
            continue
        worst = min(score for score in chosen if score is not None)
        others = [score for score in rejected if score is not None]
        gaps.append(worst - max(others))
        ranks.append(1 / (1 + sum(score >= worst for score in others)))

    return Ranking(
        problems=len(problems),
        unscored=len(problems) - len(gaps),
        ties=sum(gap == 0 for gap in gaps),
        accuracy=mean_share([float(gap > 0) for gap in gaps]) if gaps else None,
        reciprocal_rank=mean_share(ranks) if ranks else None,
    )


def _scores(pairs: Sequence[Pair], *, right: bool) -> list[float | None]:
    return [pair.score.value for pair in pairs if pair.response.right == right]
