"""Nothing of the engine is inert: a setting is read, a function is called, an input and an output really come to be.

At the predecessor's end `signal_halt`, `signal_param_change`, `sync_with_server` and `check_timeouts` had no caller,
`max_oi_fraction` no reader, and the loss stop listened to events that nothing sent: all of it tested, none of it alive
(section 3.4, 8.5). Tests of a part can not see that; only a look at who uses it can.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from streaming.core import limits as limits_module
from streaming.core.effects import AnyOutput
from streaming.core.events import AnyEvent
from streaming.core.limits import ActionLimits, Limits
from streaming.shell.config.schema import Config, problems

ROOT = Path(__file__).resolve().parents[2]
TREES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "streaming").rglob("*.py"))}
CORE = {path: tree for path, tree in TREES.items() if path.is_relative_to(ROOT / "streaming" / "core")}

KNOWN_INERT: dict[str, str] = {}
"""What no product code calls, and why. Whatever is called again has to leave this list."""


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def names_in(tree: ast.AST) -> frozenset[str]:
    """Return each name that is read: plain ones and attributes."""
    plain = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return frozenset(plain | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)})


USED = {path: names_in(tree) for path, tree in TREES.items()}
MODULES = frozenset(map(module_of, TREES))


def imports_of(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    """Yield (module, name, name here) of each import from a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name, alias.asname or alias.name) for alias in node.names)


def live_names() -> set[str]:
    """Return `module:name` of everything that is used where it stands, or imported and used elsewhere."""
    found: set[str] = set()
    for path, tree in TREES.items():
        used = USED[path]
        found |= {f"{module_of(path)}:{name}" for name in used}
        for module, name, here in imports_of(tree):
            if f"{module}.{name}" in MODULES:  # a module under a short name: what is read off it
                found |= {f"{module}.{name}:{attribute}" for attribute in used}
            elif here in used:
                found.add(f"{module}:{name}")
    return found


def public_functions() -> Iterator[str]:
    for path, tree in CORE.items():
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        yield from (f"{module_of(path)}:{name}" for name in functions if not name.startswith("_"))


def test_every_function_of_the_engine_has_a_caller_in_the_product() -> None:
    inert = set(public_functions()) - live_names()
    assert inert - KNOWN_INERT.keys() == set(), "tested at most, called by nothing: wire it or remove it"
    assert KNOWN_INERT.keys() - inert == set(), "called, or gone: take them off the list"


def called_names(trees: dict[Path, ast.Module]) -> set[str]:
    """Return the names of all classes and functions that are called anywhere, or handed on to be called."""
    return {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for tree in trees.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    }


def members(union: object) -> list[str]:
    return [kind.__name__ for kind in union.__args__]  # type: ignore[attr-defined]


def test_every_output_is_made_somewhere_in_the_engine() -> None:
    made = called_names(CORE)
    assert [name for name in members(AnyOutput) if name not in made] == []


def test_every_input_is_made_somewhere_outside_the_engine() -> None:
    outside = {path: tree for path, tree in TREES.items() if path not in CORE}
    made = frozenset().union(*[USED[path] for path in outside])
    assert [name for name in members(AnyEvent) if name not in made] == []


SETTINGS = [
    f"{kind.__name__}.{name}"
    for kind in (
        Config,
        *[k for k in vars(limits_module).values() if isinstance(k, type) and issubclass(k, msgspec.Struct)],
    )
    for name in kind.__struct_fields__
]
JUDGES = {ROOT / "streaming" / "core" / "limits.py", ROOT / "streaming" / "shell" / "config" / "schema.py"}
"""Where settings are declared and judged: reading them there moves nothing."""


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_read_by_what_it_is_about(setting: str) -> None:
    name = setting.partition(".")[2]
    readers = [path for path in TREES if path not in JUDGES and name in USED[path]]
    assert readers


@pytest.mark.parametrize(
    ("name", "value"), [("exit_in_flight_count", 20), ("exit_token_count", 40), ("entry_batch_ms", 1_000)]
)
def test_a_limit_that_another_would_make_unreachable_is_refused(name: str, value: int) -> None:
    """The predecessor allowed 10 posts in flight and closed entries at 80: that gate could never act."""
    actions = msgspec.structs.replace(ActionLimits(entry_expiry_ms=1_000), **{name: value})
    found = problems(Config(limits=Limits(actions=actions)))
    assert [problem.partition(":")[0] for problem in found] == [f"limits.actions.{name}"]
    assert problems(Config()) == ()
