"""Score tasks of reasoning-gym by their own functions."""

from typing import Any

from rlsp_cli.rewards import Sample, Verdict, stated_answer, verifier, without_thinking


@verifier
def reasoning_gym(sample: Sample, *, partial: bool = True) -> Verdict:
    r"""The score of a reasoning-gym task, 0 to 1, by its own function.

    Rows come from `task:reasoning_gym`, or have its `entry`. Some tasks give partial credit to
    wrong answers; without `partial` only 1 counts. The answer is the last box, what follows "answer
    is", or else all that follows the thinking.
    """
    import reasoning_gym as library

    entry: dict[str, Any] = sample.metadata["entry"]
    answer = stated_answer(sample.response) or without_thinking(sample.response).strip()
    if not answer:
        return Verdict(0.0, None)

    score = library.get_score_answer_fn(entry["metadata"]["source_dataset"])
    credit = float(score(answer=answer, entry=entry))
    return Verdict(credit if partial else float(credit == 1), answer)
