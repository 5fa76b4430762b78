"""Search policies: on a known tree each expands what was worked out by hand."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from rlsp_cli.evals.search import Grown, VerifierScoring
from rlsp_cli.rewards.registry import built_in
from rlsp_cli.rewards.sample import Sample, Score
from tests.toy_search import Table, Toy, Watched, grow

AFTER = {
    "": "abcd", "a": "eF", "b": "gh", "c": "iJ", "d": "kl",
    "ae": "M", "bg": "no", "bh": "P", "ci": "Q",
    "dk": "R", "dl": "S", "bgn": "T", "bgo": "U",
}  # fmt: skip
SCORES = {
    "a": 0.6, "b": 0.8, "c": 0.5, "d": 0.1,
    "ae": 0.3, "aF": 0.7, "bg": 0.9, "bh": 0.4, "ci": 0.2, "cJ": 0.6, "dk": 0.1, "dl": 0.1,
    "aeM": 0.3, "bgn": 0.5, "bgo": 0.95, "bhP": 0.4, "ciQ": 0.2, "bgnT": 0.5, "bgoU": 0.99,
}  # fmt: skip


def searched(policy: Watched, path: Path, backup: str = "mean") -> Grown:
    """The tree that the policy grows; nothing but the policy ends it."""
    (grown,) = grow(policy, Toy(AFTER), Table(SCORES), path, backup=backup)
    assert grown.end == "policy"
    return grown


@pytest.mark.parametrize(
    ("use", "options", "rounds"),
    [
        # Level 1: b .8, a .6. Level 2: bg .9 and aF .7, which leaves. Level 3: bgo alone.
        ("beam", {"beams": 2, "children": 2},
         [{"": 4}, {"b": 2, "a": 2}, {"bg": 2}, {"bgo": 2}, {}]),
        ("beam", {"beams": 1, "children": 4}, [{"": 4}, {"b": 4}, {"bg": 4}, {"bgo": 4}, {}]),
        # Of a, b the second and of c, d the first; then bg, and of c's children the end cJ.
        ("dvts", {"subtrees": 2, "children": 2},
         [{"": 4}, {"b": 2, "c": 2}, {"bg": 2}, {"bgo": 2}, {}]),
        ("best_first", {"children": 2}, [{"": 2}, {"b": 2}, {"bg": 2}, {"bgo": 2}, {}]),
        # The second answer: a .6 is the best that is open, and its end aF the second.
        ("best_first", {"children": 2, "answers": 3},
         [{"": 2}, {"b": 2}, {"bg": 2}, {"bgo": 2}, {"a": 2}, {}]),
        # exp of 8, 6, 5, 1 is 2981, 403, 148, 3: 4 * .843 -> 4. Then bg, bh: ceil(4 * .993) -> 4.
        ("rebase", {"width": 4}, [{"": 4}, {"b": 4}, {"bg": 4}, {"bgo": 4}, {}]),
        ("clarifications", {"children": 2, "depth": 2},
         [{"": 2}, {"a": 2, "b": 2}, {}]),
        ("clarifications", {"children": 2, "depth": 3, "enough": 0.7},
         [{"": 2}, {"a": 2, "b": 2}, {}]),
    ],
)  # fmt: skip
def test_it_expands_what_the_hand_table_says(
    use: str, options: dict[str, float], rounds: list[dict[str, int]], tmp_path: Path
) -> None:
    policy = Watched(use, **options)
    searched(policy, tmp_path)
    assert policy.rounds == rounds


def test_rebase_shares_the_width_by_ceilings_and_an_end_takes_one_off(tmp_path: Path) -> None:
    policy = Watched("rebase", width=6, temperature=1.0)
    searched(policy, tmp_path)
    # a b c d a b are the root's. Of exp(.8) twice, exp(.6) twice, exp(.5), exp(.1), in all 10.849:
    # 6 * 2.226 / 10.849 = 1.2 -> 2; 4 * 2.226 / 8.624 = 1.03 -> 2; 2 * 1.822 / 6.398 -> 1; 1.
    # They become bg bh bg bh ae aF, so 5 are left: 5 * 2.460 / 9.253 = 1.3 -> 2;
    # 3 * 2.460 / 6.793 = 1.09 -> 2; 1 * 1.492 / 4.334 -> 1.
    assert policy.rounds[:3] == [{"": 6}, {"b": 4, "a": 2}, {"bg": 4, "bh": 1}]
    # bgn bgo bgn bgo and the end bhP: 4 are left, by 2.586 twice and 1.649 twice:
    # 4 * 2.586 / 8.469 = 1.2 -> 2; 2 * 2.586 / 5.883 = .9 -> 1; 1 * 1.649 / 3.297 -> 1.
    assert policy.rounds[3:] == [{"bgo": 3, "bgn": 1}, {}]


@pytest.mark.integration
def test_particles_are_drawn_by_the_softmax_of_logits(tmp_path: Path) -> None:
    drawn: Counter[str] = Counter()
    for seed in range(200):
        policy = Watched("particles", particles=4)
        after = {**AFTER, "": "ab"}
        (grown,) = grow(policy, Toy(after), Table(SCORES), tmp_path / str(seed), [f"p{seed}"])
        assert policy.rounds[0] == {"": 4} and grown.end == "policy"
        drawn.update(_letters(grown))
    # Odds of .8 and .6 are 4 and 1.5: b is drawn with the chance 8 / 11 = .727, of 800 in all.
    assert drawn["b"] / 800 == pytest.approx(8 / 11, abs=0.05)


def _letters(grown: Grown) -> list[str]:
    """The parents of the particles in the second round, each as often as it was drawn."""
    return [node.response[0] for node in grown.tree.levels[2] if len(node.response) == 2]


def test_particles_that_have_ended_stay_and_are_drawn_from(tmp_path: Path) -> None:
    after = {"": "Ab", **{"b" + "c" * n: "c" for n in range(20)}}
    lengths = []
    for seed in range(12):
        policy = Watched("particles", particles=3)
        # Whoever goes on after b is as good as never drawn beside an A that has stayed.
        scores = {"A": 0.5, "b": 0.5, "bc": 1e-6}
        grow(policy, Toy(after), Table(scores), tmp_path / str(seed), [f"p{seed}"])
        if "A" in {node.response for node in policy.kept}:
            lengths.append(len(policy.rounds))
    assert set(lengths) == {2, 3}


def test_uct_of_rap_rolls_out_and_then_weighs_value_against_visits(tmp_path: Path) -> None:
    policy = Watched("uct", children=2, iterations=3, exploration=1.0)
    grown = searched(policy, tmp_path)
    # First iteration: the root's best child b, bg, bgo, whose two ends U are .99. Then visits are
    # a 1, b 7; value a .6, b (.8 + .9 + .4 + .5 + .95 + .99 + .99) / 7 = .79.
    # a: .6 + sqrt(ln 8 / 1) = 2.04; b: .79 + sqrt(ln 8 / 7) = 1.33. So a, whose best child is an end.
    assert policy.rounds[:5] == [{"": 2}, {"b": 2}, {"bg": 2}, {"bgo": 2}, {"a": 2}]
    # a 3 visits, value (.6 + .3 + .7) / 3 = .533: .533 + sqrt(ln 10 / 3) = 1.41;
    # b: .79 + sqrt(ln 10 / 7) = 1.36. So a again, and there ae, the only branch that has not ended.
    assert policy.rounds[5:] == [{"ae": 2}, {}]
    assert grown.answer.response == "bgoU"


def test_uct_of_rstar_learns_from_ends_alone(tmp_path: Path) -> None:
    policy, ends = (
        Watched("uct", children=1, iterations=2, exploration=2.0),
        {"aeM": 0.0, "bhP": 1.0},
    )
    after = {"": "ab", "a": "e", "ae": "M", "b": "h", "bh": "P"}

    def verify(samples: Sequence[Sample]) -> list[Score]:
        return [Score("verifier", "value", ends[sample.response]) for sample in samples]

    scorer = VerifierScoring(verify, {"p": Sample("p?", "", "the reference")})
    (grown,) = grow(policy, Toy(after), scorer, tmp_path)
    assert policy.rounds == [{"": 1}, {"a": 1}, {"ae": 1}, {}]
    assert (grown.tree.root.visits, grown.tree.root.value) == (1, 0.0)


@pytest.mark.parametrize(("exploration", "third"), [(0.5, "a"), (0.25, "bg")])
def test_puct_of_alphamath_weighs_the_prior(exploration: float, third: str, tmp_path: Path) -> None:
    policy = Watched("puct", children=2, iterations=3, exploration=exploration)
    searched(policy, tmp_path)
    # The prior is exp(-.5) = .607 everywhere, so b .8 comes before a .6. Then the root has 4 visits,
    # a 1 of value .6, and b 3 of value .7. With exploration .5: a .6 + .5 * .607 * 2 / 2 = .90,
    # b .7 + .5 * .607 * 2 / 4 = .85. With .25: a .752, b .776, and of b's children bg is the best.
    assert policy.rounds == [{"": 2}, {"b": 2}, {third: 2}, {}]


def test_puct_of_omegaprm_prefers_high_values_and_short_states(tmp_path: Path) -> None:
    policy = Watched("puct", form="omegaprm", exploration=0.125, children=2, iterations=4)
    searched(policy, tmp_path)
    # One word each, so length does not tell: b .8, then bg .9, then bgo .95.
    assert policy.rounds == [{"": 2}, {"b": 2}, {"bg": 2}, {"bgo": 2}, {}]

    after = {"": "a", "a": "b", "ab": "C"}
    policy = Watched("puct", form="omegaprm", children=1, iterations=1)
    (grown,) = grow(policy, Toy(after), Table({"a": 0.5}), tmp_path / "second")
    assert grown.tree.nodes[1].value == 0.5


def test_rest_mcts_ends_at_a_response_that_is_good_enough(tmp_path: Path) -> None:
    policy = Watched("rest_mcts", children=2)
    grown = searched(policy, tmp_path, backup="weighted")
    # a .6 + .7 * sqrt(2 ln 2 / 1) = 1.42, b .8 + the same. Then b has 3 visits of 4 and the value
    # (.9 + .4) / 2 = .65: .65 + .7 * sqrt(2 ln 4 / 3) = 1.32; a: .6 + .7 * sqrt(2 ln 4) = 1.77.
    # a then has 3 visits of 6 and the value .5: .5 + .7 * sqrt(2 ln 6 / 3) = 1.27; b 1.42, bg.
    assert policy.rounds[:4] == [{"": 2}, {"b": 2}, {"a": 2}, {"bg": 2}]
    assert grown.answer.score is not None and grown.answer.score >= 0.9
    assert not grown.tree.root.exhausted


def test_every_policy_ends_on_a_tree_that_ends(tmp_path: Path) -> None:
    after = {"": "ab", "a": "cD", "b": "eF", "ac": "G", "be": "H"}
    for name in built_in("search"):
        policy = Watched(name)
        (grown,) = grow(policy, Toy(after), None, tmp_path / name)
        assert grown.end == "policy" and grown.whole, name
