"""Write the pages, and the parts of pages, that are made from the code and from results.

- The reference of the command line comes from `--help`.
- The picture and the table of the floors in `architecture.md` come from the imports.
- The tables of names in the Python reference come from the docstrings.
- Results of benchmarks come from `benchmarks/results`. A page names the file between two comments:

      <!-- from benchmarks/results/FILE.md: written by docs/generate.py -->
      <!-- end of FILE.md -->

  `FILE.md:5` begins at the fifth line. `FILE.md:NAME` is the section that the file itself marks by that name,
  or else the one under the heading NAME.

python docs/generate.py           write the pages
python docs/generate.py --check   exit with 1 if a page is not what the code says
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent))
import floors
import names

from powertrain.cli import powertrain

DOCS = Path(__file__).parent
ROOT = DOCS.parent
EXIT_CODES = """\
## Exit codes

| code | when |
| --: | --- |
| 0 | success |
| 1 | failure; one line on standard error says what was found, what was asked and what to do |
| 2 | wrong use: an option makes no sense, or a name (of a device, mode, file ...) that does not exist |
| 126, 127 | `apply`: the command cannot be executed, or does not exist |
| 130, 143 | stopped by Ctrl-C, or by SIGTERM |
| 141 | the reader of standard output has closed it |

If a script under `profile` or a command under `apply` fails, its own exit code is returned. After a failure,
standard output holds no JSON, even with `--json`. The line on standard error is the answer.
"""

HEAD = """# Command line

What `powertrain --help` and `powertrain COMMAND --help` print. This page is written by `docs/generate.py`.
"""
ARCHITECTURE = DOCS / "architecture.md"
RESULT = re.compile(
    r"^(?P<begin><!-- from (?P<file>[\w./]+\.md)(?::(?P<part>[\w -]+))?: written by docs/generate\.py -->)\n"
    r".*?^(?P<end><!-- end of [\w.]+ -->)$",
    re.MULTILINE | re.DOTALL,
)
MARKS = {"begin": "<!-- rooms: written by docs/generate.py -->", "end": "<!-- end of rooms -->"}


def pages() -> dict[Path, str]:
    """Return the text of every page that is made from the code."""
    found = floors.rooms()
    return {
        **{path: _filled(path.read_text(encoding="utf-8")) for path in sorted(DOCS.rglob("*.md"))},
        DOCS / "reference" / "command-line.md": command_line(),
        DOCS / "images" / "floors.svg": floors.drawing(found),
        ARCHITECTURE: floors.with_listing(ARCHITECTURE.read_text(encoding="utf-8"), found, MARKS),
    }


def _filled(page: str) -> str:
    return names.with_names(with_results(page))


def with_results(page: str) -> str:
    """Return a page with the results that it names, as they are now."""
    return RESULT.sub(
        lambda found: f"{found['begin']}\n\n{_part(found['file'], found['part'])}\n\n{found['end']}", page
    )


def _part(file: str, part: str | None) -> str:
    """Return a result without its heading, from a line on, or one of its sections."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if part is None:
        text = text.partition("\n")[2]
    elif part.isdigit():
        text = "".join(text.splitlines(keepends=True)[int(part) - 1 :])
    elif f"[start:{part}] -->\n" in text:
        text = text.partition(f"[start:{part}] -->\n")[2].partition(f"<!-- --8<-- [end:{part}]")[0]
    else:
        text = text.partition(f"\n## {part}\n")[2].partition("\n## ")[0]
    if not text.strip():
        raise ValueError(f"{file} has no part {part}")
    return text.strip()


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
        for sub in command.list_commands(context) if isinstance(command, click.Group) else ():
            part = command.get_command(context, sub)
            assert part is not None
            inner = click.Context(
                part, info_name=sub, parent=context, terminal_width=100, max_content_width=100
            )
            parts += [f"### {name} {sub}\n", _block(part, inner)]
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
