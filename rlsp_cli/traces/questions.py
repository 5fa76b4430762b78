"""Questions to a model, whose replies are kept until all are there."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from rlsp_cli.evals.samplers import Decoding, Request
from rlsp_cli.recipe.data import Data
from rlsp_cli.runs.stream import append_rows, read_rows
from rlsp_cli.traces.sampling import open_sampler

_MAX_NEW_TOKENS = 512
_DIGEST_SHOWN = 16
"""Characters of a digest in the name of a drafts file."""


class _Draft(BaseModel):
    """A row of the drafts file: the reply to a question, by its number."""

    question: int
    reply: str


def draft_of(folder: Path, model: str, questions: Sequence[str]) -> Path:
    """The file in a folder that keeps the replies of a model to these questions."""
    digest = hashlib.sha256("\0".join([model, *questions]).encode()).hexdigest()
    return folder / f"{digest[:_DIGEST_SHOWN]}.jsonl"


def replies_to(questions: Sequence[str], model: str, url: str | None, drafts: Path) -> list[str]:
    """The model's greedy reply to each question; those in the drafts are not asked for again."""
    drawn = {draft["question"]: draft["reply"] for draft in read_rows(drafts, _Draft)}
    sampler, render = open_sampler(model, url, Data())
    requests = [Request(str(n), render(question)) for n, question in enumerate(questions)]

    decoding = Decoding(temperature=0.0, top_p=1.0, max_new_tokens=_MAX_NEW_TOKENS, seed=0)
    for n, reply in sampler.answer(requests, decoding, drawn):
        append_rows(drafts, [{"question": n, "reply": reply.text}])
        drawn[n] = reply.text
    return [drawn[n] for n in range(len(questions))]
