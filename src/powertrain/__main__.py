"""`python -m powertrain` is `powertrain`."""

from __future__ import annotations

from powertrain.cli import main

if __name__ == "__main__":
    main()
