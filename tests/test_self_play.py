"""Self-play: both seats of a game are responses of one policy, each learned from by a baseline of its role."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch

from rlsp_cli.engine.collector import Collector, EmbeddedSampler
from rlsp_cli.engine.decode import Generated
from rlsp_cli.engine.logprobs import last_states, token_logp
from rlsp_cli.engine.role_baselines import RoleBaselines
from rlsp_cli.engine.rollout import as_tensors, recorded
from rlsp_cli.engine.self_play import SelfPlay, self_play_of, told_first
from rlsp_cli.recipe.continuation import ContinuationUse
from rlsp_cli.rewards import MODEL, Closing, Sample, Turn, Turns
from rlsp_cli.rewards.continuing import Reply
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.sample import SampleScore, Score
from tests.byte_model import byte_tokenizer, chatml
from tests.conftest import load_checked, refusal, rlsp
from tests.optional import present
from tests.test_ppo import PROBLEMS, make_trainer, targets_at, written_rollout


def referee(samples: Sequence[Sample]) -> list[Reply]:
    """What the shipped referee says."""
    texts = [get_plugin("continuation", "referee").function(sample) for sample in samples]
    return [Reply("closing" if isinstance(text, Closing) else "text", text) for text in texts]


def play(*moves: Sequence[str], limit: int = 200, **settings: Any) -> list[Generated]:
    """The responses of games of nim with piles 1 2 1, of which the policy plays these moves."""
    tokenizer = byte_tokenizer(chatml())
    tokenizer.eos_token = "<|im_end|>"

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    read: list[str] = []

    def draw(
        rows: Sequence[int], sequences: Any, limits: Sequence[int], turn: int
    ) -> list[Generated]:
        assert all(row % 2 == turn % 2 for row in rows)  # the players take turns
        if turn == 1:
            read.extend(tokenizer.decode(sequence) for sequence in sequences)
        written = [[*ids(moves[row // 2][turn]), tokenizer.eos_token_id] for row in rows]
        pairs = zip(written, limits, strict=True)
        return [Generated(tokens[:most], len(tokens) > most) for tokens, most in pairs]

    found = get_plugin("task", "game").function(0, "train", game="nim", seat="first", rules=False)
    samples = [
        Sample("a 1 b 2 c 1", "", metadata={**found, "deal": "1 2 1", "seat": row % 2})
        for row in range(2 * len(moves))
    ]
    use = ContinuationUse(use="referee", **settings)
    table = SelfPlay(referee, "referee", use, tokenizer, ids)
    prompts = [ids(sample.prompt) for sample in samples]
    responses = table.respond(prompts, samples, limit, draw)
    assert read == [told_first(one.turns) for one in responses[1::2] if one.tokens]
    return responses


def said(response: Generated) -> list[tuple[str, str]]:
    return [(turn.by, turn.text) for turn in present(response.turns).said]


def value(response: Generated, seat: int) -> float | None:
    """The verdict on a response of `play`."""
    found = get_plugin("task", "game").function(0, "train", game="nim", seat="first", rules=False)
    metadata = {**found, "deal": "1 2 1", "seat": seat}
    sample = Sample("", "", metadata=metadata, turns=response.turns)
    verdict = get_plugin("verifier", "game_result").function(sample)
    return None if verdict is None else float(verdict.correct)


def test_each_seat_hears_the_moves_of_the_other_and_both_know_how_the_game_ended() -> None:
    first, second = play(["b2", "a1", "c1"])
    assert said(first) == [
        (MODEL, "b2"),
        ("referee", "a1 | a 0 b 0 c 1"),
        (MODEL, "c1"),
    ]
    assert said(second) == [
        ("referee", "b2 | a 1 b 0 c 1"),
        (MODEL, "a1"),
        ("referee", "c1 | a 0 b 0 c 0"),
    ]
    assert (value(first, 0), value(second, 1)) == (1.0, 0.0)
    assert told_first(first.turns) is None and told_first(second.turns) == "b2 | a 1 b 0 c 1"


def test_only_the_own_moves_of_a_seat_are_in_its_mask() -> None:
    responses = play(["b2", "a1", "c1"], ["b1", "b1", "a1", "c1"])
    tokens, mask, _ = as_tensors([[1]] * 4, responses, 0, torch.device("cpu"))
    tokenizer = byte_tokenizer(chatml())
    chosen = [
        tokenizer.decode(row[1:][marks.bool()]) for row, marks in zip(tokens, mask, strict=True)
    ]
    assert chosen == [
        "b2<|im_end|>c1<|im_end|>",
        "a1<|im_end|>",
        "b1<|im_end|>a1<|im_end|>",
        "b1<|im_end|>c1<|im_end|>",
    ]
    whole = tokenizer.decode(responses[0].tokens)
    assert "<|im_start|>user\na1 | a 0 b 0 c 1<|im_end|>" in whole


def test_what_a_player_is_told_has_its_own_card_and_not_the_other() -> None:
    row = get_plugin("task", "game").function(0, "train", game="kuhn_poker", seat="first")
    for seat, deal, told in ((0, "KQ", "bet | Q : bet"), (1, "KQ", "bet | K : check bet")):
        turns = [Turn("referee", "check | Q : check"), Turn(MODEL, "bet")][1 - seat :]
        metadata = {**row, "rules": "", "deal": deal, "seat": seat}
        sample = Sample("", "bet", metadata=metadata, turns=Turns(tuple(turns)))
        assert get_plugin("continuation", "referee").function(sample) == told


def test_log_probabilities_of_both_seats_at_training_are_those_at_sampling(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, estimator="role", samples_per_prompt=2, temperature=1.0)
    context, models = trainer.context, trainer.models
    told = Mock(name="words", settings=ContinuationUse(use="referee", stop=tuple("abcdef")))
    told.ask = lambda samples: (
        [Reply("text", "d e f" if len(samples) == len(PROBLEMS) else "g")] * len(samples)
    )
    told.name = "referee"
    table = self_play_of(told, context.tokenizer, context.recipe.data)

    settings = present(context.recipe.ppo).model_copy(
        update={"self_play": told.settings, "max_new_tokens": 24}
    )
    sampler = EmbeddedSampler(context, settings, models, table)
    found = Collector(context, settings, PROBLEMS, sampler).collect(0, range(len(PROBLEMS)))
    assert any(one.tokens for one in found.generated[1::2])

    tokens, mask, _ = as_tensors(found.prompts, found.generated, 0, torch.device("cpu"))
    states = last_states(models.policy, tokens)
    with torch.no_grad():
        facts = token_logp(models.policy, states, tokens, mask, 1.0, True)
    torch.testing.assert_close(facts, recorded(found.generated, mask), atol=1e-5, rtol=1e-5)


def test_who_gives_no_legal_move_loses_and_the_other_wins() -> None:
    first, second = play(["b9"])
    assert (value(first, 0), value(second, 1)) == (0.0, 1.0)
    assert second.tokens == [] and said(second) == [("referee", "none | a 1 b 2 c 1")]

    first, second = play(["b2", "pass"])
    assert (value(first, 0), value(second, 1)) == (1.0, 0.0)
    assert said(first)[-1] == ("referee", "none | a 1 b 0 c 1")

    first, second = play(["b2", "a long thought"], limit=8)  # out of tokens
    assert (value(first, 0), value(second, 1)) == (1.0, 0.0)
    assert second.truncated and not first.truncated


def test_a_game_that_a_limit_cuts_short_is_judged_for_neither_seat() -> None:
    long = ["b1", "b1", "a1", "c1"]
    for outcome, cut in (("flood", play(long, max_tokens=3)), ("overflow", play(long, limit=30))):
        assert [present(one.turns).outcome for one in cut] == [outcome, outcome]
        assert [value(one, seat) for seat, one in enumerate(cut)] == [None, None]


def test_the_baseline_is_a_running_mean_of_each_role_read_before_it_moves() -> None:
    def sample(game: str, seat: int, tokens: int = 2) -> Sample:
        return Sample("", "", metadata={"game": game, "seat": seat}, num_tokens=tokens)

    def score(reward: float | None) -> SampleScore:
        return SampleScore(Score("v", "value", reward), (), reward)

    roles = RoleBaselines()
    samples = [sample("nim", 0), sample("nim", 1), sample("nim", 0), sample("kuhn_poker", 0)]
    found = roles.take(samples, [score(1.0), score(0.0), score(0.0), score(0.75)])
    assert found == pytest.approx([0.5, 0.5, 0.525, 0.5])
    assert roles.means == pytest.approx({"nim/0": 0.49875, "nim/1": 0.475, "kuhn_poker/0": 0.5125})

    # Neither a game that was not judged, nor one in which nothing was said.
    again = roles.take([sample("nim", 0), sample("nim", 1, 0)], [score(None), score(1.0)])
    assert again == pytest.approx([0.49875, 0.475]) and roles.means["nim/1"] == 0.475


def test_the_advantage_by_role_is_the_reward_less_the_baseline(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "estimator": "role",
        "kl_coef": 0,
        "samples_per_prompt": 2,
        "rollout_batch": 2,
    }
    trainer = make_trainer(tmp_path, **settings)
    rollout = replace(written_rollout([1.0, 0.0, None, 0.5]), baselines=[0.5, 0.5, 0.525, 0.475])
    targets, _ = targets_at(trainer, rollout)
    found = targets.advantages.sum(1) / rollout.mask.sum(1)
    assert found.tolist() == pytest.approx([0.5, -0.5, 0.0, 0.025])
    assert not targets.mask[2].any()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("ppo.samples_per_prompt=1", "self_play has two responses to a prompt"),
        ("ppo.estimator=rloo", "which no estimator may compare"),
        ("ppo.hints={}", "self_play has no hints"),
        ("ppo.sampler=vllm", "games are played in the embedded engine"),
        ("ppo.backend=openrlhf", "OpenRLHF has no games in which the policy plays both seats"),
        ("ppo.self_play={use: refere}", 'did you mean "referee"'),
    ],
)
def test_what_self_play_cannot_be_with_is_refused_by_check(key: str, words: str) -> None:
    path = Path("recipes/turns/self_play.yaml")
    load_checked(path)
    refusal(path, ["continuation=null", key], words)


@pytest.mark.integration
def test_a_model_plays_itself_and_learns_by_the_baselines_of_its_roles(tmp_path: Path) -> None:
    rlsp(
        "run",
        "turns/self_play",
        *("sft.max_steps=60", "data.traces.rows=600", "data.prompts.rows=64"),
        *("ppo.steps=2", "ppo.rollout_batch=8", "ppo.train_batch=16", "ppo.micro_batch=16"),
        *("ppo.eval_every=1", "ppo.save_every=1", "eval.limit=8", "eval.samples=1"),
        *("--out", tmp_path / "run"),
    )
    rows = list(jsonl(tmp_path / "run" / "ppo" / "rollouts.jsonl"))
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert (first["metadata"]["seat"], second["metadata"]["seat"]) == (0, 1)
        assert first["id"] == second["id"] and first["reward"] + second["reward"] == 1.0
        assert second["prompt"].startswith(f"{first['turns']['said'][0]['text']} | O")
        assert second["response"] == "\n".join(Turns.from_json(second["turns"]).own)

    means = {0: 0.5, 1: 0.5}
    for row in rows:
        seat = row["metadata"]["seat"]
        if row["num_tokens"]:
            means[seat] = 0.95 * means[seat] + 0.05 * row["reward"]
    *_, last = jsonl(tmp_path / "run" / "ppo" / "metrics.jsonl")
    found = [last[f"baseline/tictactoe/{seat}"] for seat in (0, 1)]
    assert found == pytest.approx([means[0], means[1]])

    said = list(jsonl(tmp_path / "run" / "eval" / "ppo" / "heldout" / "samples.jsonl"))
    assert {turn["by"] for row in said for turn in row["turns"]["said"]} <= {MODEL, "opponent"}


def jsonl(path: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, path.read_text().splitlines())
