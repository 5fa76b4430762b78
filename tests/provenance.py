"""How the responses of a test were made."""

from typing import Any

from rlsp_cli.evals.provenance import Provenance


def made(problems: int = 1, **known: Any) -> Provenance:
    """That of a bench with so many problems, and what is `known` of it."""
    how: dict[str, Any] = dict.fromkeys(Provenance.__dataclass_fields__)
    how |= {"problems": problems, "differs": (), "samples": 1, "greedy": True, "source": "by hand"}
    how |= {"prompt_from": "bench", "prompt_digest": "", "bench_digest": ""}
    return Provenance(**how | known)
