"""The store of presignatures: each leaves it once, in this process only."""

import os

from streaming.hyperliquid.signing import Signer
from streaming.shell.keys.presignatures import Presignatures

KEY = bytes.fromhex("0123456789012345678901234567890123456789012345678901234567890123")


def filled(count: int) -> Presignatures:
    store = Presignatures(KEY, count)
    for _ in range(count):
        store.prepare()
    return store


def test_it_holds_as_many_as_it_may_and_no_more() -> None:
    store = filled(3)
    store.prepare()
    assert len(store) == 3
    assert [store.take() is None for _ in range(4)] == [False, False, False, True]
    store.prepare()
    assert len(store) == 1


def test_none_at_all_signs_by_rfc_6979_only() -> None:
    store = Presignatures(KEY, 0)
    store.prepare()
    assert store.take() is None
    plain = Signer(KEY, is_mainnet=True).sign_l1(b"\x80", 1)
    assert Signer(KEY, is_mainnet=True, store=store).sign_l1(b"\x80", 1) == plain


def test_no_two_signatures_share_their_k() -> None:
    store = filled(200)
    signer = Signer(KEY, is_mainnet=True, store=store)
    assert len({signer.sign_l1(b"\x80", 1).r for _ in range(200)}) == 200
    assert (len(store), store.used_count) == (0, 200)


def test_forked_child_finds_none_of_its_parents() -> None:
    store = filled(1)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if store.take() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.take() is not None
