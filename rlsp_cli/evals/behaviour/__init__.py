"""Search behaviours in responses: counted by a lexicon, shown in excerpts, labelled by a judge."""

from rlsp_cli.evals.behaviour.excerpt import Excerpt
from rlsp_cli.evals.behaviour.groups import Group, Stretch, behaviour_groups, behaviour_stretches
from rlsp_cli.evals.behaviour.judge import JudgeReport, judge_responses
from rlsp_cli.evals.behaviour.means import Means
from rlsp_cli.evals.behaviour.response import read_responses

__all__ = [
    "Excerpt",
    "Group",
    "JudgeReport",
    "Means",
    "Stretch",
    "behaviour_groups",
    "behaviour_stretches",
    "judge_responses",
    "read_responses",
]
