"""Ctrl-C and a polite kill, noted instead of obeyed at once."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals_noted(note: Callable[[int], None]) -> Iterator[None]:
    """`note` is called with the number of each signal; under `accelerate launch` a process may get more than one."""
    before = {number: signal.signal(number, lambda number, frame: note(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
