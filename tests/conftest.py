"""What every test shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("powertrain.testing")

# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup SIGHUP. What they start
# would ignore it too, as it should, and no test could see what a signal does.
for _number, _usual in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGTERM, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _usual)

# How long an example takes says how busy the machine is.
settings.register_profile(
    "powertrain", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("powertrain")


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
