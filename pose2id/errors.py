"""The one exception for mistakes a user can repair, and how the command line shows it."""

import atexit
import os
import signal
import sys
from collections.abc import Callable


class UserError(ValueError):
    """Bad input. The message is one line: which file or value, what is wrong, what to do."""


def printable(text: object) -> str:
    """A path or message as it can be printed on one line: control characters and what is no UTF-8 are escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in str(text)
    )


class Terminated(KeyboardInterrupt):
    """SIGTERM: somebody wants the process to stop, as with Ctrl-C."""


def run_command(main: Callable[[], int | None]) -> None:
    """Run a script's `main` and leave the process with its exit code.

    A `UserError` becomes one line on stderr and exit code 2, and so does what the system refuses (a full disk, a
    read-only folder); Ctrl-C becomes exit code 130, a polite kill 143, and output that nobody reads any more
    (`| head`) 141. What a closed stream (`>&-`) would have been told goes nowhere.
    """
    _open_streams()

    def terminate(number: int, frame: object) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        code = main()
        sys.stdout.flush()
        leave_process_group(code or 0)
    except UserError as error:
        print(f"error: {printable(error)}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt as stop:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        code = 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes there
        code = 128 + signal.SIGPIPE
    except OSError as error:
        if error.strerror is None:
            raise
        place = " and ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        print(f"error: {place}{': ' if place else ''}{error.strerror}", file=sys.stderr)
        code = 2
    sys.exit(code or 0)


def _open_streams() -> None:
    """Give standard output and error, which are None where their descriptors are closed, a place to write to."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123


def leave_process_group(code: int) -> None:
    """End a process that worked together with others, here: PyTorch's threads seldom abort one that ends as usual."""
    distributed = sys.modules.get("torch.distributed")
    if distributed and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
