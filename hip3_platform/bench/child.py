"""One way of working days off, in a process of its own: `python -m hip3_platform.bench.child WAY ROOT OUT DAY ...`.

It prints one JSON object: seconds of the work, without start-up and imports, and the peak of its resident memory.
"""

import importlib
import json
import sys
from pathlib import Path
from time import perf_counter


def main(words: list[str]) -> None:
    """Work the days off and print what it took."""
    way, root, out, *days = words
    work = importlib.import_module(f"hip3_platform.bench.ways.{way}").work
    begin = perf_counter()
    for day in days:
        work(Path(root), Path(out), day)
    seconds = perf_counter() - begin
    sys.stdout.write(json.dumps({"seconds": seconds, "peak_mb": peak_mb()}) + "\n")


def peak_mb() -> float:
    """Return the highest resident memory of this process so far."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    main(sys.argv[1:])
