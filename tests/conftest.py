"""What every test shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

pytest.register_assert_rewrite("powertrain.testing")

# A shell that starts the tests in the background has them ignore Ctrl-C, and so all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def journals_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """Keep journals of devices away from those of the machine."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before
