"""The example of each framework, with at most two lines of PowerTrain's, by itself and under the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from powertrain.dataset import open_store

pytestmark = pytest.mark.timeout(300)  # processes of their own, which import a lot
EXAMPLES = Path(__file__).parents[2] / "examples"
PACKAGES = {
    "pytorch": "torch",
    "lightning": "lightning",
    "huggingface": "transformers",
    "accelerate": "accelerate",
    "keras": "keras",
}
OURS = ("powertrain", "pt.step", "PowerTrainCallback", "measured(")
LONG = {"pytorch": ("--steps", 10**6)}


@pytest.fixture(params=PACKAGES)
def framework(request):
    pytest.importorskip(PACKAGES[request.param], reason="needs the group 'integrations'")
    pytest.importorskip("torch")
    return request.param


def ran(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=280, cwd=folder, env=os.environ
    )


def without_ours(script: Path) -> tuple[str, int]:
    """Return the code of a script as it was before PowerTrain, and how many lines differ."""
    _, docstring, code = script.read_text(encoding="utf-8").split('"""', 2)
    assert "powertrain profile" in docstring
    lines = code.splitlines()
    ours = [line for line in lines if any(word in line for word in OURS)]
    before = []
    for line in lines:
        if line not in ours:
            before.append(line)
        elif "# was: " in line:
            before.append(line.partition("=")[0] + "= " + line.partition("# was: ")[2])
    return "\n".join(before), len(ours)


def test_two_lines_are_powertrains_and_without_them_the_loss_is_the_same(framework, tmp_path):
    script = EXAMPLES / f"train_{framework}.py"
    text, changed = without_ours(script)
    assert changed == 2
    (tmp_path / "before.py").write_text(text)
    with_ours, before = ran(script, folder=tmp_path), ran("before.py", folder=tmp_path)
    assert (with_ours.returncode, before.returncode) == (0, 0), with_ours.stderr + before.stderr
    last = with_ours.stdout.splitlines()[-1]
    assert last.startswith("loss 0." if framework != "huggingface" else "loss ")
    assert before.stdout.splitlines()[-1] == last


def test_the_script_is_measured_until_every_mode_is(framework, tmp_path):
    script = EXAMPLES / f"train_{framework}.py"
    options = ("--device", "sim:orin-nano", "--modes", 3, "--precision", 50, "--db", "own.db")
    long = LONG.get(framework, ("--epochs", 10**5))
    done = ran("-m", "powertrain", "profile", script, *options, "--", *long, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"3 modes of train_{framework}.py on " in done.stdout
    with open_store(tmp_path / "own.db") as store:
        profiles = store.profiles(workload=f"train_{framework}.py")
    assert len(profiles) == 3
    for profile in profiles:
        assert profile.time_ms > 0
        assert "torch" in profile.extra
