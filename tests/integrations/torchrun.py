"""Trainings of two processes on this machine, as `torchrun` starts them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ABORTED_BY_PYTORCH = "terminate called without an active exception"
# Now and then a thread of PyTorch's aborts a Python that ends, even after `destroy_process_group` and in a
# script that never imports PowerTrain (pytorch/pytorch#190489). A script can end before that.
LEAVE_AT_ONCE = """
os._exit(0)
"""


def torchrun(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script or a module in two processes, anew where PyTorch aborted one of them at its end."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    before = set(folder.iterdir())
    for _ in range(4):
        ran = subprocess.run(
            [*command, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=folder,
            timeout=180,
            check=False,
        )
        if ABORTED_BY_PYTORCH not in ran.stderr:
            break
        for path in set(folder.iterdir()) - before:
            path.unlink()
    return ran


def losses_of(folder: Path) -> list[list[float]]:
    """What each of the two processes left in `losses0` and `losses1`."""
    return [ast.literal_eval((folder / f"losses{rank}").read_text()) for rank in range(2)]
