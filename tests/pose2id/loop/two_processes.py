"""Runs of the toy for `test_processes.py`, started by `accelerate launch`: two_processes.py FOLDER."""

import os
import signal
import sys
from pathlib import Path

from pose2id.errors import Terminated, leave_process_group
from pose2id.loop.loop import Loop
from tests.pose2id.loop.toys import toy_batches, toy_loop


def stop_the_second(loop: Loop):
    """Batches during whose second somebody politely kills the second process."""

    def batches(generators):
        if loop.step == 1 and loop.accelerator.process_index == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return toy_batches(generators)

    return batches


def main(folder: Path) -> None:
    loop, _ = toy_loop(folder / "plain", batch_size=4, validate=lambda path, step: {"step": step}, validate_every=4)
    loop.run()
    toy_loop(folder / "accumulated", batch_size=2, gradient_accumulation=2)[0].run()
    seen = []
    toy_loop(
        folder / "together",
        batch_size=4,
        validate=lambda path, step: {"calls": seen.append(step) or len(seen)},
        validate_every=3,
        together=True,
    )[0].run()
    print(f"validation on {loop.accelerator.process_index} at {seen}")
    stopped, _ = toy_loop(folder / "stopped", batch_size=4)
    stopped.batches = stop_the_second(stopped)
    try:
        stopped.run()
    except Terminated:
        print(f"process {loop.accelerator.process_index} of {loop.accelerator.num_processes} stopped at {stopped.step}")
    leave_process_group(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
