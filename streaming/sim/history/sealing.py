"""Who seals the parts of a day: this process, or a second one that leaves this core to the engine.

Rule 1: both hand the same columns to the same writer in the same order, so the parts are the same byte for byte.
Rule 2: the second process owns nothing. It ends with its stdin, and a part counts only once it has answered.
Rule 3: tables go over as Arrow streams, so a value arrives as it was; a thread over there takes them in at once, and
`catch_up` bounds how far ahead the engine is: two hours.
"""

import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol, Self

import msgspec
import pyarrow as pa

from streaming.contracts.manifest import ManifestLine
from streaming.core.errors import StoreError
from streaming.core.state import SessionInfo
from streaming.shell.tables.seal import PartWriter

_END_S = 5.0
_TABLE, _DAY = b"table", b"day"


class Sealer(Protocol):
    """Seals columns of tables in the order given."""

    def seal(self, table: str, day: str, columns: Mapping[str, pa.Array]) -> None:
        """Seal a part of one day; raises StoreError if an earlier one could not be sealed."""

    def catch_up(self) -> None:
        """Wait until everything given before the last `catch_up` is sealed."""

    def finish(self) -> list[ManifestLine]:
        """Wait until everything is sealed and return the lines in order."""


class Here:
    """Seals in this process."""

    def __init__(self, root: Path, session: SessionInfo) -> None:
        """Seal parts of `session` under `root`."""
        self._writer = _writer(root, session)
        self._lines: list[ManifestLine] = []

    def seal(self, table: str, day: str, columns: Mapping[str, pa.Array]) -> None:
        """Seal at once."""
        self._lines.append(self._writer.seal_columns(table, day, columns))

    def catch_up(self) -> None:
        """Nothing is ever waited for."""

    def finish(self) -> list[ManifestLine]:
        """Return the lines in order."""
        return self._lines


class _Work(msgspec.Struct, frozen=True):
    root: str
    session: SessionInfo


class _Sealed(msgspec.Struct, frozen=True, tag=True):
    line: ManifestLine


class _Failed(msgspec.Struct, frozen=True, tag=True):
    reason: str


_decode_answer = msgspec.json.Decoder(_Sealed | _Failed).decode


class Aside:
    """Seals in a second process, which lives as long as the context."""

    def __init__(self, root: Path, session: SessionInfo) -> None:
        """Prepare to seal parts of `session` under `root`."""
        work = msgspec.json.encode(_Work(str(root), session)).decode()
        self._command = [sys.executable, "-m", "streaming.sim.history.sealing", work]
        self._lines: list[ManifestLine] = []
        self._given_count = 0
        self._due_count = 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - our own module
        self._tables, self._answers = _piped(self._process.stdin), _piped(self._process.stdout)
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._process.kill()
        self._process.wait()
        self._answers.close()
        self._close_tables()

    def seal(self, table: str, day: str, columns: Mapping[str, pa.Array]) -> None:
        """Hand a part over."""
        body = pa.table(dict(columns))
        schema = body.schema.with_metadata({_TABLE: table.encode(), _DAY: day.encode()})
        try:
            with pa.ipc.new_stream(self._tables, schema) as stream:
                stream.write_table(body)
            self._tables.flush()
        except BrokenPipeError:
            self._wait_for(self._given_count + 1)
        self._given_count += 1

    def catch_up(self) -> None:
        """Wait until everything given before the last `catch_up` is sealed."""
        self._wait_for(self._due_count)
        self._due_count = self._given_count

    def finish(self) -> list[ManifestLine]:
        """Wait until everything is sealed, end the process, and return the lines in order."""
        self._close_tables()
        self._wait_for(self._given_count)
        self._process.wait(_END_S)
        return self._lines

    def _close_tables(self) -> None:
        # Closing flushes what a dead process does not read any more; its answers tell why.
        with suppress(BrokenPipeError):
            self._tables.close()

    def _wait_for(self, count: int) -> None:
        while len(self._lines) < count:
            raw = self._answers.readline()
            if not raw.endswith(b"\n"):
                raise StoreError(f"expected the sealing process to answer, found it ended: {self._process.wait()}")
            answer = _decode_answer(raw)
            if isinstance(answer, _Failed):
                raise StoreError(answer.reason)
            self._lines.append(answer.line)


def _piped(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise StoreError("the sealing process has no pipes")
    return stream


def _writer(root: Path, session: SessionInfo) -> PartWriter:
    return PartWriter(root, venue=session.venue, session_id=session.session_id, config_hash=session.config_hash)


def _main(work: _Work) -> None:
    """Seal what arrives on stdin and answer a line a part on stdout."""
    # Ctrl-C reaches the whole group; the other process decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    writer = _writer(Path(work.root), work.session)
    arrived: queue.SimpleQueue[pa.Table | None] = queue.SimpleQueue()
    threading.Thread(target=_take_in, args=(sys.stdin.buffer, arrived), daemon=True).start()
    while (body := arrived.get()) is not None:
        table, day = (body.schema.metadata[key].decode() for key in (_TABLE, _DAY))
        try:
            answer: _Sealed | _Failed = _Sealed(writer.seal_columns(table, day, _columns(body)))
        except (StoreError, OSError) as error:
            answer = _Failed(str(error))
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
        if isinstance(answer, _Failed):
            return


def _columns(body: pa.Table) -> dict[str, pa.Array]:
    return {name: body[name].combine_chunks() for name in body.column_names}


def _take_in(pipe: IO[bytes], arrived: "queue.SimpleQueue[pa.Table | None]") -> None:
    try:
        while True:
            arrived.put(pa.ipc.open_stream(pipe).read_all())
    except (pa.ArrowInvalid, OSError):
        # The end of the pipe, between two tables or within one: nobody waits for more.
        arrived.put(None)


if __name__ == "__main__":
    _main(msgspec.json.decode(sys.argv[1], type=_Work))
