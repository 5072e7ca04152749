"""A storage that ends the process when it is asked for the bytes of one place, as a hostile video may."""

import os
from pathlib import Path
from typing import Any

from pvit_data.storage.storage import Storage


class DeadlyStorage(Storage):
    """Dies at one offset of one file."""

    def __init__(self, url: str | Path, offset: int) -> None:
        super().__init__(url)
        self.offset = offset

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "offset": self.offset}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["url"], state["offset"])

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Reads, or dies."""
        if start == self.offset:
            os._exit(9)
        return super().read_range(name, start, size)
