"""The recipe as frozen pydantic models: here the whole, and a section in each file beside this one.

The text below each field is its line in docs/recipe.md. Nothing of the schema imports torch or reads
files; `load.py` turns YAML into a `Recipe`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, model_validator

from rlsp_cli.recipe.backend_environment import BackendEnvironment
from rlsp_cli.recipe.cluster import Cluster
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.data import Data
from rlsp_cli.recipe.eval import Eval
from rlsp_cli.recipe.model import Model
from rlsp_cli.recipe.named_model import NamedModel
from rlsp_cli.recipe.origin import DEFAULT, Origin, nearest_origin
from rlsp_cli.recipe.ppo import Ppo
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.recipe.rounds import Rounds
from rlsp_cli.recipe.section import Section
from rlsp_cli.recipe.sft import Sft
from rlsp_cli.recipe.sweep import Sweep
from rlsp_cli.recipe.tracking import Tracking


class Recipe(Section):
    """One training run: data, rewards and stages, which run in the order sft, ppo, eval."""

    schema_version: Literal[1] = 1
    """Version of this schema."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Short name; the run folder is runs/<name>/<id>."""
    description: str = ""
    """One line about the recipe."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of initial weights, data order and sampling."""
    plugins: tuple[str, ...] = ()
    """Python files with plugins, whose names can then be used."""

    # What every stage uses.
    model: Model = Model()
    """The language model; every stage that trains or decodes needs one."""
    models: dict[str, NamedModel] = Field(default_factory=dict)
    """Other models, by the names that options of plugins and `ppo.teacher` use: `prm`, `judge`."""
    data: Data = Data()
    """Traces, prompts and held-out problems."""
    reward: Reward = Reward()
    """Verifier, exploration rewards and their mixture."""
    continuation: ContinuationUse | None = None
    """What answers between the model's words: a tool, a critic, a game; see docs/turns.md."""

    # The stages.
    sft: Sft | None = None
    """Supervised fine-tuning; only if given."""
    ppo: Ppo | None = None
    """Reinforcement learning; only if given."""
    eval: Eval | None = None
    """Evaluation; only if given."""
    rounds: Rounds | None = None
    """Repeat the stages on the model's own right solutions to `data.prompts`; only if given."""

    # Where they run.
    cluster: Cluster = Cluster()
    """Machines and launcher."""
    tracking: Tracking = Tracking()
    """Experiment trackers."""
    backends: dict[Literal["axolotl", "openrlhf"], BackendEnvironment] = Field(default_factory=dict)
    """Environments of backends, by name; also in `rlsp.toml`."""

    @model_validator(mode="after")
    def _stages_have_what_they_need(self) -> "Recipe":
        # Responses from a file are scored without any model.
        decodes = self.eval is not None and self.eval.responses is None
        if (self.sft or self.ppo or decodes) and not (self.model.path or self.model.from_scratch):
            raise ValueError("no model: give model.path or model.from_scratch")
        if self.ppo and self.ppo.advantages == "separate" and not self.reward.is_linear:
            raise ValueError(
                "ppo.advantages: separate mixes by alpha; it needs reward.combine: rlsp"
            )
        if self.ppo and self.reward.is_dense and self.ppo.divides_mixture:
            # Equal rewards in a group would divide the values of its steps by 0.
            raise ValueError(
                "group_norm divides by the spread of whole rewards, and steps.dense pays parts of"
                " them; set ppo.advantages: separate"
            )

        if self.sft and not self.rounds and not getattr(self.data, self.sft.role):
            kind = "" if self.sft.kind == "sft" else f".kind: {self.sft.kind}"
            raise ValueError(f"sft{kind} needs data.{self.sft.role}")
        if self.trains_prm and (self.ppo or self.eval):
            raise ValueError(
                "sft.kind: prm trains a scorer, which answers nothing: give ppo and eval a recipe "
                "of their own, and name the trained scorer in its models"
            )
        if self.ppo and not self.data.prompts:
            raise ValueError("ppo needs data.prompts")
        if self.ppo and self.ppo.eval_every and not self.data.heldout:
            raise ValueError("ppo.eval_every needs problems to evaluate on; give data.heldout")
        if self.eval and "heldout" in self.eval.benches and not self.data.heldout:
            raise ValueError("the bench 'heldout' needs data.heldout")
        return self

    @model_validator(mode="after")
    def _rounds_have_what_they_need(self) -> "Recipe":
        if self.rounds is None:
            return self

        lacks = {
            "sft": self.sft is None,
            "data.prompts": not self.data.prompts,
            "data.heldout": self.data.heldout is None,
            "eval": self.eval is None,
            "data.traces or model.path": not (self.data.traces or self.model.path),
        }
        if missing := [key for key, is_missing in lacks.items() if is_missing]:
            raise ValueError(f"rounds need {', '.join(missing)}; add what is missing")
        if self.eval and (self.eval.responses or "heldout" not in self.eval.benches):
            raise ValueError(
                "rounds are compared on held-out problems; add heldout to eval.benches"
            )
        if self.eval and self.eval.sweep != Sweep():
            raise ValueError("rounds are compared under one setting; leave out eval.sweep")
        if not all(source.has_references for source in self.data.prompt_sources):
            raise ValueError("rounds keep right solutions; name data.prompts' column of answers")
        if any(source.weight is not None for source in self.data.trace_sources):
            raise ValueError("rounds add rows to data.traces, which has no weights then")
        return self

    @model_validator(mode="after")
    def _rounds_make_what_sft_learns(self) -> "Recipe":
        if self.rounds is None or self.sft is None:
            return self

        prefers = self.sft.kind == "dpo"
        writes = ("pairs",) if prefers else ("paths", "linear")
        if self.rounds.search and self.rounds.search.write not in writes:
            raise ValueError(
                f"rounds.search.write: {self.rounds.search.write} is nothing that sft.kind: "
                f"{self.sft.kind} learns from; expected {' or '.join(writes)}"
            )
        if prefers and (self.data.traces or self.data.pairs or self.rounds.threshold is not None):
            raise ValueError(
                "rounds of sft.kind: dpo make all pairs themselves, of right and wrong solutions; "
                "leave out data.traces, data.pairs and rounds.threshold"
            )
        if prefers and self.rounds.search and self.rounds.rationalize:
            raise ValueError(
                "a search pairs the responses of its trees, and those to hints are in none; leave "
                "out rounds.rationalize"
            )
        return self

    @model_validator(mode="after")
    def _starts_can_be_gone_on_from(self) -> "Recipe":
        if not self.data.has_starts:
            return self

        others = {
            "continuation": self.continuation,
            "ppo.self_play": self.ppo and self.ppo.self_play,
            "ppo.hints": self.ppo and self.ppo.hints,
            "rounds": self.rounds,
        }
        if given := [key for key, value in others.items() if value is not None]:
            raise ValueError(
                f"{given[0]} begins responses anew, and data.prompts.start has their beginnings; "
                "leave out one of them"
            )
        return self

    @property
    def trains_prm(self) -> bool:
        """Whether the recipe trains a process reward model, and no policy."""
        return self.sft is not None and self.sft.kind == "prm"

    _origins: dict[str, Origin] = PrivateAttr(default_factory=dict)

    def with_origins(self, origins: Mapping[str, Origin]) -> "Recipe":
        """The same recipe, knowing where its values come from."""
        # A private attribute, so that dumps and the digest do not have it.
        self._origins = dict(origins)
        return self

    @property
    def origins(self) -> Mapping[str, Origin]:
        """Where each written value comes from, by dotted path."""
        return self._origins

    def origin(self, path: str) -> Origin:
        """Origin of the value at a dotted path; of a section without one, its first key's."""
        inside = (origin for key, origin in self._origins.items() if key.startswith(f"{path}."))
        return self._origins.get(path) or next(inside, DEFAULT)

    def place(self, path: str) -> Origin | None:
        """Where a dotted path, or the nearest section around it, is written; None if nowhere."""
        return nearest_origin(path, self._origins)

    def is_given(self, section: str) -> bool:
        """Whether this section, or a part of it, is written in a file or override."""
        return any(f"{path}.".startswith(f"{section}.") for path in self._origins)

    @property
    def digest(self) -> str:
        """SHA-256 of all keys that decide the results: not of names, environments and trackers."""
        data = self.model_dump(mode="json", exclude={"name", "description", "backends", "tracking"})
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
