"""Sample solutions of a round's problems, and score them all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from rlsp_cli.data.raw_trace import RawTrace
from rlsp_cli.evals.samplers import Sampler
from rlsp_cli.evals.stage import RenderPrompt
from rlsp_cli.rewards.breaker import refuse_broken
from rlsp_cli.rewards.combine import alpha_of
from rlsp_cli.rewards.sample import Sample, SampleScore, Score, is_right
from rlsp_cli.rewards.scorer import Scorer
from rlsp_cli.traces.balance import Settings, Solution, Tried, all_settings, try_settings
from rlsp_cli.traces.rejection import RejectionSampler
from rlsp_cli.traces.round import Round
from rlsp_cli.traces.tally import Tally, tally
from rlsp_cli.traces.teacher import Teacher
from rlsp_cli.traces.trees import Ends, TreeSampler

_HINT = "{problem}\n\nThe answer is {answer}. Show how to find it."
"""What is asked where no solution is right; the trace keeps the problem as it was."""


@dataclass(frozen=True)
class Solved:
    """Problems with their solutions, all scored."""

    problems: Sequence[RawTrace]
    solutions: Sequence[RawTrace]
    scores: Mapping[tuple[str, str], SampleScore]
    tally: Tally
    responses: int = 0
    """How many responses were asked for, or are whole in the trees of a search."""

    def groups(self) -> list[list[Solution]]:
        """The solutions of each problem."""
        groups: dict[str, list[Solution]] = {row.problem: [] for row in self.problems}
        for row in self.solutions:
            score = self.scores[row.problem, row.solution]
            solution = Solution(row.solution, is_right(score.correctness.value), score.reward)
            groups[row.problem].append(solution)
        return list(groups.values())

    @property
    def right(self) -> int:
        """How many solutions are right."""
        return sum(one.is_right for group in self.groups() for one in group)

    @property
    def solved(self) -> set[str]:
        """The problems with a right solution."""
        verdicts = ((row, self.scores[row.problem, row.solution]) for row in self.solutions)
        return {row.problem for row, score in verdicts if is_right(score.correctness.value)}


@dataclass(frozen=True)
class SolvedBySearch(Solved):
    """The same of a search: `solutions` are what was written of the trees that `ends` has."""

    ends: Mapping[str, Ends] = field(default_factory=dict)

    def groups(self) -> list[list[Solution]]:
        """The whole responses in the tree of each problem."""
        found = [self.ends[row.problem].ends for row in self.problems if row.problem in self.ends]
        return [[Solution(end.text, end.is_right, None) for end in ends] for ends in found]


class Solver:
    """Samples solutions and scores them; keeps the scores of all."""

    def __init__(
        self,
        round: Round,
        sampler: Sampler,
        render: RenderPrompt,
        scorer: Scorer,
        teacher: Teacher | None,
        trees: TreeSampler | None = None,
    ) -> None:
        self.round, self.sampler, self.render, self.scorer = round, sampler, render, scorer
        self.teacher, self.trees = teacher, trees
        self.scores: dict[tuple[str, str], SampleScore] = {}

    def tune(self, problems: Sequence[RawTrace]) -> list[Tried]:
        """The balance score of all settings that the recipe wants tried, on the first problems."""
        rounds = self.round.rounds
        if rounds.tune is None:
            return []

        settings, some = all_settings(rounds, rounds.tune), problems[: rounds.tune.problems]
        most = max(one.samples for one in settings)
        drawn = {}
        for temperature in rounds.tune.temperature:
            solved = self.solve(some, Settings(temperature, most, None), "to tune")
            drawn[temperature] = solved.groups()
        return try_settings(drawn, settings, rounds.tune.target)

    def solve(self, problems: Sequence[RawTrace], settings: Settings, what: str = "") -> Solved:
        """Solutions of the problems, sampled or searched."""
        if self.trees is not None:
            return self._search(self.trees, problems)
        return self._solve(problems, settings, self._prompt, f"problems solved {what}".strip())

    def rationalize(self, before: Solved, settings: Settings) -> Solved:
        """Solutions of problems without a right one, asked with the answer; none if not wanted."""
        wanted, solved = before.problems if self.round.rounds.rationalize else (), before.solved
        unsolved = [row for row in wanted if row.problem not in solved]
        answers = {row.problem: row.answer or "" for row in unsolved}

        def prompt(problem: str) -> str:
            text = _HINT.replace("{answer}", answers[problem])
            return self._prompt(text.replace("{problem}", problem))

        hinted = [replace(row, id=f"{row.id}-hint") for row in unsolved]
        return self._solve(hinted, settings, prompt, "problems solved with a hint")

    def teach(self, before: Sequence[Solved]) -> Solved:
        """The teacher's solutions of problems without a right one; none without a teacher."""
        solved = set().union(*(one.solved for one in before))

        # The first of a problem's solutions; one that was cut off is not among them.
        drawn = reversed(before[0].solutions)
        wrong = {row.problem: row for row in drawn if row.problem not in solved}
        asked = [replace(row, id=f"{row.id}-taught") for row in wrong.values()]
        taught = self.teacher.correct(asked) if self.teacher else []
        self._score(taught)
        return Solved(asked, taught, self.scores, tally("teach", len(asked), len(taught), ()))

    def verify(self, samples: Sequence[Sample]) -> list[Score]:
        """The verdicts that are known."""
        return [self.scores[one.prompt, one.response].correctness for one in samples]

    def verdict(self, row: RawTrace) -> float | None:
        """Whether a solution is right, from 0 to 1; None without a verdict."""
        return self.scores[row.problem, row.solution].correctness.value

    def reward(self, row: RawTrace) -> float | None:
        """The mixed reward of a solution; None if a component has no value."""
        return self.scores[row.problem, row.solution].reward

    def _solve(
        self,
        problems: Sequence[RawTrace],
        settings: Settings,
        prompt: Callable[[str], str],
        what: str,
    ) -> Solved:
        sampler = RejectionSampler(
            self.sampler,
            self.round.sampling(settings),
            prompt,
            self.round.drafts,
            self.round.recipe.data,
            partial(self.round.tick, what),
            self.round.seed,
        )
        found = sampler.sample(problems)
        self._score(found.rows)
        asked = len(problems) * settings.samples
        return Solved(problems, found.rows, self.scores, found.tally, asked)

    def _search(self, trees: TreeSampler, problems: Sequence[RawTrace]) -> SolvedBySearch:
        found = trees.sample(problems)
        self._judge(found.filtered.rows)
        whole = sum(len(tree.ends) for tree in found.ends.values())
        rows, tally = found.filtered
        return SolvedBySearch(problems, rows, self.scores, tally, whole, found.ends)

    def _judge(self, rows: Sequence[RawTrace]) -> None:
        """Verdicts alone: a chain has no number of tokens, which other rewards may ask for."""
        samples = [
            Sample(row.problem, row.solution, row.answer, row.id, row.metadata) for row in rows
        ]
        scores = [SampleScore(verdict, (), None) for verdict in self.scorer.verify(samples)]
        refuse_broken(samples, scores, self.round.recipe.reward)
        for sample, score in zip(samples, scores, strict=True):
            self.scores[sample.prompt, sample.response] = score

    def _score(self, rows: Sequence[RawTrace]) -> None:
        new = {(row.problem, row.solution): row for row in rows}
        samples = [
            Sample(row.problem, row.solution, row.answer, row.id, row.metadata, row.length)
            for key, row in new.items()
            if key not in self.scores
        ]
        scores = self.scorer.score(samples, alpha_of(self.round.recipe, 0))
        refuse_broken(samples, scores, self.round.recipe.reward)
        for sample, score in zip(samples, scores, strict=True):
            self.scores[sample.prompt, sample.response] = score

    def _prompt(self, problem: str) -> str:
        return self.round.prompt(self.render, problem)
