"""The options of a plugin: its keyword-only parameters as a recipe gives them."""

import math
from typing import Any, Literal

import pytest

from rlsp_cli.recipe.issue import OptionsError
from rlsp_cli.rewards.options import complete_options, options_model
from rlsp_cli.rewards.sample import Sample


def plugin(
    sample: Sample,
    *,
    scale: float = 1000.0,
    form: Literal["inverse", "linear"] = "inverse",
    tags: tuple[str, ...] = ("think", "answer"),
    limit: int | None = None,
) -> float:
    return scale


MODEL = options_model(plugin)


def problems(options: dict[str, Any]) -> list[tuple[str | None, str]]:
    with pytest.raises(OptionsError) as error:
        complete_options(MODEL, options, "length")
    return error.value.problems


def test_options_are_the_keyword_only_parameters() -> None:
    assert list(MODEL.model_fields) == ["scale", "form", "tags", "limit"]


def test_what_a_recipe_leaves_out_is_filled_in_and_all_of_it_is_json() -> None:
    assert complete_options(MODEL, {"scale": 10}, "length") == {
        "scale": 10.0,
        "form": "inverse",
        "tags": ["think", "answer"],
        "limit": None,
    }


def test_an_unknown_option_is_refused_with_the_name_that_was_meant() -> None:
    ((key, text),) = problems({"scal": 10})
    assert key == "scal"
    assert text.startswith('unknown option "scal" of length')
    assert "scale" in text.partition(" - ")[2]


def test_a_wrong_value_is_named_with_what_was_expected_and_found() -> None:
    ((key, text),) = problems({"form": "cubic"})
    assert key == "form"
    assert text.startswith("option form of length: ")
    assert "'inverse' or 'linear'" in text
    assert text.endswith("found 'cubic'")


def test_every_wrong_option_is_named_at_once() -> None:
    found = problems({"scale": "many", "limit": 1.5, "other": 1})
    assert [key for key, _ in found] == ["scale", "limit", "other"]


def test_an_error_within_a_list_is_that_of_its_option() -> None:
    ((key, _),) = problems({"tags": ["think", 3]})
    assert key == "tags"


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    ((key, text),) = problems({"scale": value})
    assert key == "scale"
    assert "finite" in text
