"""Search over partial responses: a policy says where a tree grows, and everything else is here."""

from rlsp_cli.evals.search.backup import BACKUPS, back_up
from rlsp_cli.evals.search.grow import Grown, Search
from rlsp_cli.evals.search.log import TreeLog
from rlsp_cli.evals.search.of_recipe import (
    check_search,
    recipe_search,
    scorer_fault,
    searches_of,
    step_scoring,
)
from rlsp_cli.evals.search.policy import Policy
from rlsp_cli.evals.search.sampler import SearchSampler
from rlsp_cli.evals.search.scoring import NodeScorer, StepScoring, VerifierScoring
from rlsp_cli.evals.search.trial import ALLOWED, check_policy

__all__ = [
    "ALLOWED",
    "BACKUPS",
    "Grown",
    "NodeScorer",
    "Policy",
    "Search",
    "SearchSampler",
    "StepScoring",
    "TreeLog",
    "VerifierScoring",
    "back_up",
    "check_policy",
    "check_search",
    "recipe_search",
    "scorer_fault",
    "searches_of",
    "step_scoring",
]
