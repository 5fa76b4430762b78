"""Shipped continuations, asked in workers about turns that are written here; models are doubles."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.recipe.reward import Reward
from rlsp_cli.rewards import MODEL, Sample, Turn, Turns
from rlsp_cli.rewards.continuing import Continuer, Reply
from rlsp_cli.rewards.models import NO_MODELS, Address, Addresses
from rlsp_cli.rewards.scorer import Scorer
from tests.openai_server import chat, serving

PROBLEM = Sample("What is 2 + 3 * 4?", "")


def talk(continuer: Continuer, parts: Sequence[str]) -> list[Reply]:
    """What follows each part, of which the model writes one after another while it is answered."""
    said: tuple[Turn, ...] = ()
    replies: list[Reply] = []
    for part in parts:
        said += (Turn(MODEL, part),)
        written = sum(len(turn.text.split()) for turn in said if turn.by == MODEL)
        sample = replace(PROBLEM, response=part, num_tokens=written, turns=Turns(said))
        (reply,) = continuer.ask([sample])
        replies.append(reply)
        if reply.outcome != "text":
            break
        said += (Turn(continuer.name, reply.text),)
    return replies


def told(use: dict[str, Any], *parts: str, models: Addresses = NO_MODELS) -> list[str]:
    """The texts that follow the parts, and at the end the outcome that is no text."""
    asked = ContinuationUse.model_validate(use)
    with Continuer(asked, Reward(workers=1, timeout_s=30), models=models) as continuer:
        return [reply.text or reply.outcome for reply in talk(continuer, parts)]


def asked_of(answer: Callable[[str], str], use: dict[str, Any], *parts: str) -> Any:
    """What the double of a model is asked, and what a continuation says that asks it."""
    with serving(lambda body: chat(answer(body["messages"][-1]["content"]))) as server:
        found = told(use, *parts, models={str(use["model"]): Address(server.url, "m")})
        return [body["messages"] for body in server.asked], found


@pytest.mark.integration
def test_requests_follow_one_another_and_then_the_response_ends() -> None:
    use = {"use": "guideline_chain", "requests": ["a structure", "a solution"]}
    assert told(use, "guideline", "1. 2.", "14") == ["a structure", "a solution", "whole"]
    again = told({"use": "self_correct", "rounds": 2, "request": "again"}, "20", "15", "14")
    assert again == ["again", "again", "whole"]


@pytest.mark.integration
def test_a_response_deepens_until_its_growing_budget_is_used() -> None:
    use = {"use": "deepen", "budget": 2, "growth": 3.0, "rounds": 3, "trigger": "wait"}
    assert told(use, "one two") == ["whole"]  # its budget of 2 tokens is used at once
    assert told(use, "one", "two three four five", "six") == ["wait", "wait", "wait"]
    assert told(use, "one", "two three four five six") == ["wait", "whole"]  # 6 of 6
    assert told({**use, "growth": 100.0}, *"abcd") == ["wait", "wait", "wait", "whole"]


@pytest.mark.integration
def test_a_draft_is_written_anew_while_too_few_critical_questions_are_answered_yes() -> None:
    use = {"use": "critical_questions", "questions": ["sound?", "new?"], "least": 2}
    use |= {"ask": "{questions}", "redo": "redo", "final": "final"}
    asked = "1. sound?\n2. new?"
    assert told(use, "plan", "1: yes\n2. Yes", "14") == [asked, "final", "whole"]
    no, missing = "1: yes\n2: no", "2: yes"
    for answers in (no, missing):
        parts = ("plan", answers, "other", "1: yes\n2: yes", "14")
        assert told(use, *parts) == [asked, "redo", asked, "final", "whole"]
    # After the last round it answers, whatever it thinks of its plan.
    assert told(use, "plan", no, "other", no, "14") == [asked, "redo", asked, "final", "whole"]
    assert told({**use, "least": 1}, "plan", no) == [asked, "final"]


@pytest.mark.integration
def test_a_critic_marks_the_first_wrong_step_and_is_content_in_the_end() -> None:
    def critic(work: str) -> str:
        return "2. should be 12.\nFirst wrong step: 2" if "15" in work else "First wrong step: none"

    use: dict[str, Any] = {"use": "critique_refine", "model": "critic", "rounds": 3}
    draft, mended = "3 * 4 first.\nThat is 15.\nSo 17.", "That is 12.\nSo 14."
    asked, found = asked_of(
        critic, {**use, "request": "{number}: {step} {critique}"}, draft, mended
    )
    assert found == ["2: That is 15. 2. should be 12.\nFirst wrong step: 2", "whole"]

    (instructions, work), (_, second) = asked
    assert "First wrong step: N" in instructions["content"]
    assert PROBLEM.prompt in work["content"]
    assert "1. 3 * 4 first.\n2. That is 15.\n3. So 17." in work["content"]
    assert "1. That is 12." in second["content"] and "15" not in second["content"]

    once = asked_of(critic, {**use, "rounds": 1, "request": "anew"}, draft, draft)[1]
    assert once == ["anew", "whole"]


@pytest.mark.parametrize("reply", ["Fine.", "First wrong step: 9", "First wrong step: 0"])
def test_a_critic_without_a_clear_verdict_is_an_error_and_not_content(reply: str) -> None:
    use: dict[str, Any] = {"use": "critique_refine", "model": "critic"}
    assert asked_of(lambda _: reply, use, "2 * 3\nis 6")[1] == ["error"]


@pytest.mark.integration
def test_a_teacher_comments_on_a_share_of_the_responses_and_always_on_the_same() -> None:
    use: dict[str, Any] = {"use": "teacher_feedback", "model": "teacher"}
    asked, found = asked_of(
        lambda _: "<think>hm</think>Check 3 * 4.", {**use, "share": 1}, "20", "14"
    )
    assert found == ["Check 3 * 4.", "whole"] and len(asked) == 1
    assert "20" in asked[0][1]["content"] and PROBLEM.prompt in asked[0][1]["content"]

    turns = [Turns((Turn(MODEL, f"so {number}"),)) for number in range(60)]
    samples = [replace(PROBLEM, turns=one) for one in turns]
    with serving(lambda _: chat("Hm.")) as server:
        models = {"teacher": Address(server.url, "m")}
        asking = ContinuationUse.model_validate({**use, "share": 0.3})
        with Continuer(asking, Reward(workers=2, timeout_s=30), models=models) as continuer:
            first, again = continuer.ask(samples), continuer.ask(samples)
    assert first == again and {reply.outcome for reply in first} == {"text", "whole"}
    assert 9 <= sum(reply.outcome == "text" for reply in first) <= 27


def test_a_judge_calculates_before_it_gives_its_verdict() -> None:
    def judge(body: dict[str, Any]) -> Any:
        last = body["messages"][-1]["content"]
        if "Solution:" in last:
            return chat("I compute it. <calc>2 + 3 * 4</calc>")
        right = f"boxed{{{last.removeprefix('<result>').removesuffix('</result>')}}}"
        return chat(f"Verdict: {'right' if right in str(body['messages'][1]) else 'wrong'}")

    samples = [Sample(PROBLEM.prompt, rf"\boxed{{{n}}}", id=str(n)) for n in (14, 20)]
    samples.append(Sample(PROBLEM.prompt, " "))
    reward = {"correctness": {"use": "tool_judge"}, "workers": 1}
    with serving(judge) as server:
        models = {"judge": Address(server.url, "m")}
        with Scorer(Reward.model_validate(reward), models=models) as scorer:
            scores = [score.correctness for score in scorer.score(samples, 1.0)]
        assert len(server.asked) == 4
    assert [(score.outcome, score.value) for score in scores] == [
        ("value", 1.0),
        ("value", 0.0),
        ("abstain", None),
    ]
    assert scores[0].answer == "14"


def test_a_judge_that_only_calculates_is_an_error() -> None:
    reward = {"correctness": {"use": "tool_judge", "most_calls": 2}, "workers": 1}
    with serving(lambda _: chat("<calc>1/0</calc>")) as server:
        models = {"judge": Address(server.url, "m")}
        with Scorer(Reward.model_validate(reward), models=models) as scorer:
            (score,) = scorer.score([Sample("p", "14")], 1.0)
        assert score.correctness.outcome == "error" and len(server.asked) == 3
        assert server.asked[-1]["messages"][-1]["content"] == "<result>error</result>"
