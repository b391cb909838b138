"""What stands in place of something that was closed."""

from __future__ import annotations

from typing import Any

from lamina.errors import ClosedError


class Closed:
    """Whatever is asked of it is a ClosedError."""

    def __init__(self, message: str) -> None:
        self.__dict__["message"] = message

    def __getattr__(self, name: str) -> Any:
        raise ClosedError(self.__dict__["message"])

    def __len__(self) -> int:
        raise ClosedError(self.__dict__["message"])
