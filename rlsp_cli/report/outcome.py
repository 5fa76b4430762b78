"""What an evaluation came to, in one sentence for each bench."""

from rlsp_cli.evals.compare import Comparison
from rlsp_cli.evals.metrics import Metrics
from rlsp_cli.evals.results import Results
from rlsp_cli.report.cells import percent_cell
from rlsp_cli.report.evaluation import KINDS, of_problems


def outcome(results: Results) -> list[str]:
    """A sentence for each bench: the last model beside the one before it, or alone."""
    if not results.models:
        return []

    # Models are in the order of the stages, so the last is what the run was for.
    last = list(results.models)[-1]
    sentences = [_sentence(results, last, bench) for bench in results.models[last].benches]
    return [sentence for sentence in sentences if sentence]


def _sentence(results: Results, model: str, bench: str) -> str | None:
    """About greedy responses, or else about sampled ones; None if nothing was scored."""
    for comparison in results.comparisons:
        if (comparison.after, comparison.bench) == (model, bench):
            return _difference(results, comparison)

    # Greedy comes before sampled in the decodings.
    result = results.models[model].benches[bench]
    for kind, metrics in result.decodings.items():
        if metrics.accuracy is None:
            continue

        where = f"{bench}{of_problems(metrics, result)}, {KINDS[kind]}"
        low, high = percent_cell(metrics.accuracy.low), percent_cell(metrics.accuracy.high)
        return f"{model} answers {_percent(metrics)} of {where} (95% interval {low} to {high})"
    return None


def _difference(results: Results, comparison: Comparison) -> str:
    before, after, moved = comparison.before, comparison.after, comparison.moved
    now, then = _accuracy(results, comparison, after), _accuracy(results, comparison, before)
    how = f"on {comparison.bench}, {KINDS[comparison.kind]} ({now} against {then})"
    if moved.verdict == "cannot be told apart":
        return f"{after} and {before} cannot be told apart {how}"

    which = "more" if moved.verdict == "better" else "fewer"
    points = f"{abs(100 * moved.difference):.1f} points {which}"
    return f"{after} answers {points} than {before} {how}"


def _accuracy(results: Results, comparison: Comparison, model: str) -> str:
    return _percent(results.models[model].benches[comparison.bench].decodings[comparison.kind])


def _percent(metrics: Metrics) -> str:
    return f"{percent_cell(metrics.avg)} %"
