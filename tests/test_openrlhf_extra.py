"""What `ppo.openrlhf.extra` may say: nothing on which rlsp relies, and nothing that nobody has looked at."""

import sys
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.backends.openrlhf.config import settings
from rlsp_cli.backends.openrlhf.flags import ask_parser
from rlsp_cli.backends.openrlhf.options import FREE, RECIPE, REFUSED, extra_problems
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.recipe.origin import flat
from rlsp_cli.recipe.schema import Recipe
from rlsp_cli.recipe.shipped import shipped_recipes
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.runs.paths import RunPaths


def refusals(**extra: Any) -> list[str]:
    return [str(problem) for problem in extra_problems(extra)]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(shipped_recipes()["openrlhf_cpu"], plugins=resolve_options)


@pytest.mark.integration
def test_every_option_of_the_installed_parser_is_of_one_kind(openrlhf_source: Path) -> None:
    options = ask_parser([sys.executable], str(openrlhf_source)).keys()
    assert sorted([*FREE, *RECIPE, *REFUSED]) == sorted(options), "look at what a new one changes"


def test_what_rlsp_sets_is_decided_by_the_recipe_or_relied_on(recipe: Recipe) -> None:
    """And what it sets by itself and may be replaced is a plain default."""
    assert recipe.ppo
    own = settings(recipe, recipe.ppo, RunPaths(Path("run")))
    assert {setting.key for setting in own if setting.key in FREE} <= {
        *(
            "actor.policy_loss_type",
            "actor.loss_agg_mode",
            "ckpt.max_num",
            "train.async_queue_size",
        ),
    }
    assert not [setting.key for setting in own if setting.sources and setting.key not in RECIPE]


def test_the_keys_that_stand_for_an_option_are_keys_of_the_recipe(recipe: Recipe) -> None:
    known = flat(recipe.model_dump(mode="json"))
    for key in (key for keys in RECIPE.values() for key in keys.split(" and ")):
        assert any(path == key or path.startswith(f"{key}.") for path in known), key


@pytest.mark.parametrize("option", sorted(REFUSED))
def test_what_rlsp_relies_on_is_refused_with_the_reason(option: str) -> None:
    assert refusals(**{option: "x"}) == [
        f"this option is not for ppo.openrlhf.extra: {REFUSED[option]} - leave it out"
    ]


@pytest.mark.parametrize("option", sorted(RECIPE))
def test_what_the_recipe_says_is_said_there(option: str) -> None:
    assert refusals(**{option: "x"}) == [
        f"rlsp sets this option from {RECIPE[option]} - set that instead"
    ]


def test_an_option_that_nobody_has_looked_at_is_refused() -> None:
    assert "has no option --algo.brand_new - " in refusals(**{"algo.brand_new": 1})[0]
    assert "has no option --ckpt - " in refusals(ckpt={"path": "x"})[0]
    assert "has no option --vllm.num_eng - " in refusals(**{"vllm.num_eng": 1})[0], (
        "the parser takes abbreviations"
    )


@pytest.mark.parametrize("value", ["--ckpt.path", "-h"])
def test_a_value_cannot_bring_another_option_along(value: Any) -> None:
    assert "would be read as another option" in refusals(**{"actor.aux_loss_coef": value})[0]


@pytest.mark.parametrize(
    "value", [None, [], {}, {"a": 1}, [3.0], ["3.0", "--ckpt.path", "x"], "", " ", "a\0b"]
)
def test_a_value_that_is_not_one_word_is_refused(value: Any) -> None:
    line = f"{value!r} is no value of this option - give a number, a text, true or false, or leave it out"
    assert refusals(**{"actor.aux_loss_coef": value}) == [line]


def test_muon_in_a_list_does_not_pass_by_what_is_asked_of_muon() -> None:
    assert refusals(**{"actor.optim": ["muon"]})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("actor.aux_loss_coef", 3.0),
        ("actor.policy_loss_type", "gspo"),
        ("actor.loss_agg_mode", "seq-mean-token-mean"),
        ("algo.kl.use_loss", True),
        ("ds.use_liger_kernel", True),
    ],
)
def test_what_only_changes_the_training_is_taken(option: str, value: Any) -> None:
    assert refusals(**{option: value}) == []
