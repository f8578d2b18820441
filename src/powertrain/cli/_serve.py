"""`powertrain serve`."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import click

from powertrain.cli._echo import echo
from powertrain.cli._options import Count, command, database_option, existing_file, json_option
from powertrain.cli._printing import print_json
from powertrain.cli._root import WrongUse

__all__ = ["serve_command"]

TOKEN = "POWERTRAIN_SERVE_TOKEN"
MOST_TOKEN_BYTES = 4096
OTHERS = 0o077


@command(
    "serve",
    short="Serve one page for all boards.",
    examples=(
        "serve --db profiles.db",
        "serve --db postgresql://viewer@db.example/fleet --port 8080",
        "serve --db profiles.db --host 0.0.0.0 --token-file token",
    ),
)
@database_option()
@click.option(
    "--port",
    type=Count(0, 65535),
    default=10800,
    show_default=True,
    help="Port to listen on. 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at. By default only this machine can connect. Any other needs a token.",
)
@click.option(
    "--token-file",
    type=existing_file,
    help="File with a secret of at least 16 characters. Nothing is served without it. The variable "
    f"{TOKEN} works as well.",
)
@json_option
def serve_command(database: str, port: int, host: str, token_file: Path | None, as_json: bool) -> None:
    """Serve a page with the boards, the jobs and the live runs of a database.

    For each job, the page shows the front of time and power. Drag the power limit to see the best mode under
    it, and what it saves. New profiles appear without a reload. Nothing can be changed through the page.

    The same is served as JSON under /api/fleet, which --json prints once instead. Ctrl-C or SIGTERM ends it.
    It needs the extra serve.
    """
    token = _token(token_file)
    from powertrain.fleet import WORKER, FleetWatch, fleet_json

    if as_json:
        print_json(fleet_json(FleetWatch(database)))
        return
    from powertrain.integrations.serve import serve

    # What is warned of while a front is worked out stands beside it on the page, each time that it is.
    for handler in logging.getLogger("powertrain").handlers:
        handler.addFilter(lambda record: record.threadName != WORKER or ".dataset" in record.name)
    try:
        with serve(database, host=host, port=port, token=token) as url:
            echo(f"the fleet is on {url}; Ctrl-C ends this")
            threading.Event().wait()
    except KeyboardInterrupt:
        return


def _token(file: Path | None) -> str | None:
    """Return the secret, which no message repeats."""
    if file is None:
        where, text = f"the variable {TOKEN}", os.environ.get(TOKEN)
        if text is None:
            return None
    else:
        from powertrain.files import read_file

        where = str(file)
        try:
            text = read_file(file, most_bytes=MOST_TOKEN_BYTES).decode("ascii")
        except (OSError, ValueError):
            raise WrongUse(
                f"{file} cannot be read as a token: write a secret of 16 letters and digits or more into it"
            ) from None
        if file.stat().st_mode & OTHERS:
            echo(f"warning: other users may read the token: chmod 600 {file}", err=True)
    token = text.strip()
    if len(token) < 16 or not token.isascii() or len(token.split()) != 1:
        raise WrongUse(
            f"the token in {where} is too short, or has blanks: give a secret of 16 letters and digits or "
            "more, such as openssl rand -hex 32 prints"
        )
    return token
