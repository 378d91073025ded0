"""Which code runs: the distribution's version and a hash of what decides.

Parity compares decisions made by equal code, so the hash covers the engine and the decoder, not documentation.
"""

import hashlib
from importlib.metadata import version
from importlib.resources import files

_PACKAGES = ("streaming.core", "streaming.hyperliquid")


def code_version() -> str:
    """Return `<version>+<12 hex digits>`."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for source in sorted(files(package).iterdir(), key=lambda item: item.name):
            if source.name.endswith(".py"):
                digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return f"{version('hip3')}+{digest.hexdigest()[:12]}"
