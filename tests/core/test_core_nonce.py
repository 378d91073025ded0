import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.core.errors import InvariantViolation
from streaming.core.trading.nonce import AHEAD_MS_MAX, NonceState, next_nonce, raise_floor, raise_floor_by_venue
from streaming.core.units import NS_PER_MS

NOW_MS = 1_790_000_000_000
NOW_NS = NOW_MS * NS_PER_MS
DAY_MS = 86_400_000

clocks_ms = st.lists(
    st.one_of(
        st.integers(1, 2 * NOW_MS),
        st.integers(NOW_MS - 3 * DAY_MS, NOW_MS + 3 * DAY_MS),
        st.integers(NOW_MS - 10, NOW_MS + 10),
    ),
    min_size=1,
    max_size=60,
)


def test_first_nonce_is_the_time_in_ms_and_never_counts_from_zero() -> None:
    assert next_nonce(NonceState(), NOW_NS + 999_999) == NOW_MS


def test_nonces_of_one_ms_count_up_and_the_clock_takes_over_again() -> None:
    state = NonceState()

    assert [next_nonce(state, NOW_NS) for _ in range(3)] == [NOW_MS, NOW_MS + 1, NOW_MS + 2]
    assert next_nonce(state, NOW_NS + 5 * NS_PER_MS) == NOW_MS + 5


@pytest.mark.parametrize("now_ts_ns", [0, 999_999, -NOW_NS])
def test_clock_that_was_never_set_is_our_bug(now_ts_ns: int) -> None:
    with pytest.raises(InvariantViolation, match="I-04"):
        next_nonce(NonceState(), now_ts_ns)


def test_clock_that_steps_back_an_hour_still_gets_increasing_nonces() -> None:
    state = NonceState()
    next_nonce(state, NOW_NS)

    assert next_nonce(state, NOW_NS - 3_600_000 * NS_PER_MS) == NOW_MS + 1


def test_clock_that_steps_back_a_day_gets_no_nonce_until_it_is_right_again() -> None:
    state = NonceState()
    next_nonce(state, NOW_NS)

    assert next_nonce(state, NOW_NS - DAY_MS * NS_PER_MS) is None
    assert state.last == NOW_MS
    assert next_nonce(state, NOW_NS) == NOW_MS + 1


def test_last_nonce_ahead_of_the_clock_is_the_last_of_the_window() -> None:
    state = NonceState(last=NOW_MS + AHEAD_MS_MAX - 1)

    assert next_nonce(state, NOW_NS) == NOW_MS + AHEAD_MS_MAX
    assert next_nonce(state, NOW_NS) is None


def test_floor_only_rises() -> None:
    state = NonceState()
    raise_floor(state, NOW_MS + 7)
    raise_floor(state, 3)

    assert next_nonce(state, NOW_NS) == NOW_MS + 8


def test_venue_that_keeps_a_higher_nonce_raises_the_floor() -> None:
    state = NonceState(last=NOW_MS)

    assert raise_floor_by_venue(state, NOW_MS + 500, NOW_NS)
    assert next_nonce(state, NOW_NS) == NOW_MS + 501


@pytest.mark.parametrize("floor", [NOW_MS + DAY_MS + 1, 10**18])
def test_floor_that_no_venue_can_keep_does_not_take_our_nonces_away(floor: int) -> None:
    state = NonceState(last=NOW_MS)

    assert not raise_floor_by_venue(state, floor, NOW_NS)
    assert next_nonce(state, NOW_NS) == NOW_MS + 1


@given(clocks_ms=clocks_ms, restarts=st.lists(st.booleans(), min_size=60, max_size=60))
def test_nonces_strictly_increase_inside_the_window_over_any_clock_and_restarts(
    clocks_ms: list[int], restarts: list[bool]
) -> None:
    # I-04
    state, nonces = NonceState(), [0]
    for now_ms, is_restart in zip(clocks_ms, restarts, strict=False):
        if is_restart:
            state = NonceState()
            raise_floor(state, nonces[-1])
        nonce = next_nonce(state, now_ms * NS_PER_MS)
        if nonce is None:
            assert nonces[-1] + 1 > now_ms + AHEAD_MS_MAX
            continue
        assert nonces[-1] < nonce
        assert now_ms <= nonce < now_ms + DAY_MS
        nonces.append(nonce)


def test_state_survives_a_snapshot() -> None:
    state = NonceState(last=NOW_MS)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=NonceState) == state
