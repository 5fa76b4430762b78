"""The formulas, by hand; `rlsp plugins check` tests what every plugin must stand."""

from pair_tools.either_order import either_order
from pair_tools.tries import tries

from rlsp_cli.rewards import Sample


def answering(response: str, reference: str | None = "3 + 7") -> Sample:
    return Sample(prompt="", response=response, reference=reference)


def test_both_orders_are_right_and_other_numbers_are_not() -> None:
    assert either_order(answering(r"\boxed{3 + 7}")).correct
    assert either_order(answering(r"\boxed{7 + 3}")).correct
    assert not either_order(answering(r"\boxed{3 + 8}")).correct
    assert not either_order(answering("I give up.")).correct


def test_without_a_reference_it_abstains() -> None:
    assert either_order(answering(r"\boxed{3 + 7}", None)) is None


def test_a_pair_counts_once() -> None:
    assert tries(answering("3 + 8 = 11. 3 + 8 = 11. 3 + 7 = 10."), most=4) == 0.5
    assert tries(answering("3 + 8 = 11. 3 + 7 = 10."), most=1) == 1.0
