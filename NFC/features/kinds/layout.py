"""How features of a kind lie in one flat row of numbers, as networks give them and files hold them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """A kind of `KINDS` and its sizes, such as `Layout("parts", (6,))`; plain vectors have none."""

    kind: str = "vectors"
    sizes: tuple[int, ...] = ()
