"""The key `cluster`: where the stages run."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from rlsp_cli.recipe.section import NonNegativeInt, PositiveInt, Section
from rlsp_cli.recipe.variables import wrong_variables


def _as_texts(value: Any) -> Any:
    # YAML reads `NCCL_DEBUG: 1` as a number, and the environment wants text.
    if not isinstance(value, dict):
        return value
    return {name: _as_text(one) for name, one in value.items()}


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


Line = Annotated[str, Field(pattern=r"^[^\s](.*[^\s])?$")]
SbatchOption = Annotated[str, Field(pattern=r"^-(.*[^\s])?$")]


class Slurm(Section):
    """What a Slurm job asks for."""

    partition: Line | None = None
    """Partition; by default Slurm's."""
    account: Line | None = None
    """Account to charge; by default Slurm's."""
    time: Line | None = None
    """Time limit, such as `24:00:00`; by default Slurm's."""
    options: tuple[SbatchOption, ...] = ()
    """Further options of sbatch, such as `--constraint=h100`."""
    setup: str = ""
    """Shell lines to run first on every node, such as `module load cuda`."""
    cpus: PositiveInt | None = None
    """CPUs of each node; by default four per GPU, or Slurm's default without GPUs."""


class Cluster(Section):
    """Where the stages run."""

    nodes: PositiveInt = 1
    """Machines."""
    gpus_per_node: NonNegativeInt = 0
    """GPUs of each machine; 0 to run on the CPU."""
    launcher: Literal["local", "torchrun", "accelerate", "slurm", "ray"] = "local"
    """What starts the processes; `local` uses torchrun for several on one machine."""

    # How machines find each other.
    host: str | None = None
    """Address of the first machine, for `torchrun` on several machines."""
    port: Annotated[int, Field(ge=1, le=65535)] = 29400
    """Port of the first machine, where the others meet it."""
    join_timeout_s: PositiveInt = 600
    """Seconds that machines wait for each other at the start."""
    ray_address: str | None = None
    """Dashboard of a running Ray cluster, `http://HOST:8265`; by default $RAY_ADDRESS."""

    # What their processes get.
    env: Annotated[dict[str, str], BeforeValidator(_as_texts)] = Field(default_factory=dict)
    """Environment variables of the job on every machine, such as `HF_HOME`; no secrets."""
    slurm: Slurm = Slurm()
    """What the job asks Slurm for, if the launcher is `slurm`."""

    @field_validator("env")
    @classmethod
    def _right_variables(cls, env: dict[str, str]) -> dict[str, str]:
        if found := "; ".join(wrong_variables(env)):
            raise ValueError(f"cluster.env: {found}")
        return env

    @model_validator(mode="after")
    def _no_password(self) -> "Cluster":
        # Not a check of the field itself, whose error would show the value.
        if set("@?#") & set(self.ray_address or ""):
            raise ValueError(
                "cluster.ray_address may hold a secret, and recipes are kept in run folders; "
                "set RAY_ADDRESS"
            )
        return self
