"""A rollout as rows of rollouts.jsonl."""

from dataclasses import asdict
from typing import Any

from rlsp_cli.engine.rollout import Rollout


def rollout_rows(step: int, rollout: Rollout) -> list[dict[str, Any]]:
    """One row per response, every component apart."""
    return [
        {
            "step": step,
            "id": sample.id,
            "prompt": sample.prompt,
            "response": sample.response,
            "reference": sample.reference,
            "metadata": dict(sample.metadata),
            "num_tokens": sample.num_tokens,
            "max_tokens": sample.max_tokens,
            "truncated": sample.truncated,
            "correctness": asdict(score.correctness),
            "exploration": [asdict(part) for part in score.exploration],
            "reward": score.reward,
        }
        for sample, score in zip(rollout.samples, rollout.scores, strict=True)
    ]
