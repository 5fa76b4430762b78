"""Another harness's protocol as a YAML file: prompts, sampling, verifiers, and what differs.

`differs` lists what the harness does and rlsp does not, so that a number is not taken for theirs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from rlsp_cli.errors import RecipeError
from rlsp_cli.evals.benches.bench_file import SAMPLING_KEYS, BenchFile, Prompt
from rlsp_cli.evals.benches.shipped import file_path, shipped_files
from rlsp_cli.recipe.load import read_section
from rlsp_cli.recipe.plugin_use import PluginUse
from rlsp_cli.recipe.section import NonNegativeInt, Section


class Rules(Section):
    """What a protocol says of a bench; where it says nothing, the bench's own file counts."""

    template: str | None = None
    """Text of the user's turn; `{problem}` stands for the problem."""
    system: str | None = None
    """System message, for models whose tokenizer has a chat template."""
    samples: NonNegativeInt | None = None
    """Sampled responses per problem; 0 for greedy only."""
    greedy: bool | None = None
    """Also decode one greedy response per problem."""
    temperature: PositiveFloat | None = None
    """Sampling temperature."""
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    """Nucleus sampling."""
    max_new_tokens: PositiveInt | None = None
    """Longest response in tokens."""
    verifier: PluginUse | None = None
    """What judges a response."""
    differs: tuple[str, ...] = ()
    """What the protocol does with this bench and rlsp does not."""

    @field_validator("template")
    @classmethod
    def _holds_the_problem(cls, template: str | None) -> str | None:
        if template is not None and "{problem}" not in template:
            raise ValueError("the template must hold {problem}")
        return template


class ProtocolFile(Section):
    """One protocol."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Its name in results."""
    description: str
    """One line for `rlsp benches protocols`."""
    source: tuple[str, ...]
    """Where the values were read: paper, repository with path and version, address."""
    every_bench: Rules | None = None
    """Rules for every bench; without them the protocol covers only the benches that it names."""
    benches: Mapping[str, Rules] = {}
    """Rules for single benches, which take precedence."""
    differs: tuple[str, ...] = ()
    """What the protocol does and rlsp does not, on every bench."""

    @model_validator(mode="after")
    def _knows_a_bench(self) -> "ProtocolFile":
        if self.every_bench is None and not self.benches:
            raise ValueError("the protocol says nothing of any bench; give every_bench or benches")
        return self

    def rules(self, bench: str) -> Rules:
        """What it says of a bench; RecipeError when that is nothing."""
        if self.every_bench is None and bench not in self.benches:
            raise RecipeError(
                f"protocol {self.name} says nothing of {bench}; it knows {', '.join(self.benches)}"
            )

        common, own = self.every_bench or Rules(), self.benches.get(bench, Rules())

        # Only keys that were written: a default must not replace what every_bench says.
        said = {key: getattr(own, key) for key in own.model_fields_set}
        differs = (*self.differs, *common.differs, *own.differs)
        return common.model_copy(update={**said, "differs": differs})


def shipped_protocols() -> dict[str, Path]:
    """The files of the protocols that come with rlsp, by name."""
    return shipped_files("protocols")


def protocol_path(name: str) -> Path:
    """The file of a protocol: `./file.yaml`, or a shipped one by name; RecipeError otherwise."""
    return file_path("protocol", name, shipped_protocols())


def find_protocol(name: str) -> ProtocolFile:
    """The protocol of a shipped name or a file; RecipeError lists all that is wrong with it."""
    return read_section(protocol_path(name), ProtocolFile)


def with_rules(file: BenchFile, rules: Rules, protocol: str) -> BenchFile:
    """The bench's file with what the protocol of this name says instead."""
    origin = f"protocol {protocol}"
    drawn = rules.model_dump(include=set(SAMPLING_KEYS), exclude_none=True)
    sampling = file.sampling.model_copy(update={**drawn, "origin": origin})

    # A template replaces the whole prompt: the bench's system message goes with its own template.
    prompt = file.prompt
    if rules.template is not None:
        prompt = Prompt(template=rules.template, system=rules.system, origin=origin)
    elif rules.system is not None:
        prompt = prompt.model_copy(update={"system": rules.system, "origin": origin})

    verifier = rules.verifier or file.verifier
    return file.model_copy(update={"prompt": prompt, "verifier": verifier, "sampling": sampling})
