"""`powertrain serve`: what is refused before anything is served, and what is printed once."""

from __future__ import annotations

import json
import sys

import pytest

TOKEN = "a-secret-of-the-test-of-32-letters"


def test_the_fleet_is_printed_once_without_a_server(done, database):
    said = json.loads(done("serve", "--db", database, "--json").out)

    assert said["profiles"] == sum(job["profiles"] for job in said["jobs"]) > 0
    assert said["problem"] is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "too short"),
        (b"short\n", "too short"),
        (b"two words of a secret of the test", "has blanks"),
        (b"\xff\xfe" * 20, "cannot be read as a token"),
        (b"a" * 10_000, "cannot be read as a token"),
    ],
)
def test_a_token_that_is_none_is_refused_without_repeating_it(run, database, tmp_path, content, told):
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    ran = run("serve", "--db", database, "--token-file", file, "--json")

    assert ran.code == 2
    assert told in ran.error_line
    assert not content or content.decode("latin-1") not in ran.error_line


def test_a_token_in_the_environment_is_held_to_the_same(run, database, monkeypatch):
    monkeypatch.setenv("POWERTRAIN_SERVE_TOKEN", "short")
    ran = run("serve", "--db", database, "--json")

    assert ran.code == 2
    assert "the token in the variable POWERTRAIN_SERVE_TOKEN is too short" in ran.error_line
    assert "short," not in ran.error_line.replace("too short,", "")


def test_a_token_that_others_may_read_is_remarked_on(run, database, tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o644)
    ran = run("serve", "--db", database, "--token-file", file, "--json")

    assert ran.code == 0
    assert ran.err == f"warning: other users may read the token: chmod 600 {file}\n"


def test_without_the_extra_it_is_named(run, database, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("powertrain.integrations", "starlette"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)

    assert "pip install 'powertrain[serve]'" in run("serve", "--db", database).error_line


def test_other_machines_need_a_token(run, database):
    pytest.importorskip("starlette", reason="needs the extra 'serve'")
    pytest.importorskip("uvicorn", reason="needs the extra 'serve'")
    ran = run("serve", "--db", database, "--host", "0.0.0.0", "--port", 0)

    assert ran.code == 2
    assert ran.error_line == (
        "error: other machines can connect to 0.0.0.0: give a token, with --token-file, or leave the host out"
    )
