"""Writes docs/run.svg, the picture of the README, from the files of a run: `make picture RUN=runs/quickstart/TIME`."""

import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from rlsp_cli.runs.paths import StagePaths

WIDTH, HEIGHT = 860, 350
LINE, COLUMNS = 17, 112
"""Pixels of a line of text, and characters in it."""

HEAD = f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img"
 aria-label="Right answers and tokens of each response over the steps of PPO, and a response before and after it">
<style>
  text {{ font: 13px system-ui, sans-serif; fill: #1f2328 }}
  .title {{ font-weight: 600 }}
  .small {{ font-size: 11px; fill: #656d76 }}
  .mono {{ font: 12px ui-monospace, monospace }}
  .grid {{ stroke: #d1d9e0 }}
  .right {{ stroke: #0969da }} .tokens {{ stroke: #bc4c00 }}
  polyline {{ fill: none; stroke-width: 2.5; stroke-linejoin: round }}
  @media (prefers-color-scheme: dark) {{
    text {{ fill: #e6edf3 }} .small {{ fill: #9198a1 }} .grid {{ stroke: #3d444d }}
    .right {{ stroke: #58a6ff }} .tokens {{ stroke: #f0883e }}
  }}
</style>
"""


def picture(run: Path) -> str:
    """The whole SVG: two curves, and a problem that the model answers before and after PPO."""
    steps = _rows(run / "ppo" / "metrics.jsonl")
    right = [100 * step["correctness/mean"] for step in steps]
    tokens = [step["response/tokens"] for step in steps]
    parts = [
        *_chart(40, "Right answers in training, %", right, 100, "right"),
        *_chart(470, "Tokens of a response", tokens, 20 * -(-max(tokens) // 20), "tokens"),
        *_before_and_after(run),
    ]
    return HEAD + "\n".join(parts) + "\n</svg>\n"


def _chart(left: int, title: str, values: Sequence[float], top: float, name: str) -> Iterator[str]:
    """A curve from 0 to `top` over the steps, 350 by 130 pixels."""
    low, width, height = 170, 350, 130
    yield f'<text class="title" x="{left}" y="20">{title}</text>'
    for level in (0, top / 2, top):
        y = low - height * level / top
        yield f'<line class="grid" x1="{left}" x2="{left + width}" y1="{y}" y2="{y}"/>'
        yield f'<text class="small" x="{left - 6}" y="{y + 4}" text-anchor="end">{level:.0f}</text>'

    places = [left + width * n / (len(values) - 1) for n in range(len(values))]
    dots = " ".join(
        f"{x:.1f},{low - height * y / top:.1f}" for x, y in zip(places, values, strict=True)
    )
    yield f'<polyline class="{name}" points="{dots}"/>'
    yield f'<text class="small" x="{left}" y="{low + 18}">step 1</text>'
    yield (
        f'<text class="small" x="{left + width}" y="{low + 18}" text-anchor="end">'
        f"step {len(values)} of PPO</text>"
    )


def _before_and_after(run: Path) -> Iterator[str]:
    """The first held-out problem that is right after PPO alone, where the search is longest."""
    sft, ppo = (_greedy(run, model) for model in ("sft", "ppo"))
    gained = [
        id for id in sft if not sft[id]["correctness"]["value"] and ppo[id]["correctness"]["value"]
    ]
    chosen = max(gained, key=lambda id: ppo[id]["num_tokens"])
    y = 222
    yield f'<text class="title" x="14" y="{y}">{escape(sft[chosen]["problem"])}</text>'
    for title, answers in (("After SFT", sft), ("After PPO", ppo)):
        y += LINE + 5
        yield f'<text class="small" x="14" y="{y}">{title}</text>'
        for line in textwrap.wrap(answers[chosen]["response"], COLUMNS):
            y += LINE
            yield f'<text class="mono" x="14" y="{y}">{escape(line)}</text>'
    assert y < HEIGHT, "the responses are longer than the picture"


def _greedy(run: Path, model: str) -> dict[str, dict[str, Any]]:
    rows = _rows(StagePaths(run / "eval").answers(model, "heldout").samples)
    return {row["id"]: row for row in rows if row["kind"] == "greedy"}


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


if __name__ == "__main__":
    print(picture(Path(sys.argv[1])), end="")
