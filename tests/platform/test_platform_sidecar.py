"""The client of the control API against a small server on loopback: the wire, the token, and every kind of trouble."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from hip3_platform.resources.sidecar import SidecarAbsent, SidecarFailed, SidecarResource
from streaming.contracts.control import STATUS_FILE, TOKEN_FILE, Answer, Endpoint, RotationAnswer
from streaming.contracts.paths import control_folder

HELD = RotationAnswer(is_accepted=True, version=7, sha256="abc")


@dataclass
class Server:
    """What the server answers next, and what it was asked."""

    status: int = 200
    body: bytes = msgspec.json.encode(HELD)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def server() -> Iterator[Server]:
    plan = Server()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            plan.asked.append((self.command, self.path, dict(self.headers), body))
            self.send_response(plan.status)
            self.send_header("Content-Length", str(len(plan.body)))
            self.end_headers()
            self.wfile.write(plan.body)

        do_GET = do_PUT = _answer  # noqa: N815 - names that http.server calls

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    plan.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield plan
    http.shutdown()
    thread.join()
    http.server_close()


def _announce(root: Path, url: str) -> SidecarResource:
    folder = control_folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    endpoint = Endpoint(pid=1, session_id="s", venue="sim", control_url=url, started_ts_ns=0)
    (folder / STATUS_FILE).write_bytes(msgspec.json.encode(endpoint))
    (folder / TOKEN_FILE).write_text("secret-token\n")
    return SidecarResource(root=str(root))


@pytest.fixture
def sidecar(tmp_path: Path, server: Server) -> SidecarResource:
    return _announce(tmp_path, f"http://127.0.0.1:{server.port}")


def test_rotation_in_force_is_read_without_a_token(sidecar: SidecarResource, server: Server) -> None:
    assert sidecar.rotation() == HELD
    method, path, headers, _ = server.asked[0]
    assert (method, path) == ("GET", "/v1/rotation")
    assert "Authorization" not in headers


def test_push_sends_bytes_token_and_what_it_replaces(sidecar: SidecarResource, server: Server) -> None:
    assert sidecar.push_rotation(b'{"a":1}', "abc").is_accepted
    method, path, headers, body = server.asked[0]
    assert (method, path, body) == ("PUT", "/v1/rotation", b'{"a":1}')
    assert headers["Authorization"] == "Bearer secret-token"
    assert headers["If-Match"] == '"abc"'
    sidecar.push_rotation(b"{}", "")
    assert "If-Match" not in server.asked[1][2]


def test_push_refused_returns_every_reason(sidecar: SidecarResource, server: Server) -> None:
    refused = RotationAnswer(is_accepted=False, version=8, sha256="x", reasons=("unknown market", "expired"))
    server.status, server.body = 422, msgspec.json.encode(refused)
    assert sidecar.push_rotation(b"{}", "abc").reasons == ("unknown market", "expired")


@pytest.mark.parametrize("status", [401, 403, 413, 428])
def test_push_turned_away_is_a_refusal_with_its_reason(sidecar: SidecarResource, server: Server, status: int) -> None:
    server.status, server.body = status, msgspec.json.encode(Answer(is_accepted=False, reasons=("no token",)))
    answer = sidecar.push_rotation(b"{}", "abc")
    assert (answer.is_accepted, answer.reasons) == (False, ("no token",))


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"version": "seven"}'])
def test_answer_outside_the_contract_is_a_typed_error(sidecar: SidecarResource, server: Server, body: bytes) -> None:
    server.status, server.body = 500, body
    with pytest.raises(SidecarFailed, match="HTTP 500"):
        sidecar.rotation()


def test_nobody_listening_is_absent(tmp_path: Path, server: Server) -> None:
    with pytest.raises(SidecarAbsent, match="hip3 run"):
        SidecarResource(root=str(tmp_path)).rotation()
    gone = _announce(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(SidecarAbsent, match="nobody listens"):
        gone.rotation()
    assert server.asked == []


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://example.org", "file:///etc/passwd"])
def test_endpoint_beyond_loopback_is_never_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(SidecarFailed, match="loopback"):
        _announce(tmp_path, url).status()


def test_damaged_endpoint_or_missing_token_is_a_typed_error(tmp_path: Path, sidecar: SidecarResource) -> None:
    (control_folder(tmp_path) / TOKEN_FILE).unlink()
    with pytest.raises(SidecarFailed, match="token"):
        sidecar.push_rotation(b"{}", "")
    (control_folder(tmp_path) / STATUS_FILE).write_bytes(b"{")
    with pytest.raises(SidecarFailed, match="can not be read"):
        sidecar.status()
