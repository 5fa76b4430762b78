"""The benches that an evaluation names: their files, their data, and the benches themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rlsp_cli.evals.benches.bench import Bench
from rlsp_cli.evals.benches.bench_file import (
    SAMPLING_KEYS,
    BenchFile,
    Sampling,
    completed,
    find_bench,
)
from rlsp_cli.evals.benches.protocol_file import Rules, find_protocol, with_rules
from rlsp_cli.evals.benches.source import given_data, is_changed, read_bench, read_problems
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.rows import Prompts
from rlsp_cli.recipe.schema import Recipe

HELDOUT = "heldout"
"""The bench that is the recipe's own `data.heldout`, and has no file."""


@dataclass(frozen=True)
class BenchSpec:
    """A bench's file, with what the protocol that was asked for says instead.

    `like` and `rules` are that protocol's name and its rules for this bench.
    """

    file: BenchFile
    like: str | None = None
    rules: Rules | None = None


class Benches:
    """What the names in `eval.benches` mean under these settings.

    `files` are the recipe's plugin files. Data is read from `eval.data`, RLSP_DATA_DIR or the
    bench's source, in this order.
    """

    def __init__(self, settings: Eval, data: Data | None = None, files: Sequence[str] = ()) -> None:
        self.settings, self.data, self.files = settings, data or Data(), files

    @classmethod
    def of(cls, recipe: Recipe) -> "Benches":
        """The benches of a recipe that evaluates."""
        assert recipe.eval, "checked by the recipe"
        return cls(recipe.eval, recipe.data, recipe.plugins)

    def is_heldout(self, name: str) -> bool:
        """Whether the name means the recipe's own data."""
        return name == HELDOUT and self.data.heldout is not None

    def names(self) -> list[str]:
        """The benches' names in results; RecipeError for an unknown one."""
        # `./folder/mine.yaml` is called what its file says.
        benches = self.settings.benches
        return [name if self.is_heldout(name) else find_bench(name).name for name in benches]

    def spec(self, name: str) -> BenchSpec:
        """The file of a bench; RecipeError if there is none, or the protocol does not cover it."""
        file = find_bench(name)
        if self.settings.protocol is None:
            return BenchSpec(file)

        protocol = find_protocol(self.settings.protocol)
        rules = protocol.rules(file.name)
        return BenchSpec(with_rules(file, rules, protocol.name), protocol.name, rules)

    def sampling(self, name: str) -> Sampling:
        """How responses are drawn: as the settings say, else the protocol, else the bench."""
        drawn = Sampling() if name == HELDOUT else self.spec(name).file.sampling
        return drawn.under(self.settings)

    def prompts(self, name: str) -> Prompts:
        """Where `load` reads a bench.

        RecipeError for an unknown name, NotReadyError for a folder without it.
        """
        if name == HELDOUT and self.data.heldout:
            return self.data.heldout

        file = find_bench(name)
        return given_data(file, self.settings) or file.prompts

    def load(self, name: str) -> Bench:
        """The bench with its problems, the first `eval.limit` of them.

        DataError if the bench's own source holds other problems than its file says; `changed` says
        so of given data.
        """
        if self.is_heldout(name):
            return self._heldout(name)

        spec = self.spec(name)
        file = completed(spec.file)

        given = given_data(file, self.settings)
        problems = read_bench(file, given, self.files)
        source = (given or file.prompts).source

        return Bench(
            name=file.name,
            problems=problems[: self.settings.limit],
            source=source,
            template=self.data.template if self._has_own_prompt else file.prompt.template,
            system=self.data.system or (None if self._has_own_prompt else file.prompt.system),
            prompt_from=self._prompt_from(spec.rules),
            verifier=file.verifier,
            sampling=file.sampling.under(self.settings),
            changed=is_changed(file, problems, source, is_given=given is not None),
            like=spec.like,
            differs=(*spec.rules.differs, *self._departures(spec.rules)) if spec.rules else (),
        )

    def _heldout(self, name: str) -> Bench:
        prompts = self.prompts(name)
        problems = read_problems(name, prompts, self.files)[: self.settings.limit]

        # Prompt and verifier are the recipe's: these rows are its own data, kept out of training.
        sampling = self.sampling(name)
        return Bench(
            name, problems, prompts.source, self.data.template, self.data.system, sampling=sampling
        )

    @property
    def _has_own_prompt(self) -> bool:
        """Whether the recipe gives a prompt."""
        # A model that this recipe trained must be asked as it was trained, whatever the bench says.
        return self.data.template != Data().template

    def _prompt_from(self, rules: Rules | None) -> str:
        if self._has_own_prompt:
            return "recipe"
        return "protocol" if rules and rules.template else "bench"

    def _departures(self, rules: Rules) -> Iterator[str]:
        """Where the recipe or the command line says something else than the protocol does."""
        # Nothing else can be said of them: their prompts and sampling are not known.
        if self.settings.responses is not None:
            yield "the responses were given: how they were asked for and drawn is not known"
            return
        if self._has_own_prompt and (rules.template or rules.system):
            yield "the prompt is the recipe's"
        if self.data.system and self.data.system != rules.system:
            yield "the system message is the recipe's"
        for key in SAMPLING_KEYS:
            ours, theirs = getattr(self.settings, key), getattr(rules, key)
            # What the protocol leaves open is the bench's or ours, and no departure from it.
            if None not in (ours, theirs) and ours != theirs:
                yield f"{key} is {ours}, theirs {theirs}"
