"""What every input and every output of the engine carries: its two stamps.

`*_mono_ns` is CLOCK_BOOTTIME (counts suspend; never compared across boots), `*_ts_ns` our wall clock in UTC.
"""

import msgspec


class Event(msgspec.Struct, frozen=True, gc=False, tag=True, kw_only=True):
    """Base of all inputs."""

    recv_mono_ns: int
    recv_ts_ns: int


class Output(msgspec.Struct, frozen=True, gc=False, tag=True, kw_only=True):
    """Base of all outputs."""

    ts_ns: int
    mono_ns: int
