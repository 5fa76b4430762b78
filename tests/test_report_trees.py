"""The picture of a search's tree in the report: its places, its path, and what a browser makes of it."""

from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.evals.search.log import Place, Step, TreeLog
from rlsp_cli.recipe.load import load_recipe
from rlsp_cli.report import write_report
from rlsp_cli.report.trees import TreePicture, tree_pictures
from rlsp_cli.rewards.registry import resolve_options
from rlsp_cli.rewards.sample import Score
from rlsp_cli.runs.run import create_run, open_run
from rlsp_cli.runs.stream import append_rows
from tests.browser import told_by_browser

HOSTILE = "</title></a></svg><img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"


@pytest.fixture
def run(tiny_recipe: Path, tmp_path: Path) -> Path:
    create_run(load_recipe(tiny_recipe, plugins=resolve_options), tiny_recipe, tmp_path / "run")
    return tmp_path / "run"


def grown(
    run: Path,
    parents: Sequence[int],
    scores: dict[int, float],
    answer: int | None = None,
    text: str = "step",
    id: str = "p",
) -> Path:
    """trees.jsonl of a tree by each node's parent; leaves have ended."""
    log = TreeLog(run / "eval/base/sums/trees.jsonl")
    for number, parent in enumerate(parents, 1):
        step = Step(parent, f"{text} {number}", (), 1, ended=number not in parents)
        log.add_step(Place(id, 0, number), step)
        if number in scores:
            log.add_score(Place(id, 0, number), Score("s", "value", scores[number]))
    if answer is not None:
        log.add_end(Place(id, 0, answer), "policy")
    return log.path


def picture(run: Path) -> TreePicture:
    (found,) = tree_pictures(open_run(run))
    return found


def test_a_parent_stands_above_the_middle_of_its_children(run: Path) -> None:
    grown(run, [0, 0, 1, 1, 1], {1: 0.25, 3: 1.0, 4: 0.0}, answer=3)
    found = picture(run)
    places = {drawn.node.id: (drawn.x, drawn.y) for drawn in found.nodes}

    # The leaves are 3, 4, 5 and 2, side by side.
    xs = [places[number][0] for number in (3, 4, 5, 2)]
    assert xs == sorted(xs) and len({b - a for a, b in pairwise(xs)}) == 1
    assert places[1][0] == places[4][0] and places[0][0] == (places[1][0] + places[2][0]) / 2
    assert places[0][1] < places[1][1] == places[2][1] < places[3][1]
    assert max(x for x, _ in places.values()) < found.width

    assert [drawn.node.id for drawn in found.nodes if drawn.taken] == [0, 1, 3]
    percents = {drawn.node.id: drawn.percent for drawn in found.nodes}
    assert percents == {0: None, 1: 25, 2: None, 3: 100, 4: 0, 5: None}
    # The path comes last, so that it lies above what crosses it.
    assert [child.node.id for _, child in found.edges][-2:] == [1, 3]


def test_scores_that_are_no_shares_are_coloured_from_the_lowest_to_the_highest(run: Path) -> None:
    grown(run, [0, 0, 0], {1: -2.0, 2: 0.0, 3: 2.0})
    assert [drawn.percent for drawn in picture(run).nodes] == [None, 0, 50, 100]


def test_a_search_that_was_killed_is_drawn_without_a_path(run: Path) -> None:
    path = grown(run, [0, 0, 1], {})
    path.write_text(path.read_text()[:-20])  # in the middle of a line
    found = picture(run)
    assert (found.drawn, found.answer) == (2, None)
    assert not any(drawn.taken for drawn in found.nodes)


def test_of_a_large_tree_the_first_nodes_and_the_path_are_drawn(run: Path) -> None:
    chain = [0, *range(1, 90)]
    grown(run, [0] * 500 + [number + 500 if number else 0 for number in chain], {}, answer=590)
    found = picture(run)
    assert found.total == 590 and found.drawn == 399 + 90
    assert sum(drawn.taken for drawn in found.nodes) == 91
    assert write_report(run) and "590 steps, 489 of them drawn" in (run / "report.html").read_text()


class Nesting(HTMLParser):
    """Checks that what is opened is closed in its turn, and counts elements."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag in ("ul", "li", "details", "svg", "a"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("ul", "li", "details", "svg", "a"):
            assert self.open.pop() == tag


@pytest.mark.parametrize("parents", [[0], [0, 1, 2, 0], [0, 0, 1, 3, 3, 2], [0, 1, 1, 0, 4]])
def test_the_list_has_a_place_for_each_step_inside_of_its_parent(
    parents: list[int], run: Path
) -> None:
    grown(run, parents, {}, answer=len(parents))
    write_report(run)
    nesting = Nesting()
    nesting.feed((run / "report.html").read_text())
    assert nesting.open == []
    assert nesting.seen.count("li") == nesting.seen.count("circle") == len(parents)


@pytest.mark.integration
def test_a_browser_shows_a_tree_of_200_nodes_and_runs_nothing_that_a_model_wrote(
    run: Path, tmp_path: Path
) -> None:
    parents = [0, 0, 0, *(1 + number // 3 for number in range(197))]
    grown(run, parents, {n: n / 200 for n in range(1, 201)}, answer=200, text=HOSTILE, id=HOSTILE)
    correct = {"component": "s", "outcome": "value", "value": 1.0, "answer": None, "reason": None}
    row = {"id": HOSTILE, "kind": "search", "index": 0, "response": HOSTILE, "problem": HOSTILE,
           "reference": HOSTILE, "num_tokens": 3, "truncated": False, "correctness": correct}  # fmt: skip
    append_rows(run / "eval/base/sums/samples.jsonl", [row])
    write_report(run)
    html = (run / "report.html").read_text()

    def told(expression: str, fragment: str = "") -> str:
        return told_by_browser(html, expression, tmp_path, fragment)

    apart = "Math.min(...c.flatMap((a, i) => c.slice(i + 1).map(b => Math.hypot(a[0] - b[0], a[1] - b[1]))))"
    assert (
        told(
            "(() => { const c = [...document.querySelectorAll('circle')].map("
            "e => [+e.getAttribute('cx'), +e.getAttribute('cy')]);"
            f" return [c.length, {apart} >= 8, document.images.length, document.title,"
            " document.querySelector('.tree svg').clientWidth < 1216] })()"
        )
        == "200,true,0,tiny - rlsp report,true"
    )

    # With the keyboard: circles of the path and every step that can be seen take the focus.
    depth = 1 + sum(1 for _ in _ancestors(parents, 200))
    focus = "(e => (e.focus(), document.activeElement === e))"
    assert (
        told(
            f"[...document.querySelectorAll('svg a[tabindex=\"0\"]')].filter({focus}).length + ',' +"
            f" [...document.querySelectorAll('.steps summary')].filter(e => e.checkVisibility())"
            f".every({focus})"
        )
        == f"{depth},true"
    )

    # A link to a step of a branch that was not taken opens it.
    seen = "document.getElementById('tree1-100').checkVisibility()"
    assert (told(seen), told(seen, "tree1-100")) == ("false", "true")


def _ancestors(parents: Sequence[int], node: int) -> Sequence[int]:
    found = []
    while node := parents[node - 1]:
        found.append(node)
    return found
