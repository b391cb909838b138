"""The command `lamina` as the tests call it."""

from __future__ import annotations

import pytest

from lamina.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[str, str]:
    """What a command writes to stdout and stderr, once it has ended with `code` and without a traceback."""
    capsys.readouterr()
    try:
        found = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        found = int(stop.code or 0)
    out, err = capsys.readouterr()
    assert found == code, err
    assert "Traceback" not in err
    return out, err
