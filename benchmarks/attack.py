"""x"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # processes are forked, so there must be no threads

import argparse
import sys
import tempfile
from pathlib import Path

from _neighbours import ATTACKS, with_throwaway_users
from kills import EmulatedTree


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--attacks", nargs="*", choices=ATTACKS, default=list(ATTACKS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        why_not = with_throwaway_users(folder)
        if why_not:
            raise SystemExit(why_not)
        rows = []
        for attack in given.attacks:
            own = folder / attack
            own.mkdir()
            board = EmulatedTree(own)
            os.environ["XDG_STATE_HOME"] = str(own / "state")
            try:
                found = ATTACKS[attack](own, board)
            finally:
                board.close()
            for row in found:
                print(row, flush=True)
            rows += found
    return 0


if __name__ == "__main__":
    sys.exit(main())
