"""Environment variables that a recipe may set: no secrets, since run folders keep recipes."""

import re
from collections.abc import Iterator, Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(
    r"(TOKEN|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?"
    r"|(^|_)(API)?(KEY|PASS|PAT|AUTH(ORIZATION)?))\d*(_|$)",
    re.I,
)
"""Names that are likely to hold a secret."""
_NO_SECRET = re.compile(r"_(FILE|PATH|DIR|HOME|SOCK)$|^GOOGLE_APPLICATION_CREDENTIALS$", re.I)
"""Names of the place of a secret, which is not secret."""
_OURS = re.compile(
    r"RLSP_.*|RAY_(ADDRESS|AUTH_.*|JOB_.*)|SLURM_.*|(LOCAL_)?(RANK|WORLD_SIZE)|MASTER_(ADDR|PORT)"
    r"|CUDA_VISIBLE_DEVICES|PYTHONPATH"
)
"""What rlsp, Ray, Slurm or torchrun set for each process."""
_PASSWORD = re.compile(r"://[^/\s]*@")
_KEPT = "recipes are kept in run folders"


def wrong_variables(variables: Mapping[str, str]) -> Iterator[str]:
    """A message for each variable that a recipe cannot set; values are never shown."""
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            yield f"{name!r} is not a variable's name"
        elif _OURS.fullmatch(name):
            yield f"{name} is set by rlsp or by the launcher"
        elif looks_secret(name):
            yield f"{name} looks like a secret, and {_KEPT}; set it where {_where(name)}"
        elif holds_password(value):
            yield f"the value of {name} holds a password, and {_KEPT}"
        elif "\0" in value:
            yield f"the value of {name} holds a NUL, which no variable can"


def looks_secret(name: str) -> bool:
    """Whether a variable of this name is likely to hold a secret."""
    return bool(_SECRET.search(name)) and not _NO_SECRET.search(name)


def holds_password(text: str) -> bool:
    """Whether an address in the text has a password."""
    return bool(_PASSWORD.search(text))


def _where(name: str) -> str:
    """Where a secret reaches a job from."""
    passed = name in ("WANDB_API_KEY", "HF_TOKEN")
    return "rlsp is started, which passes it on" if passed else "the job's machines are started"
