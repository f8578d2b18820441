"""Write the pages that are made from the code.

These are the reference of the command line, from `--help`, and the picture and the list of the floors in
`architecture.md`, from the imports.

python docs/generate.py           write the pages
python docs/generate.py --check   exit with 1 if a page is not what the code says
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent))
import floors

from powertrain.cli import powertrain

DOCS = Path(__file__).parent
EXIT_CODES = """\
## Exit codes

| code | when |
| --: | --- |
| 0 | it was done |
| 1 | it failed; one line on standard error says what was found, what was asked and what to do |
| 2 | wrong use: an option makes no sense, or what was typed names nothing (a device, mode, file ...) |
| 126, 127 | `apply`: its command cannot be executed, or is not there |
| 130, 143 | it was ended by Ctrl-C, or by SIGTERM |
| 141 | nobody reads standard output any more |

A script under `profile`, and a command under `apply`, that fails leaves its own exit code. After a failure
standard output holds no JSON, with `--json` either: the line on standard error is the answer.
"""

HEAD = """# Command line

What `powertrain --help` and `powertrain COMMAND --help` print. This page is written by `docs/generate.py`.
"""
ARCHITECTURE = DOCS / "architecture.md"
MARKS = {"begin": "<!-- rooms: written by docs/generate.py -->", "end": "<!-- end of rooms -->"}


def pages() -> dict[Path, str]:
    """Return the text of every page that is made from the code."""
    found = floors.rooms()
    return {
        DOCS / "reference" / "command-line.md": command_line(),
        DOCS / "images" / "floors.svg": floors.drawing(found),
        ARCHITECTURE: floors.with_listing(ARCHITECTURE.read_text(encoding="utf-8"), found, MARKS),
    }


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
    parts.append(EXIT_CODES)
    return "\n".join(parts)


def _block(command: click.Command, context: click.Context) -> str:
    return f"```text\n{command.get_help(context)}\n```\n"


def main() -> int:
    """Write or check the pages."""
    check = "--check" in sys.argv[1:]
    outdated = {path: text for path, text in pages().items() if not _is(path, text)}
    for path, text in outdated.items():
        if check:
            sys.stderr.write(f"{path} is not what the code says: run python docs/generate.py\n")
        else:
            path.write_text(text, encoding="utf-8")
    return int(check and bool(outdated))


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
