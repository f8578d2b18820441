"""`python -I -m powertrain.helper`: the helper, with nothing of a user's on its path."""

from __future__ import annotations

import sys

from powertrain.helper._main import main

if __name__ == "__main__":
    sys.exit(main())
