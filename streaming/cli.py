"""The console script `hip3`: finds the typed subcommand among the entry points `hip3.commands` and imports only that.

A command module has `HELP`, `add_arguments(parser)` and `run(args) -> exit code`. Which commands exist depends on which
extras are installed: a command whose module can not be imported is named with the extra that brings it.

Exit codes: 0 done, 1 the answer is no (a difference, a refusal), 2 usage or configuration, 3 preflight refused,
4 store, 5 second instance, 6 port occupied, 70 a bug of ours, 130 Ctrl-C.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points, version
from typing import Protocol, cast

from streaming.core.errors import ConfigError, Hip3Error, InvariantViolation, PreflightRefused, StoreError
from streaming.core.units import use_exact_decimals

GROUP = "hip3.commands"


class Command(Protocol):
    """What an entry point of the group resolves to (a module)."""

    HELP: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def _commands() -> dict[str, EntryPoint]:
    return {point.name: point for point in sorted(entry_points(group=GROUP), key=lambda p: p.name)}


def _load(point: EntryPoint) -> Command:
    try:
        return cast(Command, importlib.import_module(point.value))
    except ModuleNotFoundError as error:
        extra = "platform" if point.value.startswith("hip3_platform") else "sidecar"
        raise ConfigError(
            f"`hip3 {point.name}` needs the module {error.name!r}, which is not installed; install hip3[{extra}]"
        ) from error


def _overview(commands: dict[str, EntryPoint]) -> str:
    lines = ["usage: hip3 COMMAND [options]        hip3 COMMAND --help says more", "", "commands:"]
    for name, point in commands.items():
        try:
            text = _load(point).HELP
        except ConfigError as error:
            text = f"({error})"
        lines.append(f"  {name:<10} {text}")
    return "\n".join(lines)


def _exit_code_of(error: Hip3Error) -> int:
    match error:
        case ConfigError():
            return 2
        case PreflightRefused():
            return 3
        case StoreError():
            return 4
        case InvariantViolation():
            return 70
        case _:
            return 1


def _run_command(point: EntryPoint, words: list[str]) -> int:
    try:
        command = _load(point)
        parser = argparse.ArgumentParser(prog=f"hip3 {point.name}", description=command.HELP)
        command.add_arguments(parser)
        return command.run(parser.parse_args(words))
    except Hip3Error as error:
        reasons = error.reasons if isinstance(error, PreflightRefused) else (str(error),)
        for reason in reasons:
            print(f"hip3 {point.name}: {reason}", file=sys.stderr)
        return _exit_code_of(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output is gone (`hip3 status | head`); nothing is left to say, and not to flush either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code; expected trouble becomes one line on stderr."""
    words = sys.argv[1:] if argv is None else argv
    use_exact_decimals()
    commands = _commands()
    if not words or words[0] in {"-h", "--help"}:
        print(_overview(commands))
        return 0
    if words[0] in {"-V", "--version"}:
        print(version("hip3"))
        return 0
    point = commands.get(words[0])
    if point is None:
        print(f"hip3: expected one of {', '.join(commands)}; found {words[0][:40]!r}", file=sys.stderr)
        return 2
    return _run_command(point, words[1:])


if __name__ == "__main__":
    sys.exit(main())
