"""The one exception for mistakes a user can repair, and how the command line shows it."""

import sys
from collections.abc import Callable


class UserError(ValueError):
    """Bad input. The message is one line: which file or value, what is wrong, what to do."""


def run_command(main: Callable[[], int | None]) -> None:
    """Run a script's `main` and leave the process with its exit code.

    A `UserError` becomes one line on stderr and exit code 2; Ctrl-C becomes exit code 130.
    """
    try:
        code = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        code = 130
    sys.exit(code or 0)
