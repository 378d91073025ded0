"""Log lines: JSON, no secret in them, and never a reason to stop."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from streaming.shell.telemetry import logs
from streaming.shell.telemetry.logs import StderrWriter, bind_session, configure_logs, get_logger, redacted

KEY = "0x" + "a1" * 32


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    root_handlers, root_level = logging.root.handlers[:], logging.root.level
    yield reader, writer
    for fd in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(fd)
    logs._session.clear()
    logs._seq_source.clear()
    logging.root.handlers[:] = root_handlers
    logging.root.setLevel(root_level)
    structlog.reset_defaults()


def lines(reader: int) -> list[dict[str, object]]:
    return [json.loads(line) for line in os.read(reader, 65_536).decode().splitlines()]


def test_logs_line_is_json_with_session_sequence_and_configuration(pipe: tuple[int, int]) -> None:
    configure_logs(pipe[1])
    bind_session("s-1", "hash-1", lambda: 42)
    get_logger(component="test").warning("thing_happened", wait_ms=5)
    [line] = lines(pipe[0])
    wanted = {"event": "thing_happened", "session_id": "s-1", "config_hash": "hash-1", "seq": 42, "wait_ms": 5}
    assert wanted.items() <= line.items()


def test_logs_secrets_are_taken_out_wherever_they_stand(pipe: tuple[int, int]) -> None:
    configure_logs(pipe[1])
    log = get_logger()
    log.info(
        "text", note=f"found {KEY} here", nested={"deep": [KEY, {"Token": "abc"}]}, agent_key="abc", raw=KEY.encode()
    )
    log.error("failed", exc_info=ValueError(f"bad key {KEY}"))
    logging.getLogger("some.library").error("sending %s", KEY)
    written = os.read(pipe[0], 65_536).decode()
    assert len(written.splitlines()) == 3
    assert KEY[2:] not in written
    assert "abc" not in written


def test_logs_public_hashes_and_addresses_stay() -> None:
    address = "0x" + "12" * 20
    assert redacted({"sha256": "ab" * 32, "account": address}) == {"sha256": "ab" * 32, "account": address}


def test_logs_closed_reader_drops_lines_and_counts_them(pipe: tuple[int, int]) -> None:
    writer = configure_logs(pipe[1])
    os.close(pipe[0])
    get_logger().info("into_the_void")
    assert writer.dropped_count == 1


def test_logs_closed_descriptor_drops_lines_and_counts_them(pipe: tuple[int, int]) -> None:
    writer = configure_logs(pipe[1])
    os.close(pipe[1])
    get_logger().info("into_the_void")
    assert writer.dropped_count == 1


def test_logs_full_pipe_that_does_not_block_drops_lines(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    writer = configure_logs(pipe[1])
    log = get_logger()
    while not writer.dropped_count:
        log.info("much", text="x" * 4_000)
    assert writer.dropped_count == 1


def test_f74_a_full_pipe_that_nobody_reads_drops_lines_and_never_blocks() -> None:
    reading, writing = os.pipe()
    try:
        writer = StderrWriter(writing)
        for _ in range(200):  # a pipe holds 64 KiB; a blocked write would end in the test's time-out
            writer.msg("x" * 1_000)
        assert writer.dropped_count > 100
        taken = os.read(reading, 1 << 20)
        assert taken.count(b"\n") == 200 - writer.dropped_count
        writer.msg("again")
        assert os.read(reading, 100) == b"again\n"
    finally:
        os.close(reading)
        os.close(writing)
