from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder in which file permissions count, even where the tests run as root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs POSIX users")
    root, nobody = os.geteuid() == 0, 65534
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if root:
            os.chown(folder, nobody, -1)
            os.seteuid(nobody)
        try:
            yield folder
        finally:
            folder.chmod(0o700)
            if root:
                os.seteuid(0)
