"""A probe: the problems of a bench with help from a row function, such as a plan that is given."""

from collections.abc import Sequence
from dataclasses import replace

from rlsp_cli.data import Row, RowFunction, problems_of
from rlsp_cli.evals.benches.bench import Bench
from rlsp_cli.recipe.rows import Prompts, RowUse


def probed(bench: Bench, use: RowUse, files: Sequence[str]) -> Bench:
    """The bench `BENCH+FUNCTION`, whose problems the row function makes of this bench's.

    The function sees a row with `id`, `problem`, `answer` and all other columns that the problem
    came with. DataError if it makes no row of one. `files` are the recipe's plugin files.
    """
    columns = Prompts(source=bench.source)
    function = RowFunction.of(use, columns.id, files)

    problems = []
    for number, problem in enumerate(bench.problems):
        own = {"id": problem.id, "problem": problem.problem, "answer": problem.answer}
        row = Row(f"{bench.name}: problem {problem.id}", {**problem.metadata, **own})
        for made in problems_of(function.rows_of(row, number), columns):
            # Problems that were made of one row stay together, whatever a probe makes of each.
            problems.append(replace(made, parent=problem.parent or made.parent))

    name = f"{bench.name}+{probe_name(use)}"
    return replace(bench, name=name, problems=problems, probe_of=bench.name)


def probe_name(use: RowUse) -> str:
    """What a probe is called in results: its function."""
    return use.use.rpartition(":")[2]
