"""Proves that each extra installs and imports alone: a wheel, a fresh environment an extra, the modules it promises.

It also proves what must be absent: the sidecar brings no Dagster, the platform no market-data socket, no key handling.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
PROMISES = {
    "sidecar": (
        "import streaming.shell.commands.run, streaming.shell.runtime, streaming.sim.venue.server",
        "dagster duckdb polars",
    ),
    "platform": ("import hip3_platform.definitions, hip3_platform.cli.loop", "picows coincurve eth_account"),
}


def _sh(*words: object, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(w) for w in words], cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def _prove(extra: str, wheel: Path, folder: Path) -> None:
    imports, absent = PROMISES[extra]
    venv = folder / extra
    _sh(UV, "venv", "--quiet", "--python", sys.executable, venv)
    python = venv / "bin" / "python"
    _sh(
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--require-hashes",
        "-r",
        ROOT / f"requirements/{extra}.txt",
    )
    _sh(UV, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel)
    _sh(python, "-c", imports, cwd=folder)  # from elsewhere: the checkout must not help
    _sh(venv / "bin" / "hip3", "--help", cwd=folder)
    probe = f"import importlib.util as u; bad=[m for m in {absent.split()!r} if u.find_spec(m)]; assert not bad, bad"
    _sh(python, "-c", probe, cwd=folder)
    print(f"extra {extra}: installs, imports and runs `hip3 --help` alone; absent as promised: {absent}")


def main() -> None:
    """Build the wheel and prove every extra."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _sh(UV, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable, "-o", folder)
        wheel = next(folder.glob("*.whl"))
        for extra in PROMISES:
            _prove(extra, wheel, folder)


if __name__ == "__main__":
    main()
