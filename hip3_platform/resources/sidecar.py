"""Client of the sidecar's control API. It finds the running sidecar by the endpoint file in the warehouse.

Rule 1: every call is bounded in time; trouble is one of three typed errors, an answer is a value (refusals included).
Rule 2: only loopback is spoken to: the endpoint file decides the port, never the host (F-106).
"""

from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import dagster as dg
import httpx
import msgspec

from streaming.contracts.control import (
    API_PREFIX,
    STATUS_FILE,
    TOKEN_FILE,
    Answer,
    Endpoint,
    RotationAnswer,
    StatusView,
)
from streaming.contracts.paths import control_folder
from streaming.core.errors import Hip3Error

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
T = TypeVar("T")
TIMEOUT = httpx.Timeout(5.0, connect=2.0)


class SidecarError(Hip3Error):
    """The sidecar could not be asked."""


class SidecarAbsent(SidecarError):
    """No sidecar has announced itself, or nobody listens where it did."""


class SidecarFailed(SidecarError):
    """The sidecar answered outside its contract, or not in time; a push may or may not have been applied."""


class SidecarResource(dg.ConfigurableResource[None]):
    """The sidecar that writes to the warehouse `root`."""

    root: str

    def endpoint(self) -> Endpoint:
        """Return where the sidecar said it listens; raises SidecarAbsent if none did."""
        path = control_folder(Path(self.root)) / STATUS_FILE
        try:
            endpoint = msgspec.json.decode(path.read_bytes(), type=Endpoint)
        except FileNotFoundError as error:
            raise SidecarAbsent(f"no sidecar has written {path}; start one with `hip3 run`") from error
        except msgspec.DecodeError as error:
            raise SidecarFailed(f"{path} can not be read: {error}") from error
        if urlsplit(endpoint.control_url).hostname not in LOOPBACK:
            raise SidecarFailed(f"{path} names {endpoint.control_url[:80]!r}; only loopback addresses are used")
        return endpoint

    def status(self) -> StatusView:
        """Return the sidecar's status; raises SidecarError."""
        return _decoded(self._ask("GET", "status"), StatusView)

    def rotation(self) -> RotationAnswer:
        """Return the rotation in force (version 0 before the first); raises SidecarError."""
        return _decoded(self._ask("GET", "rotation"), RotationAnswer)

    def push_rotation(self, raw: bytes, replaces_sha256: str) -> RotationAnswer:
        """Send a document that replaces the one in force.

        Args:
            raw: Bytes of the document; its identity is their sha256.
            replaces_sha256: Identity of the document in force; "" if there is none.

        Returns:
            The answer; a refusal carries every reason.

        Raises:
            SidecarError: Nobody answered, or not in the shape of the contract.
        """
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        if replaces_sha256:
            headers["If-Match"] = f'"{replaces_sha256}"'
        response = self._ask("PUT", "rotation", content=raw, headers=headers)
        if response.status_code in {200, 422} and b'"sha256"' in response.content:
            return _decoded(response, RotationAnswer)
        refusal = _decoded(response, Answer)
        return RotationAnswer(is_accepted=False, version=0, sha256="", reasons=refusal.reasons)

    def _token(self) -> str:
        path = control_folder(Path(self.root)) / TOKEN_FILE
        try:
            return path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SidecarFailed(f"the control token can not be read ({type(error).__name__}): {path}") from error

    def _ask(
        self, method: str, verb: str, *, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        url = f"{self.endpoint().control_url.rstrip('/')}{API_PREFIX}/{verb}"
        try:
            # The environment's proxies are ignored: this is loopback.
            with httpx.Client(timeout=TIMEOUT, trust_env=False) as client:
                return client.request(method, url, content=content, headers=headers)
        except httpx.ConnectError as error:
            raise SidecarAbsent(f"nobody listens at {url}; the sidecar has ended") from error
        except httpx.HTTPError as error:
            raise SidecarFailed(f"{method} {url}: {type(error).__name__}: {error}") from error


def _decoded(response: httpx.Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except msgspec.DecodeError as error:
        shown = response.content[:120]
        raise SidecarFailed(f"{response.url}: HTTP {response.status_code} is no {kind.__name__}: {shown!r}") from error
