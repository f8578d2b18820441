"""Write the pages that are made from the code: the command line's reference, from `--help`.

python docs/generate.py           write the pages
python docs/generate.py --check   exit with 1 if a page is not what the code says
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from powertrain.cli import powertrain

PAGE = Path(__file__).parent / "reference" / "command-line.md"
HEAD = """# Command line

What `powertrain --help` and `powertrain COMMAND --help` print. This page is written by `docs/generate.py`.
"""


def command_line() -> str:
    """Return the page: the help of each command, in the order of `powertrain --help`."""
    root = click.Context(powertrain, info_name="powertrain", terminal_width=100, max_content_width=100)
    parts = [HEAD, _block(powertrain, root)]
    for name in powertrain.list_commands(root):
        command = powertrain.get_command(root, name)
        assert command is not None
        context = click.Context(
            command, info_name=name, parent=root, terminal_width=100, max_content_width=100
        )
        parts += [f"## {name}\n", _block(command, context)]
    return "\n".join(parts)


def _block(command: click.Command, context: click.Context) -> str:
    return f"```text\n{command.get_help(context)}\n```\n"


def main() -> int:
    """Write or check the pages."""
    text = command_line()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"{PAGE} is not what --help says: run python docs/generate.py\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
