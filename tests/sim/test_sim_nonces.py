import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.sim.exchange.requests.nonces import AHEAD_MS, KEPT_COUNT, PAST_MS, Nonces

ANN, BOB = "0xaa", "0xbb"
NOW_MS = 1_790_000_000_000


def text_of(nonces: Nonces, nonce: int, *, signer: str = ANN, now_ms: int = NOW_MS) -> str | None:
    refused = nonces.refusal(signer, nonce, now_ms)
    return None if refused is None else refused.text


def with_used(*used: int) -> Nonces:
    nonces = Nonces()
    for nonce in used:
        nonces.use(ANN, nonce)
    return nonces


def test_nonce_used_twice_is_a_duplicate() -> None:
    nonces = with_used(NOW_MS)
    assert text_of(nonces, NOW_MS) == f"Invalid nonce: duplicate nonce {NOW_MS}"
    assert text_of(nonces, NOW_MS + 1) is None


def test_nonces_belong_to_their_signer() -> None:
    assert text_of(with_used(NOW_MS), NOW_MS, signer=BOB) is None


def test_nonce_below_the_smallest_of_a_hundred_kept_is_too_low() -> None:
    nonces = with_used(*range(NOW_MS, NOW_MS + KEPT_COUNT))
    assert text_of(nonces, NOW_MS - 1) == f"Invalid nonce: nonce too low {NOW_MS - 1} < {NOW_MS}"


def test_nonces_that_overtook_each_other_are_taken_while_fewer_than_a_hundred_are_kept() -> None:
    nonces = with_used(*range(NOW_MS, NOW_MS + KEPT_COUNT - 1))
    assert text_of(nonces, NOW_MS - 1) is None


def test_nonce_that_fell_out_of_the_hundred_kept_is_too_low_and_not_forgotten() -> None:
    nonces = with_used(*range(NOW_MS, NOW_MS + KEPT_COUNT + 1))
    assert text_of(nonces, NOW_MS) == f"Invalid nonce: nonce too low {NOW_MS} < {NOW_MS + 1}"


def test_gap_among_the_kept_can_be_used_once() -> None:
    nonces = with_used(*range(NOW_MS, NOW_MS + 2 * KEPT_COUNT, 2))
    assert text_of(nonces, NOW_MS + 3) is None
    nonces.use(ANN, NOW_MS + 3)
    assert text_of(nonces, NOW_MS + 3) == f"Invalid nonce: duplicate nonce {NOW_MS + 3}"


@pytest.mark.parametrize(
    ("nonce", "is_inside"),
    [
        (NOW_MS - PAST_MS, False),
        (NOW_MS - PAST_MS + 1, True),
        (NOW_MS + AHEAD_MS - 1, True),
        (NOW_MS + AHEAD_MS, False),
        (0, False),
    ],
)
def test_window_is_open_from_two_days_before_to_one_day_after(nonce: int, is_inside: bool) -> None:
    text = text_of(Nonces(), nonce)
    assert text is None if is_inside else text is not None and text.startswith("Invalid nonce: nonce")


def test_forget_lets_an_action_be_replayed() -> None:
    nonces = with_used(NOW_MS)
    nonces.forget(ANN)
    nonces.forget(BOB)
    assert text_of(nonces, NOW_MS) is None


@given(st.lists(st.integers(NOW_MS - 150, NOW_MS + 150), max_size=400))
def test_no_nonce_is_ever_taken_twice_and_the_highest_are_kept(arriving: list[int]) -> None:
    nonces, taken = Nonces(), []
    for nonce in arriving:
        if nonces.refusal(ANN, nonce, NOW_MS) is None:
            nonces.use(ANN, nonce)
            taken.append(nonce)
    assert len(taken) == len(set(taken))
    highest = sorted(taken)[-KEPT_COUNT:]
    for nonce in set(arriving) - set(taken):
        assert len(highest) == KEPT_COUNT
        assert nonce < highest[0]
