"""The score card of a bench: the numbers of the one model that was evaluated, flat, for scripts and CI."""

from collections.abc import Mapping
from typing import Any

from rlsp_cli.rewards.answers import answer_rule


def score_cards(
    models: Mapping[str, Mapping[str, Any]],
    verifier: Mapping[str, Any],
    contaminated: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Bench -> card, of the only model in results.json's `models`; nothing when there are several.

    `verifier` is the recipe's, which judges benches without one of their own. `contaminated` is, by bench, what of it
    was in the training data.
    """
    if len(models) != 1:
        return {}
    (model,) = models.values()
    return {
        bench: {**_card(result, verifier), "contaminated": (contaminated or {}).get(bench, {})}
        for bench, result in model["benches"].items()
    }


def _card(result: Mapping[str, Any], verifier: Mapping[str, Any]) -> dict[str, Any]:
    """Of the sampled responses where there are some, else of the greedy ones.

    `truncated` and `unanswered` are shares of all responses; abstentions, timeouts and errors are counts.
    """
    decoding = "sample" if "sample" in result else "greedy"
    part = result[decoding]
    accuracy, unscored = part["accuracy"], part["unscored"]
    of_one = {"1": accuracy["value"]} if accuracy else {}
    return {
        "decoding": decoding,
        "problems": result["protocol"]["problems"],
        "samples": part["responses"],
        "scored_problems": part.get("problems", 0),
        "avg": accuracy and accuracy["value"],
        "avg_ci": accuracy and [accuracy["low"], accuracy["high"]],
        "avg_if_unscored_wrong": part["accuracy_if_unscored_wrong"],
        "pass_at": part.get("pass_at", of_one),
        "pass_ci": part.get("pass_ci", {}),
        "maj_at": part.get("maj_at", of_one if part["k"] == 1 else {}) if accuracy else {},
        "maj_ci": part.get("maj_ci", {}),
        "best_of": part.get("best_of", {}),
        "k_missing": part.get("k_missing"),
        "checks": part.get("checks", {}),
        "truncated": part["truncated"],
        "unanswered": part["rates"]["unanswered"],
        "abstentions": unscored.get("abstain", 0),
        "timeouts": unscored.get("timeout", 0),
        "errors": unscored.get("error", 0),
        "detectable": part.get("detectable"),
        "tokens": part["tokens"],
        "tokens_per_correct": part["tokens_per_correct"],
        "accuracy_under": part["accuracy_under"],
        "calibration": part["calibration"],
        "strategies": result.get("strategies"),
        "greedy_over_sampled": result.get("greedy_over_sampled"),
        "answer_rule": answer_rule(result["protocol"]["verifier"] or verifier),
        "protocol": result["protocol"],
    }
