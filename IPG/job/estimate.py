"""How long a job will take, said once, as soon as it can be measured."""

from collections.abc import Callable
from time import monotonic

MEASURED = 10.0  # seconds, from the first pictures on; these also pay for warming up


class Estimate:
    """Told of pictures as they are finished; gives a line with the time that all of them will take.

    lacking: pictures to draw. folders: how many they go to. clock: seconds.
    """

    def __init__(self, lacking: int, folders: int, clock: Callable[[], float] = monotonic) -> None:
        self.lacking, self.folders, self.clock = lacking, folders, clock
        self.done, self.first, self.said = 0, (0, 0.0), False

    def add(self, pictures: int) -> list[str]:
        """Count pictures that are finished; one line, once, after `MEASURED` seconds of a job that takes longer."""
        self.done += pictures
        if self.done == pictures:
            self.first = pictures, self.clock()
        seconds, drawn = self.clock() - self.first[1], self.done - self.first[0]
        if self.said or not drawn or seconds < MEASURED:
            return []
        self.said, left = True, self.lacking - self.done
        folders = f" in {self.folders} folders" if self.folders > 1 else ""
        return [f"{drawn / seconds:.3g} pictures/s: {left:,} left{folders}, about {duration(left * seconds / drawn)}"]


def duration(seconds: float) -> str:
    """3 h 32 min, 5 min, 40 s."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60:,} h {minutes % 60} min"
    return f"{minutes} min" if minutes else f"{round(seconds)} s"
