"""Faults of the feed: what a client gets instead of a frame.

Rule 1: frames pass in one order: silence, acks, changed text, multiplied, held or exchanged, delayed.
Rule 2: pong, post answers, acks and errors are data of nobody: only a fault that names their channel touches them.
"""

from collections.abc import Iterable, Sequence

import msgspec

from streaming.sim.venue.faults.board import Fault, FaultBoard
from streaming.sim.venue.faults.text import again, broken_ack, changed
from streaming.sim.venue.feed.subscriptions import Topic
from streaming.sim.venue.hooks import Outgoing, Peer

FEED_KINDS = (
    "mute", "swap", "duplicate", "hold", "delay", "variant", "value", "ack", "time", "flood", "big_frame", "rename",
    "outage",
)  # fmt: skip
_CHANGES = ("variant", "value", "time", "rename", "big_frame")
_NEWEST = "newest connection"
_ACK = "subscriptionResponse"
_NOT_DATA = frozenset({_ACK, "pong", "error", "post", ""})


class FeedFaults:
    """Breaks frames on their way out."""

    def __init__(self, board: FaultBoard) -> None:
        self._board = board
        self._held: dict[Fault, list[tuple[Peer, str]]] = {}
        self._swapped: dict[tuple[int, Topic | None, str], tuple[Fault, Peer, str]] = {}

    @property
    def is_faulty(self) -> bool:
        """Whether frames have to be shown at all."""
        return self._board.has(FEED_KINDS) or bool(self._held) or bool(self._swapped)

    def frames_out(self, peer: Peer, channel: str, topic: Topic | None, text: str, now_ms: int) -> Sequence[Outgoing]:
        """Return what one client gets instead of a frame."""
        if self._board.active("outage", now_ms) is not None:
            return ()
        if channel == _ACK:
            return [Outgoing(each) for each in self._acks(peer, topic, text, now_ms)]
        frame = _Frame(peer, channel, topic, now_ms)
        if self._strike("mute", frame) is not None:
            return ()
        for kind in _CHANGES:
            if (fault := self._strike(kind, frame)) is not None:
                text = changed(kind, text, fault.values)
        texts = self._multiplied(frame, text)
        if (fault := self._holding(frame)) is not None:
            self._held.setdefault(fault, []).extend((peer, each) for each in texts)
            return ()
        texts = self._exchanged(frame, texts)
        delay = self._strike("delay", frame) if texts else None
        delay_ms = 0 if delay is None else int(delay.values["delay_ms"])
        return [Outgoing(each, delay_ms) for each in texts]

    def step(self, now_ms: int, connections: Iterable[int]) -> None:
        """Send what was held by faults that are over; forget what waits for connections that are gone.

        Args:
            now_ms: Venue time.
            connections: Numbers of the connections that are open.
        """
        if not self.is_faulty:
            return
        alive = set(connections)
        for fault in self._board.faults():
            if fault.spec.kind == "hold" and fault.state(now_ms) == "active":
                # Connections are counted, so the newest one tells which were open when the fault began.
                fault.once(_NEWEST, max(alive, default=0))
        for fault, held in tuple(self._held.items()):
            self._held[fault] = [(peer, text) for peer, text in held if peer.number in alive]
            if not self._board.is_active(fault, now_ms):
                for peer, text in self._held.pop(fault):
                    peer.push(text)
        for key, (fault, peer, text) in tuple(self._swapped.items()):
            if peer.number not in alive:
                del self._swapped[key]
            elif not self._board.is_active(fault, now_ms):
                del self._swapped[key]
                peer.push(text)

    def _acks(self, peer: Peer, topic: Topic | None, text: str, now_ms: int) -> list[str]:
        channels = (_ACK, topic.channel) if topic is not None else (_ACK,)
        coin = topic.coin if topic is not None else ""
        fault = self._board.strike("ack", now_ms, coin=coin, channels=channels, users=_users_of(peer, topic))
        return [text] if fault is None else broken_ack(text, str(fault.values["shape"]))

    def _multiplied(self, frame: "_Frame", text: str) -> list[str]:
        texts = [text]
        if (fault := self._strike("flood", frame)) is not None:
            texts += [again(text, number) for number in range(1, int(fault.values["times"]))]
        if (fault := self._strike("duplicate", frame)) is not None:
            texts = [each for each in texts for _ in range(1 + int(fault.values["times"]))]
        return texts

    def _holding(self, frame: "_Frame") -> Fault | None:
        fault = self._active("hold", frame)
        if fault is None:
            return None
        if fault.values["is_old_only"] and frame.peer.number > int(fault.recalled(_NEWEST) or 0):
            return None
        fault.strike()
        return fault

    def _exchanged(self, frame: "_Frame", texts: list[str]) -> list[str]:
        key = (frame.peer.number, frame.topic, frame.channel)
        if key in self._swapped:
            fault, _, first = self._swapped.pop(key)
            fault.strike()
            return [*texts, first]
        fault_now = self._active("swap", frame)
        if fault_now is None or not texts:
            return texts
        self._swapped[key] = (fault_now, frame.peer, texts[-1])
        return texts[:-1]

    def _strike(self, kind: str, frame: "_Frame") -> Fault | None:
        fault = self._active(kind, frame)
        if fault is not None:
            fault.strike()
        return fault

    def _active(self, kind: str, frame: "_Frame") -> Fault | None:
        fault = self._board.active(
            kind, frame.now_ms, coin=frame.coin, channels=frame.channels, users=_users_of(frame.peer, frame.topic)
        )
        is_meant = fault is not None and (frame.channel not in _NOT_DATA or frame.channel in fault.spec.channels)
        return fault if is_meant else None


class _Frame(msgspec.Struct, frozen=True):
    """What a frame is about."""

    peer: Peer
    channel: str
    topic: Topic | None
    now_ms: int

    @property
    def coin(self) -> str:
        return "" if self.topic is None else self.topic.coin

    @property
    def channels(self) -> tuple[str, ...]:
        """Its channel, and the subscription's where that has another name (`userEvents` speaks on `user`)."""
        return (self.channel,) if self.topic is None else (self.channel, self.topic.channel)


def _users_of(peer: Peer, topic: Topic | None) -> Iterable[str]:
    return (topic.user,) if topic is not None and topic.user else peer.users
