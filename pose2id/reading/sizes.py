"""Configs of networks, held against the tensors beside them before a network of that size is built."""

from collections.abc import Mapping

from ..errors import UserError

LARGEST_SIZE = 2**20
LAYERS = ("depth", "layers", "blocks")  # in the names of what counts layers: there are no more than tensors


def check_sizes(config: Mapping[str, object], tensors: int, where: str) -> None:
    """`UserError` starting with `where` for a whole number in `config` that no network with `tensors` tensors has."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            check_sizes(value, tensors, where)
            continue
        values = value if isinstance(value, list | tuple) else [value]
        numbers = [number for number in values if isinstance(number, int)]
        layers = any(word in name for word in LAYERS)
        if numbers and not -LARGEST_SIZE <= min(numbers) <= max(numbers) <= (tensors if layers else LARGEST_SIZE):
            raise UserError(f"{where}: '{name}' is {value!r:.50}, which no network with {tensors} tensors has")
