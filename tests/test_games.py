"""Two-player games: their rules, perfect play against all other play, and what a response says of a game."""

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rlsp_cli.rewards import MODEL, Closing, Sample, Turn, Turns
from rlsp_cli.rewards.games import GAMES, Game, Match, stated_move
from rlsp_cli.rewards.registry import get_plugin
from rlsp_cli.rewards.turns import TurnsOutcome
from tests.conftest import ROOT

TICTACTOE, NIM, KUHN = GAMES["tictactoe"], GAMES["nim"], GAMES["kuhn_poker"]
NEGOTIATION = GAMES["negotiation"]
DEALS = ["JQ", "JK", "QJ", "QK", "KJ", "KQ"]
Player = Callable[[Any], Mapping[str, float]]


def states(game: Game[Any], deal: str) -> Iterator[Any]:
    """Every state that can be reached, each once."""
    seen, waiting = set(), [game.start(deal)]
    while waiting:
        state = waiting.pop()
        if state not in seen:
            seen.add(state)
            yield state
            waiting += [game.after(state, move) for move in game.moves(state)]


def least(game: Game[Any], state: Any, seat: int) -> float:
    """What perfect play from a seat wins at least, against every play of the other."""
    if not game.moves(state):
        return game.payoff(state) * (1 if seat == 0 else -1)
    ours = game.mover(state) == seat
    moves = game.perfect(state) if ours else game.moves(state)
    return min(least(game, game.after(state, move), seat) for move in moves)


def worth(state: Any, players: tuple[Player, Player]) -> float:
    """The first player's mean payoff in Kuhn poker."""
    if not KUHN.moves(state):
        return KUHN.payoff(state)
    chances = players[KUHN.mover(state)](state)
    return sum(p * worth(KUHN.after(state, move), players) for move, p in chances.items())


def pure_strategies(seat: int) -> Iterator[Player]:
    """All ways of playing Kuhn poker from a seat: a move for each card and each past."""
    pasts = [(), ("check", "bet")] if seat == 0 else [("check",), ("bet",)]
    places = [(card, past) for card in "JQK" for past in pasts]
    for choices in itertools.product((0, 1), repeat=len(places)):
        chosen = dict(zip(places, choices, strict=True))

        def play(state: Any, chosen: Mapping[Any, int] = chosen) -> dict[str, float]:
            return {KUHN.moves(state)[chosen[state[0][seat], state[1]]]: 1.0}

        yield play


def test_tictactoe_has_as_many_boards_and_ends_as_it_is_known_to_have() -> None:
    ended = [state for state in states(TICTACTOE, "") if not TICTACTOE.moves(state)]
    assert len(list(states(TICTACTOE, ""))) == 5478
    results = [TICTACTOE.payoff(state) for state in ended]
    assert [results.count(value) for value in (1.0, -1.0, 0.0)] == [626, 316, 16]
    assert TICTACTOE.view("1X345O789", 1) == "O : 1 X 3 4 5 O 7 8 9"


def test_no_play_beats_the_perfect_player_of_tictactoe() -> None:
    assert TICTACTOE.value("123456789") == 0
    for opening in TICTACTOE.moves("123456789"):
        assert least(TICTACTOE, TICTACTOE.after("123456789", opening), 1) == 0
    assert TICTACTOE.perfect("XX34O6789") == {"3": 1.0}  # O has to stop three in a row
    assert TICTACTOE.perfect("XX3O5O789") == {"3": 0.5, "5": 0.5}  # wins now, or by two threats


def test_the_perfect_player_of_nim_leaves_a_nim_sum_of_zero() -> None:
    for piles in itertools.product(range(6), repeat=3):
        nim_sum = piles[0] ^ piles[1] ^ piles[2]
        assert NIM.value((0, piles)) == (1 if nim_sum else -1)
        if nim_sum:
            for move in NIM.perfect((1, piles)):
                a, b, c = NIM.after((1, piles), move)[1]
                assert a ^ b ^ c == 0
    assert NIM.moves((0, (0, 2, 1))) == ("b1", "b2", "c1")


def test_the_equilibrium_of_kuhn_poker_is_worth_a_chip_in_eighteen_against_every_play() -> None:
    perfect: Player = KUHN.perfect

    def mean(first: Player, second: Player) -> float:
        return sum(worth(KUHN.start(deal), (first, second)) for deal in DEALS) / len(DEALS)

    assert mean(perfect, perfect) == pytest.approx(-1 / 18)
    assert min(mean(perfect, other) for other in pure_strategies(1)) == pytest.approx(-1 / 18)
    assert max(mean(other, perfect) for other in pure_strategies(0)) == pytest.approx(-1 / 18)


@pytest.mark.parametrize("deal", ["1313", "1322", "1331", "2213", "2231", "3122"])
@pytest.mark.parametrize("seat", [0, 1])
def test_the_perfect_player_of_a_negotiation_never_loses(deal: str, seat: int) -> None:
    def worst(state: Any) -> float:
        """What the perfect player has at least."""
        moves = NEGOTIATION.moves(state)
        if not moves:
            return NEGOTIATION.payoff(state) * (1 if seat == 0 else -1)
        chosen = NEGOTIATION.perfect(state) if NEGOTIATION.mover(state) == seat else moves
        return min(worst(NEGOTIATION.after(state, move)) for move in chosen)

    assert worst(NEGOTIATION.start(deal)) == 0


def test_a_deal_pays_the_difference_of_what_the_shares_are_worth() -> None:
    match = Match(NEGOTIATION, "1322", 0).moved("a2b0").moved("a0b2")
    assert match.told(0) == "a0b2 | a 1 b 3 : a2b0 a0b2" and "a 2 b 2 :" in match.told(1)
    # The second player keeps two b, worth 4 to it, and the first two a, worth 2.
    assert NEGOTIATION.payoff(match.moved("accept").state) == -2
    assert match.moved("accept").value() == 0.375 and match.moved("refuse").value() == 0.5
    assert match.moved("a2b2").moved("a0b1").moved("a1b1").stuck


def test_a_player_of_kuhn_poker_sees_no_card_of_the_other() -> None:
    assert KUHN.view(("QK", ("check", "bet")), 0) == "Q : check bet"
    assert KUHN.view(("JK", ("check",)), 1) == KUHN.view(("QK", ("check",)), 1) == "K : check"


def row(game: str, **options: Any) -> dict[str, Any]:
    index = options.pop("index", 0)
    found = get_plugin("task", "game").function(index, "train", game=game, **options)
    assert isinstance(found, dict)
    return found


def played(
    found: Mapping[str, Any], *said: tuple[str, str], outcome: TurnsOutcome = "whole"
) -> Sample:
    """A response to a row, of turns with who wrote them."""
    turns = Turns(tuple(Turn(by, text) for by, text in said), outcome=outcome)
    return Sample(found["problem"], "\n".join(turns.own), id="7", metadata=found, turns=turns)


def verdict(sample: Sample) -> Any:
    return get_plugin("verifier", "game_result").function(sample)


def result(sample: Sample) -> tuple[float, str]:
    """The value of a game, and how it ended."""
    found = verdict(sample)
    checks = {rule: passed for rule, (passed,) in found.checks.items()}
    if not checks["legal"]:
        return found.correct, "illegal"
    return found.correct, "win" if checks["won"] else "draw" if checks["drawn"] else "loss"


@pytest.mark.parametrize("game", sorted(GAMES))
@pytest.mark.parametrize("seat", ["first", "second", "both"])
def test_the_rows_of_a_game_are_the_same_each_time_and_their_demonstrations_legal(
    game: str, seat: str
) -> None:
    for index in range(20):
        found = row(game, index=index, seat=seat)
        assert found == row(game, index=index, seat=seat)
        assert found["seat"] == len(found["opening"]) and found["rules"] in found["problem"]
        assert found["messages"][0]["content"] == found["problem"]

        said = [
            (MODEL if one["role"] == "assistant" else "opponent", one["content"])
            for one in found["messages"][1:]
        ]
        match = Match.of_sample(played(found, *said))
        assert not match.stuck and len(match.moves) == len(said) + found["seat"]
    assert "\n" not in row(game, rules=False)["problem"]


@pytest.mark.parametrize("game", sorted(GAMES))
@pytest.mark.parametrize("player", ["random", "perfect"])
def test_the_opponent_plays_legal_moves_to_the_end_and_the_verdict_is_the_payoff(
    game: str, player: str
) -> None:
    ask, rng = get_plugin("continuation", "opponent").function, random.Random(0)
    endings = set()
    for index in range(30):
        found = row(game, index=index)
        said: list[tuple[str, str]] = []
        while True:
            state = Match.of_sample(played(found, *said)).state
            said.append((MODEL, f"I play {rng.choice(GAMES[game].moves(state)).upper()}."))
            text = ask(played(found, *said), player=player)
            assert text == ask(played(found, *said), player=player)
            if text is not None:
                said.append(("opponent", text))
            if text is None or isinstance(text, Closing):
                break

        endings.add(said[-1][0])
        match = Match.of_sample(played(found, *said))
        assert not match.stuck and not GAMES[game].moves(match.state)
        sign = 1 if found["seat"] == 0 else -1
        value = (1 + sign * GAMES[game].payoff(match.state) / GAMES[game].most) / 2
        assert verdict(played(found, *said)).correct == value
    assert endings == {MODEL, "opponent"}


def test_a_turn_without_a_legal_move_is_a_loss_and_is_named() -> None:
    found = row("tictactoe", seat="first")
    for words in ("", "pass", "x1", "10", "I cannot", r"\boxed{}"):
        sample = played(found, (MODEL, words))
        assert result(sample) == (0.0, "illegal")
        for name in ("opponent", "referee"):
            text = get_plugin("continuation", name).function(sample)
            assert text is None or isinstance(text, Closing)
    taken = [(MODEL, "5"), ("opponent", "1 | X : O 2 3 4 X 6 7 8 9"), (MODEL, "1")]
    assert result(played(found, *taken)) == (0.0, "illegal")
    assert result(played(found, (MODEL, "or"), outcome="length")) == (0.0, "illegal")
    assert result(played(found, (MODEL, "5"), outcome="whole")) == (1.0, "win")
    assert result(played(found, (MODEL, "5"), ("referee", "none | X : 1"))) == (1.0, "win")


def test_a_game_that_a_limit_cut_short_is_not_judged() -> None:
    sample = played(row("nim", seat="first"), (MODEL, "a1"), outcome="turns")
    assert verdict(sample) is None


def test_chips_count_in_kuhn_poker() -> None:
    found = row("kuhn_poker", seat="first") | {"deal": "KQ"}
    bet = [(MODEL, "bet"), ("opponent", "call | K : bet call")]
    assert result(played(found, *bet)) == (1.0, "win")
    assert result(played(found, bet[0], ("opponent", "fold | K : bet fold"))) == (0.75, "win")
    assert result(played(found | {"deal": "QK"}, *bet)) == (0.0, "loss")


def test_the_referee_tells_the_other_player_what_it_may_see() -> None:
    ask = get_plugin("continuation", "referee").function
    found = row("kuhn_poker", seat="first", rules=False) | {"deal": "KQ"}
    assert ask(played(found, (MODEL, "check"))) == "check | Q : check"
    second = played(found | {"seat": 1}, ("referee", "check | Q : check"), (MODEL, "bet"))
    assert ask(second) == "bet | K : check bet"

    with_rules = row("kuhn_poker", seat="first")
    assert ask(played(with_rules, (MODEL, "bet"))).startswith(with_rules["rules"])
    with pytest.raises(ValueError, match="seat: first"):
        ask(played(row("nim", seat="second"), (MODEL, "a1")))


@pytest.mark.parametrize(
    ("words", "move"),
    [("5", "5"), ("I play 5.", "5"), (r"5 is bad, so \boxed{B2}, I think", "b2"), ("", None)],
)
def test_a_move_is_boxed_or_the_last_word(words: str, move: str | None) -> None:
    assert stated_move(words) == move


def test_a_game_of_a_users_own_is_played_by_its_file(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "self_play.md").read_text()
    (code,) = re.findall(r"```python.*?\n(.*?)```", text, re.DOTALL)
    (tmp_path / "take.py").write_text(code)
    name = f"{tmp_path}/take.py:Take"
    found = row(name, seat="first") | {"deal": "7"}
    answer = get_plugin("continuation", "opponent").function(
        played(found, (MODEL, "2")), player="perfect"
    )
    assert answer == "2 | 3 left"  # three for us are lost
    with pytest.raises(ValueError, match="no game is called"):
        row(f"{tmp_path}/take.py:Takes")


def test_a_model_as_opponent_has_heard_the_game_from_its_own_seat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    class Model:
        def chat(self, messages: Any, max_tokens: int) -> str:
            asked.append([(one["role"], one["content"]) for one in messages])
            return "I take 9."

    function = get_plugin("continuation", "opponent").function
    monkeypatch.setitem(function.__globals__, "served_model", lambda name: Model())
    found = row("tictactoe", seat="second", rules=False) | {"opening": ["5"]}
    sample = played(found, (MODEL, "1"))
    assert function(sample, model="earlier") == "9 | O : O 2 3 4 X 6 7 8 X"
    assert asked == [
        [
            ("user", "X : 1 2 3 4 5 6 7 8 9"),
            ("assistant", "5"),
            ("user", "1 | X : O 2 3 4 X 6 7 8 9"),
        ]
    ]
    again = played(found, (MODEL, "9"))
    told = function(again, model="earlier")  # it plays a cell that is taken
    assert isinstance(told, Closing) and told.startswith("none | ")
    assert verdict(played(found, (MODEL, "9"), ("opponent", told))).correct == 1.0
