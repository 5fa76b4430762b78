"""Curves of a report: which are drawn, where, and what a reader without eyes for them gets."""

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from rlsp_cli.report.plot import PPO_PLOTS, SFT_PLOTS, plots
from rlsp_cli.report.step import Step, keys_of, span, steps_of
from rlsp_cli.report.table import ppo_table


def steps(*values: Mapping[str, float]) -> list[Step]:
    """Steps from 1 with these numbers."""
    return [Step(number, each) for number, each in enumerate(values, 1)]


def label(svg: str) -> str:
    """The description of a plot for screen readers."""
    found = re.search(r'<svg role="img" aria-label="([^"]*)"', svg)
    assert found
    return found[1]


def curve(svg: str) -> list[tuple[float, float]]:
    """The points of the first curve, in the plot's coordinates, which grow to the right and down."""
    path, *_legend = re.findall(r'<path d="([^"]*)"[^>]*style="[^"]*stroke: #1f77b4', svg)
    pairs = re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path)
    return [(float(x), float(y)) for x, y in pairs]


def test_a_plot_is_drawn_for_each_title_that_has_data_and_no_other() -> None:
    wanted = {"Loss": ["loss"], "KL": ["kl/response"], "Any": ["behaviour/*"]}
    figures = plots(steps({"loss": 2.0, "behaviour/verify": 1.0}), wanted)
    assert [label(svg).partition(":")[0] for svg in figures] == ["Loss", "Any"]
    assert plots([], PPO_PLOTS) == []


def test_a_plot_is_one_svg_element_for_html_that_needs_no_font() -> None:
    (svg,) = plots(steps({"loss": 2.0}, {"loss": 1.0}), SFT_PLOTS)
    assert svg.startswith("<svg") and ElementTree.fromstring(svg).tag.endswith("svg")
    assert "font-family" not in svg


def test_the_curve_has_a_point_for_each_step_that_has_the_key() -> None:
    rising = [{"kl/response": 0.0}, {}, {"kl/response": 1.0}, {"kl/response": 3.0}]
    (svg,) = plots(steps(*rising), {"KL": ["kl/response"]})
    (x1, y1), (x3, y3), (x4, y4) = curve(svg)
    assert round((x3 - x1) / (x4 - x3), 3) == 2, "step 2 is missing, and leaves its gap"
    assert round((y1 - y4) / (y1 - y3), 3) == 3, "values are drawn to scale, upwards"


def test_shares_have_an_axis_from_0_to_1_and_other_numbers_their_own() -> None:
    half = steps({"correctness/mean": 0.5, "loss": 0.5}, {"correctness/mean": 0.75, "loss": 0.75})

    def height(key: str) -> float:
        (svg,) = plots(half, {"x": [key]})
        (_, before), (_, after) = curve(svg)
        return before - after

    assert height("loss") > 3 * height("correctness/mean")


def test_a_single_step_is_a_dot_that_can_be_seen() -> None:
    (one,) = plots(steps({"loss": 2.0}), SFT_PLOTS)
    (two,) = plots(steps({"loss": 2.0}, {"loss": 1.0}), SFT_PLOTS)
    marker = "fill: #1f77b4"
    assert marker in one and marker not in two


def test_a_plot_says_in_words_where_its_curves_begin_and_end() -> None:
    data = steps({"exploration/length/mean": -0.25}, {"exploration/length/mean": -0.125})
    (svg,) = plots(data, PPO_PLOTS)
    assert label(svg) == "Exploration: length from -0.25 to -0.125"

    pair = {"exploration/length/corr_tokens": 0.9, "exploration/length/corr_correctness": -0.1}
    (svg,) = plots(steps(pair), PPO_PLOTS)
    assert "length and tokens from 0.9 to 0.9; length and correctness" in label(svg)


def test_what_a_plugin_is_called_cannot_leave_the_attribute() -> None:
    (svg,) = plots(steps({'exploration/"><script>/mean': 1.0}), PPO_PLOTS)
    assert "<script>" not in svg and "&lt;script&gt;" in svg


def test_correctness_and_exploration_are_never_in_one_plot() -> None:
    both = {"correctness/mean": 0.5, "exploration/length/mean": -0.5}
    assert [label(svg) for svg in plots(steps(both), PPO_PLOTS)] == [
        "Correctness: correctness from 0.5 to 0.5",
        "Exploration: length from -0.5 to -0.5",
    ]


def test_the_same_numbers_are_the_same_text() -> None:
    data = steps({"loss": 2.0}, {"loss": 1.0})
    assert plots(data, SFT_PLOTS) == plots(data, SFT_PLOTS)


def test_steps_are_counted_from_0_in_files_and_from_1_in_tables() -> None:
    found = steps_of([{"step": 0, "loss": 2.0}, {"step": 4, "loss": 1.0, "kl": 0.1}])
    assert [step.number for step in found] == [1, 5] and keys_of(found) == ["loss", "kl"]
    assert span(3, 3) == "3" and span(3, 8) == "3-8"


def test_the_table_of_ppo_has_at_most_eight_rows_of_means() -> None:
    data = steps(*({"correctness/mean": number / 10} for number in range(10)))
    table = ppo_table(data)
    assert [row[0] for row in table.rows] == ["1-2", "3-4", "5-6", "7-8", "9-10"]
    assert [row[1] for row in table.rows] == ["0.050", "0.250", "0.450", "0.650", "0.850"]
    assert len(ppo_table(data[:8]).rows) == 8 and ppo_table([]).rows == []
