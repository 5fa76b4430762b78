"""Any task of reasoning-gym, by its own scoring."""

from typing import Any

from rlsp_cli.rewards import Sample, Verdict, stated_answer, verifier, without_thinking


@verifier
def reasoning_gym(sample: Sample, *, partial: bool = True) -> Verdict:
    r"""What reasoning-gym's task gives the answer, 0 to 1; rows come from `task:reasoning_gym`, or have its `entry`.

    Some tasks give wrong answers a little; without `partial` only 1 counts. The answer is the last
    box, what follows "answer is", or else all that follows the thinking.
    """
    import reasoning_gym as library

    entry: dict[str, Any] = sample.metadata["entry"]
    answer = stated_answer(sample.response) or without_thinking(sample.response).strip()
    if not answer:
        return Verdict(0.0, None)
    score = library.get_score_answer_fn(entry["metadata"]["source_dataset"])
    credit = float(score(answer=answer, entry=entry))
    return Verdict(credit if partial else float(credit == 1), answer)
