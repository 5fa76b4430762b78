"""`rlsp reward audit`: attacks on a recipe's reward."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rlsp_cli.cli.options import Json, Overrides, RecipeArgument, Tokenizer
from rlsp_cli.cli.output import print_json, print_table
from rlsp_cli.cli.reward.cells import number
from rlsp_cli.cli.reward.scoring import counter_of, load, scorer_of
from rlsp_cli.errors import CheckError

if TYPE_CHECKING:
    from rlsp_cli.rewards.audit import Finding


def audit(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    problems: Annotated[
        int, typer.Option(metavar="N", help="Problems of the data to attack with.", min=2)
    ] = 4,
    tokenizer: Tokenizer = None,
    json: Json = False,
) -> None:
    """Attack a recipe's reward; exits with 6 if a trick beats honesty.

    Example: rlsp reward audit my.yaml
    """
    from rlsp_cli.data import audit_cases
    from rlsp_cli.rewards.audit import audit as run_audit
    from rlsp_cli.rewards.combine import alpha_of

    loaded = load(recipe, overrides or [])
    with scorer_of(loaded) as scorer:
        found = run_audit(
            audit_cases(loaded, problems),
            lambda samples: scorer.score(samples, alpha_of(loaded, 0)),
            scorer.deadline_s,
            counter_of(loaded, tokenizer),
            by_steps=any(use.steps for use in loaded.reward.exploration),
        )

    _show_findings(found, json)
    _refuse_holes(found)


def _show_findings(found: Sequence["Finding"], json: bool) -> None:
    if json:
        rows = [{**asdict(finding), "is_hole": finding.is_hole} for finding in found]
        print_json("reward-audit", rows)
        return

    cells = []
    for one in found:
        rewards = map(number, (one.reward, one.honest_wrong, one.honest_right))
        beats = (f"{one.beats_wrong}/{one.problems}", f"{one.beats_right}/{one.problems}")
        cells.append((one.attack, *rewards, *beats, one.overdue, one.unscored, _gravity(one)))

    columns = ["attack", "reward", "honest wrong", "honest right"]
    columns += ["beats wrong", "beats right", "overdue", "unscored", ""]
    print_table(columns, cells)


def _gravity(finding: "Finding") -> str:
    # A trick that beats only a wrong answer still earns less than a right one.
    if finding.beats_right or finding.overdue:
        return "GRAVE"
    return "look here" if finding.beats_wrong else ""


def _refuse_holes(found: Sequence["Finding"]) -> None:
    """CheckError for attacks that earn more than an honest answer."""
    holes = [finding for finding in found if finding.is_hole]
    if not holes:
        return

    grave = [finding.attack for finding in holes if finding.beats_right or finding.overdue]
    slight = [finding.attack for finding in holes if finding.attack not in grave]
    parts = [f"{len(holes)} of {len(found)} attacks pay"]
    if grave:
        parts.append(f"more than a right answer, or outlive the deadline: {', '.join(grave)}")
    if slight:
        parts.append(f"more than an honest wrong answer alone: {', '.join(slight)}")
    raise CheckError("; ".join([*parts, "docs/reward_tests.md says what helps"]))
