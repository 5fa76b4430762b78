"""Every problem once for each strategy of solving it."""

from typing import Any

from rlsp_cli.rewards import row_shape


@row_shape
def each_strategy(
    row: dict[str, Any],
    *,
    problem: str = "problem",
    strategies: tuple[str, ...] = (
        "Solve it step by step.",
        "Split it into smaller problems, and solve them in their order.",
        "Write equations for it, and solve them.",
    ),
) -> list[dict[str, Any]]:
    """A row for each strategy, with its words below the problem and in the column `strategy`.

    SMART (2410.16128) lets a model choose among strategies, and trains its first choice; the words
    of the strategies are ours.
    """
    if problem not in row:
        raise ValueError(f"no column {problem!r}; its columns: {', '.join(row)}")

    rows = []
    for strategy in strategies:
        asked = f"{row[problem]}\n\n{strategy}"
        rows.append({**row, problem: asked, "strategy": strategy})
    return rows
