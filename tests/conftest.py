"""What every test shares."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

# Two processes run the tests on two cores: more threads in each would only wait for one another, which costs
# processor time. It is read when numpy and torch are loaded, here and in the processes that tests start.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from hypothesis import HealthCheck, settings  # noqa: E402
from tests.processes import end_all  # noqa: E402

THOROUGH = os.environ.get("POWERTRAIN_TESTS") == "thorough"

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
for _profile, _examples in (("usual", 40), ("thorough", 1000)):
    settings.register_profile(
        _profile, deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=_examples
    )
settings.load_profile("thorough" if THOROUGH else "usual")

INTEGRATIONS = Path(__file__).parent / "integrations"
HELD_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HANDLERS = pytest.StashKey[list[object]]()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out tests that are not asked for before they load transformers, Keras and the others."""
    unasked = config.option.markexpr == "not integration" and collection_path == INTEGRATIONS
    return True if unasked else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start the longest tests first: they have a time-out of their own, and none is to be the last alone."""
    usual_s = float(config.getini("timeout"))

    def is_short(item: pytest.Item) -> bool:
        mark = item.get_closest_marker("timeout")
        return mark is None or mark.args[0] <= usual_s

    items.sort(key=is_short)  # keeps the order of the others


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Note who handles the signals that holding a device catches."""
    item.stash[HANDLERS] = [signal.getsignal(number) for number in HELD_SIGNALS]
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that leaves a process behind, or a handler, as one does that never lets go of a device."""
    yield
    running = end_all()
    left = []
    for number, before in zip(HELD_SIGNALS, item.stash[HANDLERS], strict=True):
        after = signal.getsignal(number)
        if after != before:
            left.append(f"{number.name}: {after!r} in place of {before!r}")
            signal.signal(number, before)  # type: ignore[arg-type]  # the next test is not to suffer
    assert not left, f"a handler is left behind: {'; '.join(left)}"
    assert not running, f"processes are left behind: {[process.args for process in running]}"


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
