"""The traces of a round: solutions of the last round's model, of which the right ones are kept."""

import json
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from rlsp_cli import __version__
from rlsp_cli.data import recipe_problems, recipe_traces, source_rows
from rlsp_cli.data.formats import Columns
from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.errors import DataError
from rlsp_cli.evals.benches import Bench
from rlsp_cli.evals.overlap.against import compared_bench, index_of, whole_bench
from rlsp_cli.evals.overlap.index import same_text
from rlsp_cli.evals.samplers import Sampler
from rlsp_cli.evals.stage import RenderPrompt
from rlsp_cli.recipe.rows import Rows
from rlsp_cli.rewards.models import NO_MODELS, Addresses
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.rewards.selection import Selector
from rlsp_cli.runs.clock import now
from rlsp_cli.runs.rounds import RoundNumbers
from rlsp_cli.runs.stream import write_lines
from rlsp_cli.traces.balance import Settings, balance_score, best
from rlsp_cli.traces.balance import selected as above_threshold
from rlsp_cli.traces.card import DataCard, Source
from rlsp_cli.traces.filters import (
    Filter,
    above,
    apart_from,
    by_length,
    converted,
    count_words,
    run_filters,
    selected,
    unknown,
    verified,
)
from rlsp_cli.traces.output import digest_of, identity_of, write_traces
from rlsp_cli.traces.pairing import judged, paired
from rlsp_cli.traces.rejection import count_tokens
from rlsp_cli.traces.round import Round
from rlsp_cli.traces.solver import Solved, SolvedBySearch, Solver
from rlsp_cli.traces.tally import Filtered, Tally
from rlsp_cli.traces.teacher import Teacher
from rlsp_cli.traces.trees import Ends, TreeSampler, count_tree_tokens, tree_sampler, values
from rlsp_cli.traces.trees.rows import StepTrace, pair_of

_TARGET = 8
"""n* of the balance score where the recipe has no `tune`, as in B-STaR."""


def make_round_traces(
    round: Round, sampler: Sampler, render: RenderPrompt, models: Addresses = NO_MODELS
) -> RoundNumbers:
    """Write traces.jsonl with its card, and numbers.json; what was sampled stays in `drafts`.

    traces.jsonl has the rows of the rounds before, too. `models` are those that plugins and the
    teacher ask. DataError where nothing right and new is left; NotReadyError where a bench cannot
    be compared, or the teacher does not answer.
    """
    round.paths.metrics.unlink(missing_ok=True)
    try:
        return _make(round, sampler, render, models)
    except DataError as error:
        raise DataError(f"{error}; all that was sampled is in {round.drafts}") from error


def _make(round: Round, sampler: Sampler, render: RenderPrompt, models: Addresses) -> RoundNumbers:
    benches = _benches(round)
    problems = _problems(round, benches)
    problems.tally.refuse_nothing()

    teacher = _teacher(round, models)
    with ExitStack() as running:
        scorer = running.enter_context(Scorer(round.recipe.reward, round.recipe.plugins, models))
        trees = running.enter_context(_trees(round, sampler, render, scorer, models))
        solver = Solver(round, sampler, render, scorer, teacher, trees)
        tried = solver.tune(problems.rows)
        settings = best(tried) if tried else round.given

        drawn = solver.solve(problems.rows, settings)
        hinted = solver.rationalize(drawn, settings)
        taught = solver.teach([drawn, hinted])
        solutions = [*drawn.solutions, *hinted.solutions, *taught.solutions]
        if not solutions:
            drawn.tally.refuse_nothing()

        earlier = _earlier(round)
        with _filters(round, settings, solver, earlier, models) as filters:
            new, tallies = run_filters(solutions, filters)

    valued = _write_values(round, render, drawn) if round.rounds.scorer else 0
    rows = [*earlier, *new]
    drawn_tokens = count_tokens(round.drafts) + count_tree_tokens(round.drafts)
    numbers = replace(
        _numbers(round, settings, drawn),
        rationalized=hinted.right,
        taught=taught.right,
        new=len(new),
        traces=len(rows),
        tokens=drawn_tokens + (teacher.tokens if teacher else 0),
        values=valued,
        tried=[{**one.settings.to_json(), "balance": one.score} for one in tried],
    )
    numbers.write(round.numbers)
    write_traces(
        round.traces, _card(round, benches, settings, [problems.tally, drawn.tally, *tallies], rows)
    )
    return numbers


@contextmanager
def _trees(
    round: Round, sampler: Sampler, render: RenderPrompt, scorer: Scorer, models: Addresses
) -> Iterator[TreeSampler | None]:
    """The search of the recipe, while its scorer's processes run; None without one."""
    recipe, search = round.recipe, round.rounds.search
    if search is None:
        yield None
        return

    sampling = round.sampling(round.given)
    with tree_sampler(
        sampler,
        search,
        model=round.model,
        reward=recipe.reward,
        verify=scorer.verify,
        prompt=partial(round.prompt, render),
        folder=round.drafts,
        decoding=sampling.decoding(round.seed),
        files=recipe.plugins,
        models=models,
        system=recipe.data.system,
        tick=partial(round.tick, "problems searched"),
    ) as trees:
        yield trees


def _benches(round: Round) -> list[Bench]:
    """Whole, whatever `eval.limit` says: a row must not be in any part of a bench."""
    assert round.recipe.eval, "checked by the recipe"
    return [whole_bench(name, round.recipe) for name in round.recipe.eval.benches]


def _problems(round: Round, benches: Sequence[Bench]) -> Filtered:
    """The first of the recipe's prompts, each text once, without those that are in a bench."""
    rows: dict[str, RawTrace] = {}
    for number, problem in enumerate(recipe_problems(round.recipe), 1):
        place = f"data.prompts:{number}"
        row = RawTrace(place, problem.id, problem.problem, "", problem.answer, problem.metadata)
        rows.setdefault(problem.problem, row)
    some = list(rows.values())[: round.rounds.problems]
    return apart_from(some, index_of(benches))


def _earlier(round: Round) -> list[RawTrace]:
    """The traces of the rounds before."""
    if round.earlier is None:
        return []

    rows = source_rows(Rows(source=str(round.earlier)))
    columns = Columns("prompt", "chosen") if round.prefers else Columns()
    found = converted(rows, "earlier", "plain", columns).rows
    if round.prefers:
        found = list(map(pair_of, found))
    return by_length(found, count_words, 0, None).rows


@contextmanager
def _filters(
    round: Round,
    settings: Settings,
    solver: Solver,
    earlier: Sequence[RawTrace],
    models: Addresses,
) -> Iterator[list[Filter]]:
    """The filters of a round in their order, with the selector's processes."""
    with ExitStack() as running:
        filters = _choosing(round, solver, models, running)
        if settings.threshold is not None:
            filters.append(partial(above, reward=solver.reward, least=settings.threshold))
        filters.append(partial(by_length, count=count_words, shortest=0, longest=None))
        if round.pairs_solutions:
            filters.append(partial(judged, verdict=solver.verdict))
            filters.append(partial(paired, verdict=solver.verdict, most=settings.samples))
        filters.append(partial(unknown, known=_known(round, earlier)))
        yield filters


def _choosing(round: Round, solver: Solver, models: Addresses, running: ExitStack) -> list[Filter]:
    """The selector, if there is one, and the verifier: pairs need wrong solutions too."""
    recipe, use, wrong = round.recipe, round.rounds.select, round.pairs_solutions
    if use is None:
        return [] if wrong else [partial(verified, verify=solver.verify)]

    selector = running.enter_context(Selector(use, recipe.reward, recipe.plugins, models))
    return [partial(selected, selector=selector, verify=solver.verify, keep_wrong=wrong)]


def _known(round: Round, earlier: Sequence[RawTrace]) -> set[tuple[str, str]]:
    """Problems with a solution that the recipe or a round before has."""
    known = {(same_text(row.problem), row.learned) for row in earlier}
    if round.recipe.data.traces:
        given = recipe_traces(round.recipe)
        known |= {(same_text(trace.prompt), trace.response.strip()) for trace in given}
    return known


def _write_values(round: Round, render: RenderPrompt, drawn: Solved) -> int:
    """Write the step values of all trees, and say of how many responses."""
    assert isinstance(drawn, SolvedBySearch) and round.rounds.search, "checked by the recipe"
    found: list[StepTrace] = []
    for row in drawn.problems:
        ends, prompt = drawn.ends.get(row.problem, Ends([])), round.prompt(render, row.problem)
        found += values(row, ends, prompt, round.rounds.search.backup)

    write_lines(
        round.values, (json.dumps(row.to_row(), ensure_ascii=False) + "\n" for row in found)
    )
    return len(found)


def _numbers(round: Round, settings: Settings, drawn: Solved) -> RoundNumbers:
    """What was sampled without help."""
    groups = drawn.groups()
    right = [len({one.text for one in group if one.is_right}) for group in groups]
    solved = [count for count in right if count]
    target = round.rounds.tune.target if round.rounds.tune else _TARGET

    return RoundNumbers(
        temperature=settings.temperature,
        samples=settings.samples,
        threshold=settings.threshold,
        problems=len(groups),
        responses=drawn.responses,
        right=drawn.right,
        solved=len(solved),
        distinct=statistics.fmean(solved) if solved else 0.0,
        balance=balance_score([above_threshold(group, settings) for group in groups], target),
    )


def _teacher(round: Round, models: Addresses) -> Teacher | None:
    rounds = round.rounds
    if rounds.teacher is None:
        return None

    file, system = round.drafts / "lessons.jsonl", round.recipe.data.system
    address = models[rounds.teacher]
    return Teacher(rounds.teacher, address, file, rounds.max_new_tokens, system)


def _card(
    round: Round,
    benches: Sequence[Bench],
    settings: Settings,
    tallies: Sequence[Tally],
    rows: Sequence[RawTrace],
) -> DataCard:
    recipe = round.recipe
    names = [source.source for source in recipe.data.prompt_sources]
    sources = [Source(name, "prompts", tallies[0].before, identity_of(name)) for name in names]
    if round.earlier is not None:
        name = str(round.earlier)
        sources.append(Source(name, "plain", len(rows) - tallies[-1].after, identity_of(name)))

    return DataCard(
        file=round.traces.name,
        sha256=digest_of(rows),
        created=now(),
        version=__version__,
        command=f"rlsp run {recipe.name}, round {round.number}",
        sources=sources,
        sampling=round.sampling(settings),
        search=round.rounds.search,
        verifier=recipe.reward.correctness.model_dump(mode="json"),
        length_unit="words",
        benches=[compared_bench(bench) for bench in benches],
        filters=tallies,
        rows=rows,
    )
