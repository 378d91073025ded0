"""The command line's side of the control API: finds the running sidecar of a warehouse and asks it.

The endpoint stands in `control/sidecar.json`, the token beside it; no proxy of the environment is used.
"""

import argparse
import getpass
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from streaming.contracts.control import API_PREFIX, STATUS_FILE, Answer, Endpoint
from streaming.contracts.paths import control_folder
from streaming.core.errors import Hip3Error
from streaming.shell.config.options import load
from streaming.shell.control.credential import read_token
from streaming.shell.process.sockets import LOOPBACK

TIMEOUT_S = 10.0
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotRunning(Hip3Error):
    """No sidecar answers for this warehouse."""


class Client:
    """One sidecar's control API."""

    def __init__(self, root: Path, port: int | None) -> None:
        """Find the sidecar of `root`; `port` given on the command line comes first."""
        self._root = root
        self._url = f"http://{LOOPBACK}:{port}" if port else _announced_url(root)

    def get(self, path: str) -> bytes:
        """Return the body of a read-only route; raises `NotRunning`."""
        return self._request("GET", path, None, {})[1]

    def post(self, verb: str, body: dict[str, object]) -> Answer:
        """Send a changing verb with the warehouse's token.

        Raises:
            ConfigError: If the token can not be used.
            NotRunning: If nobody answers.
        """
        headers = {"Authorization": f"Bearer {read_token(self._root)}", "Content-Type": "application/json"}
        _, raw = self._request("POST", f"{API_PREFIX}/{verb}", json.dumps(body).encode(), headers)
        try:
            return msgspec.json.decode(raw, type=Answer)
        except msgspec.MsgspecError as error:
            raise NotRunning(f"expected an answer of hip3 at {self._url}, found {raw[:80]!r}") from error

    def _request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        request = urllib.request.Request(self._url + path, data=body, headers=headers, method=method)  # noqa: S310
        try:
            with _opener.open(request, timeout=TIMEOUT_S) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except (OSError, urllib.error.URLError) as error:
            raise NotRunning(
                f"expected a running sidecar at {self._url}, found {getattr(error, 'reason', error)}; start `hip3 run` "
                f"with the warehouse {self._root}, or pass --control-port"
            ) from error


def _announced_url(root: Path) -> str:
    path = control_folder(root) / STATUS_FILE
    try:
        url = msgspec.json.decode(path.read_bytes(), type=Endpoint).control_url
    except OSError as error:
        raise NotRunning(
            f"expected a running sidecar of the warehouse {root}, found no {path.name} in {path.parent}; start "
            "`hip3 run`, or pass --warehouse"
        ) from error
    except msgspec.MsgspecError as error:
        raise NotRunning(f"expected an endpoint in {path}, found {str(error)[:100]}; restart `hip3 run`") from error
    if urlsplit(url).hostname != LOOPBACK:
        raise NotRunning(f"expected a loopback address in {path}, found {url[:80]!r}; restart `hip3 run`")
    return url


def operator_of(name: str | None) -> str:
    """Return who asks: the given name, else the user's."""
    return name or getpass.getuser()


def print_answer(command: str, answer: Answer, *, is_json: bool, done: str) -> int:
    """Print the answer of a verb and return the exit code: 0 accepted, 1 refused."""
    if is_json:
        sys.stdout.write(msgspec.json.encode(answer).decode() + "\n")
    elif answer.is_accepted:
        sys.stdout.write("\n".join((done, *answer.reasons)) + "\n")
    else:
        sys.stderr.writelines(f"hip3 {command}: refused: {reason}\n" for reason in answer.reasons)
    return 0 if answer.is_accepted else 1


def connect(args: argparse.Namespace) -> Client:
    """Return the client of a command line's warehouse and port; raises `ConfigError`."""
    loaded = load(args)
    return Client(loaded.config.root, loaded.config.control_port if args.control_port else None)
