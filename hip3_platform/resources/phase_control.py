"""What the platform may do to a running sidecar beyond a rotation: lower its phase, and stop it.

Rule: it speaks with the platform's own token, which the sidecar takes for rotations, lower phases and stops only
(`streaming.shell.control.api`): no mistake here can raise a phase, arm or reset.
"""

from pathlib import Path

import msgspec

from hip3_platform.resources.sidecar import SidecarFailed, SidecarResource
from streaming.contracts.control import PLATFORM_TOKEN_FILE, Answer, PhaseBody, StopBody
from streaming.contracts.paths import control_folder

OPERATOR = "platform"


class PhaseControl(SidecarResource):
    """The sidecar that writes to the warehouse `root`, with the platform's token."""

    def demote(self, phase: str, reason: str) -> Answer:
        """Lower the phase; one that is as low already is accepted and changes nothing. Raises SidecarError."""
        return self._post("phase", PhaseBody(phase=phase, reason=reason, operator=OPERATOR))

    def latch(self, reason: str) -> Answer:
        """Set the stop latch; one that is set keeps its first reason. Raises SidecarError."""
        return self._post("stop", StopBody(reason=reason, operator=OPERATOR))

    def _post(self, verb: str, body: msgspec.Struct) -> Answer:
        headers = {"Authorization": f"Bearer {self._platform_token()}", "Content-Type": "application/json"}
        response = self._ask("POST", verb, content=msgspec.json.encode(body), headers=headers)
        try:
            return msgspec.json.decode(response.content, type=Answer)
        except msgspec.DecodeError as error:
            shown = response.content[:120]
            raise SidecarFailed(f"{response.url}: HTTP {response.status_code} is no answer: {shown!r}") from error

    def _platform_token(self) -> str:
        path = control_folder(Path(self.root)) / PLATFORM_TOKEN_FILE
        try:
            return path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SidecarFailed(f"the platform's token can not be read ({type(error).__name__}): {path}") from error
