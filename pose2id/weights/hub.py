"""Whether the hub can be reached, asked once and briefly: libraries try for minutes before they say that it cannot."""

import os
import socket
from functools import cache
from threading import Thread
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub import try_to_load_from_cache

SECONDS = 3.0
PORTS = {"http": 80, "https": 443}


@cache
def hub_reachable() -> bool:
    """Whether a connection to the hub, or to the proxy that leads there, opens within a few seconds."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    address = getproxies().get("https") or os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    parts = urlsplit(address if "//" in address else f"//{address}")
    opened: list[bool] = []

    def connect() -> None:
        try:
            with socket.create_connection((parts.hostname, parts.port or PORTS.get(parts.scheme, 443)), SECONDS):
                opened.append(True)
        except (OSError, ValueError, TypeError):
            pass

    thread = Thread(target=connect, daemon=True)  # looking up the name has no time limit of its own
    thread.start()
    thread.join(SECONDS)
    return bool(opened)


def in_cache(repository: str, *names: str) -> bool:
    """Whether one of the files `names` of a repository of the hub lies in the local cache; false for odd names."""
    try:
        return any(isinstance(try_to_load_from_cache(repository, name), str) for name in names)
    except ValueError:  # no name that the hub could have
        return False
