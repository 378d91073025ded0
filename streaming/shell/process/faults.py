"""Where an unexpected exception goes: libraries call us back and would only log what we raise.

Rule 1: this is the one place that catches broadly (with `supervise`, which waits for what was caught here).
Rule 2: the first fault wins; the process ends, it never goes on with half a step done.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Faults:
    """Collects the first exception of any callback and hands it to whoever waits."""

    def __init__(self) -> None:
        """Start without a fault; needs a running loop."""
        self._future: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def report(self, error: BaseException) -> None:
        """Keep `error` if it is the first."""
        if not self._future.done():
            self._future.set_result(error)

    def call(self, function: Callable[[], None]) -> None:
        """Run `function` and keep what it raises."""
        try:
            function()
        except Exception as error:  # noqa: BLE001 - nothing is swallowed: supervise ends the process with it
            self.report(error)

    def guarded(self, function: Callable[[T], None]) -> Callable[[T], None]:
        """Wrap a callback of a library that swallows exceptions."""

        def call(argument: T) -> None:
            try:
                function(argument)
            except Exception as error:  # noqa: BLE001 - nothing is swallowed: supervise ends the process with it
                self.report(error)

        return call

    def loop_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Serve as the loop's exception handler: what a timer or a task raised unseen ends the process too."""
        error = context.get("exception")
        if isinstance(error, Exception):
            self.report(error)
        else:
            loop.default_exception_handler(context)

    async def first(self) -> BaseException:
        """Wait for the first fault."""
        return await asyncio.shield(self._future)
