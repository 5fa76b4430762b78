"""What `rlsp data traces search.use=NAME` writes: paths, chains with returns, pairs and step values."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.data.returns import Returns
from rlsp_cli.errors import DataError
from rlsp_cli.recipe.search import SearchSteps
from rlsp_cli.traces.trees import End, Ends, linear, pairs, paths, values

ROW = RawTrace("f:1", "p", "2+2+2?", "", "6", {"level": 1})
LINES = SearchSteps(by="lines")


def end(text: str, right: bool, score: float | None = None) -> End:
    """A response whose steps are its lines."""
    return End(tuple(text.splitlines(keepends=True)), right, score)


TREE = Ends(
    [
        end("2+2=4\n4+2=6\nso 6", True, 0.5),
        end("2+2=4\n4+2=7\nso 7", False, 0.9),
        end("2+2=5\nso 5", False, 0.3),
        end("2+2=4\n4+2=6\nso 6", True, 0.5),
        end("2+2=4\n4+2=6\nit is 6", True, 0.8),
    ]
)


def back(_: Random, step: str) -> str:
    return f"back to {step or 'the beginning'}"


def test_paths_are_the_right_responses_each_once_the_best_first() -> None:
    found = paths(ROW, TREE)

    assert [row.solution for row in found] == ["2+2=4\n4+2=6\nit is 6", "2+2=4\n4+2=6\nso 6"]
    assert [row.to_row()["id"] for row in found] == ["p-0", "p-1"]
    assert found[0].to_row()["answer"] == "6" and found[0].to_row()["level"] == 1


def test_a_chain_takes_each_wrong_branch_where_it_parts_and_comes_back() -> None:
    (row,) = linear(ROW, TREE, LINES, 2, back)

    assert row.solution.splitlines() == [
        "2+2=5",
        "so 5",
        "back to the beginning",
        "2+2=4",
        "4+2=7",
        "so 7",
        "back to 2+2=4",
        "4+2=6",
        "it is 6",
    ]
    assert row.to_row()["returns"] == 2


def test_a_chain_has_the_wrong_branches_that_the_search_liked_most() -> None:
    (row,) = linear(ROW, TREE, LINES, 1, back)

    assert "4+2=7" in row.solution and "2+2=5" not in row.solution


def test_what_some_right_response_goes_through_is_no_wrong_branch() -> None:
    ends = Ends([end("a\nb\n", True, 1.0), end("c\nd\n", True, 0.5), end("c\ne\n", False)])
    (row,) = linear(ROW, ends, LINES, 2, back)

    assert row.solution == "a\nb" and row.to_row()["returns"] == 0


def test_a_chain_goes_back_within_its_thinking_and_never_after_it() -> None:
    ends = Ends(
        [
            end("<think>\nb\n</think>\n6", True),
            end("<think>\nc\n</think>\n5", False),
            end("<think>\nb\n</think>\n7", False),
        ]
    )
    (row,) = linear(ROW, ends, LINES, 2, back)

    assert row.solution == "<think>\nc\nback to <think>\nb\n</think>\n6"


@pytest.mark.parametrize(
    ("by", "parts", "wanted"),
    [
        ("sentences", ["One.", " Two.", " Three."], "One. No. back to One. Two. Three."),
        (
            "tag",
            ["<step>One</step>", "<step>Two</step>"],
            "<step>One</step>No\n<step>back to One</step>\n<step>Two</step>",
        ),
        ("blank_line", ["One\n\n", "Two"], "One\n\nNo\n\nback to One\n\nTwo"),
    ],
)
def test_words_of_going_back_are_a_step_of_their_own(
    by: str, parts: list[str], wanted: str
) -> None:
    no = {"sentences": " No.", "tag": "No", "blank_line": "No\n\n"}[by]
    ends = Ends([End(tuple(parts), True), End((parts[0], no), False)])
    settings = SearchSteps.model_validate({"by": by})
    (row,) = linear(ROW, ends, settings, 1, back)

    assert row.solution == wanted


def test_without_a_right_response_nothing_but_values_is_written() -> None:
    ends = Ends([end("2+2=5\nso 5", False)])

    assert not paths(ROW, ends) and not pairs(ROW, ends) and not linear(ROW, ends, LINES, 2, back)
    assert [row.labels for row in values(ROW, ends, "p?", "mean")] == [(0.0, 0.0)]


def test_a_pair_is_of_whole_responses_that_part_at_siblings() -> None:
    found = [(row.solution, row.rejected) for row in pairs(ROW, TREE)]

    best = "2+2=4\n4+2=6\nit is 6"
    assert found == [(best, "2+2=5\nso 5"), (best, "2+2=4\n4+2=7\nso 7")]
    assert pairs(ROW, TREE)[0].to_row().keys() == {
        "id", "prompt", "chosen", "rejected", "answer", "level"
    }  # fmt: skip


def test_two_good_and_two_bad_siblings_make_four_pairs() -> None:
    ends = Ends([end(f"{n}\n", n < 3) for n in range(6)] + [end("5\nx\n", False)])
    found = {(row.solution, row.rejected) for row in pairs(ROW, ends)}

    # Of three bad ones, the one that two responses show to be wrong, and the first.
    assert found == {("0", "5"), ("0", "3"), ("1", "5"), ("1", "3")}


def test_a_value_is_the_share_of_right_responses_from_a_step_on() -> None:
    found = {row.solution: row for row in values(ROW, TREE, "asked", "mean")}
    row = found["2+2=4\n4+2=7\nso 7"]

    assert row.labels == pytest.approx((0.75, 0.0, 0.0)) and len(found) == 4
    assert row.to_row() == {
        "id": row.id,
        "prompt": "asked",
        "completions": ["2+2=4", "4+2=7", "so 7"],
        "labels": list(row.labels),
    }
    hard = {one.solution: one.labels for one in values(ROW, TREE, "asked", "max")}
    assert hard[row.solution] == (1.0, 0.0, 0.0)


def test_the_words_of_going_back_vary_and_name_the_step_only_where_there_is_one() -> None:
    returns, random = Returns(), Random(0)
    within = Counter(returns.words(random, "x=1") for _ in range(200))
    beginning = {returns.words(random, "") for _ in range(200)}

    assert len(within) == len(returns.phrases) > len(beginning) > 2
    assert any("x=1" in words for words in within)
    assert not any("{step}" in words for words in {*within, *beginning})


def test_a_file_of_words_without_one_for_the_beginning_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("# mine\nBack to {step}\n")
    with pytest.raises(DataError, match=r"no phrase without \{step\}"):
        Returns(str(file))
    with pytest.raises(DataError, match="cannot read the words of going back"):
        Returns(str(tmp_path / "none.txt"))
