"""The admin interface on real Kafka: does each endpoint tell the truth, can a stranger change or learn nothing, can no client
harm the bridge or other clients, and do commands take effect wherever they are asked for?"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from faulty_argilla import FaultyArgilla, Hang, Slow, Status
from harness import ROOT, Bridge, Reader, config, eventually, name, text_records

import admin

OK, FAILED, USAGE, CONFIG, REFUSED = 0, 1, 2, 3, 4
KEY = "argilla-key-SECRET-1"
SASL = "sasl-password-SECRET-2"
SECRETS = (KEY, SASL, admin.TOKEN)


@pytest.fixture
def server():
    with FaultyArgilla() as server:
        server.add("reviews", text_records(50, batch=10))
        yield server


def free_port():
    return int(subprocess.run([sys.executable, ROOT / "tests/services/free_port.py"], capture_output=True, text=True, check=True).stdout.split()[0])


def listener(name_, dataset="reviews", more="", interval=0.2, topic=None):
    return f'name = "{name_}"; dataset = "{dataset}"; topic = "{topic or name("topic")}"; execution_interval_in_seconds = {interval}; {more}'


class Service:
    """A bridge with an admin interface. Leaving it searches all answers for secrets."""

    def __init__(self, dir, kafka, url, listeners, listen="127.0.0.1:0", token=admin.TOKEN, **words):
        self.dir, self.listen = dir, listen
        # the password is of no use to a broker without SASL, and is there to be looked for
        words = {"bridge": "state_partitions = 2;", "level": "info", "kafka_extra": f'sasl_password = "{SASL}";', **words}
        self.bridge = Bridge(dir, config(kafka, url, listeners, **words) + admin.group(dir / "secrets", listen, token), key=KEY)
        self.token, self.answers = token, []

    def start(self):
        self.bridge.start()
        self.admin = admin.Admin(self.bridge, self.token)
        self.admin.answers = self.answers
        return self

    def ready(self):
        eventually(lambda: self.admin.get("/readyz").status_code == 200, what=f"ready:\n{self.bridge.tail()}")
        return self

    def restart(self):
        assert self.bridge.stop() == OK
        self.bridge.events.clear()
        return self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, type, *rest):
        self.bridge.__exit__(type, *rest)
        everything = "\n".join(self.answers) + "".join(self.bridge.lines)
        assert self.answers
        for secret in SECRETS:
            assert secret not in everything, "a secret was told"


@pytest.fixture
def service(kafka, server, tmp_path):
    with Service(tmp_path, kafka, server.url, [
        listener("reviews-ready", more='condition = "search.total == 10"; query = "metadata.batch_id:{batch_id}"; query_params: { batch_id = 3; };'),
        listener("all-reviews", more='publish = "records";'),
        listener("gone", "no-such-dataset"),
    ]) as service:  # fmt: skip
        yield service.ready()


# -- what it tells

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
                               "base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
}  # fmt: skip


def test_each_path_answers_with_its_type_and_the_security_headers(service):
    a = service.admin
    for path, type in {"/": "text/html", "/page.js": "text/javascript", "/page.css": "text/css", "/icon.svg": "image/svg+xml",
                       "/listeners": "application/json", "/metrics": "text/plain", "/healthz": "application/json",
                       "/readyz": "application/json"}.items():  # fmt: skip
        r = a.get(path)
        assert (r.status_code, r.headers["Content-Type"].split(";")[0]) == (200, type) and len(r.content) > 20
        head = a.call("HEAD", path)
        assert head.status_code == 200 and head.content == b""
        for answer in (r, head, a.get("/none"), a.command("all-reviews", "stop", token="x")):
            assert {k: answer.headers.get(k) for k in SECURITY} == SECURITY
            assert not any(k.lower().startswith("access-control") for k in answer.headers)


def test_listeners_as_json(service):
    eventually(lambda: service.admin.listener("all-reviews")["counters"]["completed"] >= 2, what="runs")
    eventually(lambda: service.admin.listener("gone")["error"], what="the error")
    doc = service.admin.status()
    assert doc["argilla"] == {"url": service.bridge.seen("start") and doc["argilla"]["url"], "up": True} and doc["kafka"] == {"up": True}
    assert doc["partitions"] == {"owned": 2, "open": doc["partitions"]["open"], "of": 2} and doc["partitions"]["open"] >= 1
    assert doc["config"]["path"] == str(service.bridge.path) and doc["config"]["reload_error"] is None
    ready, all, gone = doc["listeners"]
    assert [x["name"] for x in doc["listeners"]] == ["reviews-ready", "all-reviews", "gone"]
    assert ready["condition"] == "search.total == 10" and ready["condition_value"] is True and ready["total"] == 10
    assert ready["query_params"] == {"batch_id": 3} and ready["query"] == "metadata.batch_id:{batch_id}"
    assert all["condition"] is None and all["condition_value"] is None and all["publish"] == "records" and all["interval_s"] == 0.2
    assert all["last_run"]["status"] == "completed" and all["last_run"]["n_records"] == 50 and all["last_run"]["took_ms"] >= 0
    assert all["counters"]["published"] == 50 * all["counters"]["completed"] or all["state"] == "running"
    assert gone["state"] == "failing" and gone["error"]["class"] == "bad_input" and gone["counters"]["failures"] >= 1
    assert "no dataset no-such-dataset in workspace argilla" in gone["error"]["text"]
    for time_ in (doc["now"], all["last_poll"], all["last_run"]["ended"], gone["error"]["since"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time_)
    assert abs(time.time() - time.mktime(time.strptime(doc["now"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone) < 5


def test_progress_of_a_run_is_shown(kafka, server, tmp_path):
    server.add("large", text_records(400, batch=400))
    server.fault("large", "scan", Slow(0.5), after=2, times=None)
    with Service(tmp_path, kafka, server.url, [listener("large", "large", 'page_size = 50; condition = "search.total > 1";', 60)]) as service:
        service.ready()
        eventually(lambda: (service.admin.listener("large")["progress"] or {}).get("published", 0) >= 100, what="progress")
        l = service.admin.listener("large")
        assert l["state"] == "running" and l["progress"]["total"] == 400 and l["progress"]["matched"] < 400 and l["progress"]["run"] == 1
        eventually(lambda: service.admin.listener("large")["last_run"], what="the end")
        l = service.admin.listener("large")
        assert l["progress"] is None and l["last_run"]["n_records"] == 400 and l["state"] == "waiting" and l["next_poll"]


def test_metrics_parse_and_count_what_a_reader_sees(kafka, server, tmp_path):
    """The large record is one too many for its topic."""
    topic, records = name("topic"), text_records(20)
    records[7]["inputs"]["text"] = "long " * 1000
    server.add("sizes", records)
    with Service(tmp_path, kafka, server.url, [listener("sizes", "sizes", 'publish = "records"; max_message_bytes = 2000;', 0.2, topic)]) as service:
        service.ready()
        eventually(lambda: service.admin.listener("sizes")["counters"]["completed"] >= 3, what="runs")
        assert service.admin.command("sizes", "stop").json() == {"result": "done"}
        eventually(lambda: service.admin.listener("sizes")["state"] == "stopped", what="stopped")
        m, label = service.admin.metrics(), (("listener", "sizes"),)
        total = lambda what, *more: m[("argilla_bridge_" + what, tuple(sorted((*label, *more))))]  # noqa: E731
        with Reader(kafka, topic, topic + ".runs") as reader:
            reader.to_end()
            runs, seen = reader.of("run"), reader.of("record")
        assert total("records_published_total") == len(seen) > 0
        assert total("records_oversize_total") == sum(r.value["n_oversize"] for r in runs) == len(runs)
        assert total("runs_total", ("status", "completed")) == len(runs)
        assert total("records_matched_total") == total("records_published_total") + total("records_unchanged_total") + total("records_oversize_total")
        assert total("polls_total") >= total("polls_fired_total") == len(runs)
        assert total("listener_stopped") == 1 and total("listener_up") == 1
        plain = lambda what, *labels: m[(what, labels)]  # noqa: E731
        assert plain("argilla_bridge_transactions_total", ("result", "committed")) >= len(runs)
        assert plain("argilla_bridge_transaction_duration_seconds_count") == plain("argilla_bridge_transactions_total", ("result", "committed"))
        assert plain("argilla_bridge_poll_lateness_seconds_count") == total("polls_total")
        assert plain("argilla_bridge_http_request_duration_seconds_count", ("operation", "scan")) >= len(runs)
        assert plain("argilla_bridge_listeners", ("state", "stopped")) == 1 and plain("argilla_bridge_partitions", ("state", "owned")) == 2
        assert plain("argilla_bridge_argilla_up") == plain("argilla_bridge_kafka_up") == 1
        status = Path(f"/proc/{service.bridge.process.pid}/status").read_text()
        rss = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024
        assert 0.5 < plain("process_resident_memory_bytes") / rss < 2 and 0 < plain("process_cpu_seconds_total") < 60
        assert abs(plain("process_start_time_seconds") - time.time()) < 300 and 10 < plain("process_open_fds") < 200


def test_readiness_waits_for_kafka_and_health_does_not(tmp_path, server):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, never answers
        kafka = f"127.0.0.1:{silent.getsockname()[1]}"
        with Service(tmp_path, kafka, server.url, [listener("reviews")]) as service:
            r = service.admin.get("/readyz")
            assert r.status_code == 503 and r.json()["status"] == "not ready"
            assert "the group has not assigned partitions yet" in r.json()["reasons"]
            assert service.admin.get("/healthz").status_code == 200
            assert service.admin.listener("reviews")["state"] == "opening"
            eventually(lambda: "kafka does not answer" in service.admin.get("/readyz").json()["reasons"], 60, "it says that Kafka is away")
            assert service.admin.status()["kafka"] == {"up": False}


def test_argilla_away_is_said_and_stops_no_readiness(kafka, tmp_path):
    with FaultyArgilla() as server:
        server.add("reviews", text_records(5))
        server.fault("reviews", "count", Status(401), times=1)
        with Service(tmp_path, kafka, server.url, [listener("reviews", more='condition = "search.total < 0";')], argilla="auth_retry_s = 1;") as service:
            service.ready()
            eventually(lambda: service.admin.listener("reviews")["state"] == "paused", what="paused by the 401")
            eventually(lambda: service.admin.listener("reviews")["state"] == "waiting", what="well again")
            server.down()
            eventually(lambda: service.admin.status()["argilla"]["up"] is False, what="down")
            r = service.admin.get("/readyz")
            assert r.status_code == 200 and r.json()["notes"] == ["argilla does not answer"]
            assert service.admin.get("/healthz").status_code == 200
            error = service.admin.listener("reviews")["error"]
            assert error["class"] == "retry" and "connection refused" in error["text"] and error["next_try"]


# -- who may what

def test_a_stranger_changes_nothing(service):
    a = service.admin
    eventually(lambda: a.listener("all-reviews")["run"], what="a run")
    wrong = [None, "", "x", a.token[:-1], a.token + "x", a.token.upper(), a.token + "\t"]
    for verb in ("stop", "start", "trigger", "reset"):
        for token in wrong:
            r = a.command("all-reviews", verb, token=token)
            assert r.status_code == (401 if token is None else 403), (verb, token)
            assert r.json()["error"] and ("WWW-Authenticate" in r.headers) == (token is None)
        for headers in ({"Authorization": a.token}, {"Authorization": f"Basic {a.token}"}, {"X-Token": a.token}, {"Cookie": f"token={a.token}"}):
            assert a.call("POST", f"/listeners/all-reviews/{verb}", headers=headers).status_code == 401
        assert a.call("POST", f"/listeners/all-reviews/{verb}?token={a.token}").status_code == 401
        assert a.get(f"/listeners/all-reviews/{verb}", headers={"Authorization": f"Bearer {a.token}"}).status_code == 405
    for event in ("listener stopped", "listener started", "listener reset", "listener triggered"):
        assert service.bridge.seen(event) == []
    assert a.listener("all-reviews")["state"] != "stopped"


def test_without_a_configured_token_nothing_can_be_changed(kafka, server, tmp_path):
    with Service(tmp_path, kafka, server.url, [listener("reviews")], token=None) as service:
        service.ready()
        for token in (None, "", "None", "x"):
            r = service.admin.command("reviews", "stop", token=token)
            assert r.status_code == 403 and r.json()["error"].startswith("no token configured")


def test_commands_and_their_answers(service):
    a = service.admin
    answer = lambda *words: (lambda r: (r.status_code, r.json()))(a.command(*words))  # noqa: E731
    assert answer("all-reviews", "stop") == (200, {"result": "done"})
    assert a.listener("all-reviews")["state"] == "stopped"
    assert answer("all-reviews", "stop") == (409, {"result": "already"})
    runs = a.listener("all-reviews")["counters"]["completed"]
    assert answer("all-reviews", "trigger") == (200, {"result": "done"})
    eventually(lambda: a.listener("all-reviews")["counters"]["completed"] == runs + 1, what="one run")
    eventually(lambda: a.listener("all-reviews")["state"] == "stopped", what="still stopped")
    assert answer("all-reviews", "start") == (200, {"result": "done"})
    assert answer("all-reviews", "start") == (409, {"result": "already"})
    eventually(lambda: a.listener("all-reviews")["counters"]["completed"] > runs + 1, what="it polls")
    assert answer("reviews-ready", "reset") == (200, {"result": "done"})
    assert a.command("nobody", "stop").status_code == 404 and "nobody" in a.command("nobody", "stop").json()["error"]


def test_a_forced_trigger_runs_though_the_condition_is_false(kafka, server, tmp_path):
    with Service(tmp_path, kafka, server.url, [listener("never", more='condition = "false";', interval=60)]) as service:
        service.ready()
        a = service.admin
        eventually(lambda: a.listener("never")["state"] == "waiting" and a.listener("never")["counters"]["polls"] == 1, what="the first poll")
        assert a.command("never", "trigger").status_code == 200
        eventually(lambda: a.listener("never")["counters"]["polls"] == 2 and a.listener("never")["state"] == "waiting", what="a poll")
        assert a.listener("never")["counters"]["fired"] == 0
        assert a.command("never", "trigger", "?force=perhaps").status_code == 400
        assert a.command("never", "trigger", "?force=true").status_code == 200
        eventually(lambda: a.listener("never")["counters"]["completed"] == 1, what="its run")
        assert a.listener("never")["condition_value"] is False


def test_a_name_in_host_is_refused(service):
    a = service.admin
    for host in ("localhost", "127.0.0.1", f"LOCALHOST:{a.at[1]}", f"127.0.0.1:{a.at[1]}", "[::1]:80", "10.1.2.3"):
        assert a.get("/listeners", headers={"Host": host}).status_code == 200, host
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[evil]", "127.0.0.1:x", "evil@127.0.0.1", "2130706433"):
        r = a.get("/listeners", headers={"Host": host})
        assert r.status_code == 421 and "listeners" not in r.json(), host
        assert a.call("POST", "/listeners/all-reviews/stop", headers={"Host": host, "Authorization": f"Bearer {a.token}"}).status_code == 421


def test_paths_methods_and_bodies(service):
    a = service.admin
    auth = {"Authorization": f"Bearer {a.token}"}
    for path in ("/x", "//", "/listeners/", "/listeners/a", "/listeners/a/b/c", "/listeners//stop", "/listeners/all-reviews/stop/",
                 "/listeners/all-reviews/fly", "/../etc/passwd", "/%2e%2e/etc/passwd", "/page.js/", "/listeners/" + "a" * 201 + "/stop",
                 "/listeners/%00/stop", "/listeners/a%0ab/stop"):  # fmt: skip
        assert a.call("POST", path, headers=auth).status_code == 404, path
        assert a.get(path).status_code == 404, path
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"):
        r = a.call(method, "/listeners")
        assert (r.status_code, r.headers.get("Allow")) == (405, "GET, HEAD"), method
    assert (lambda r: (r.status_code, r.headers.get("Allow")))(a.call("POST", "/listeners")) == (405, "GET, HEAD")
    assert (lambda r: (r.status_code, r.headers.get("Allow")))(a.get("/listeners/a/stop")) == (405, "POST")
    assert a.call("POST", "/listeners/all-reviews/trigger", headers=auth, data=b"x" * 4096).status_code in (200, 409)
    for size in (4097, 60_000):
        r = a.call("POST", "/listeners/all-reviews/stop", headers=auth, data=b"x" * size)
        assert r.status_code == 413 and r.json()["error"], size
    assert service.bridge.seen("listener stopped") == []


# -- what clients can do to it

def rss_mib(bridge):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{bridge.process.pid}/status").read_text())[1]) / 1024


def raw(at, data, read=True):
    """Sends bytes; what comes back until the end or 12 s."""
    with socket.create_connection(at, timeout=12) as s:
        got = b""
        try:
            s.sendall(data)
            while read and (more := s.recv(65536)):
                got += more
        except OSError:
            pass
        return got


class Watch:
    """Polls go on, other clients are answered in time, memory stays, while something is done to the bridge."""

    def __init__(self, service):
        self.service, self.slowest, self._stop = service, 0, threading.Event()

    def _ask(self):
        while not self._stop.wait(0.1):
            start = time.monotonic()
            r = requests.get(self.service.admin.url + "/healthz", timeout=20)
            assert r.status_code == 200
            self.slowest = max(self.slowest, time.monotonic() - start)
            self.n += 1

    def _run(self):
        try:
            self._ask()
        except Exception as e:
            self.failure = e

    def __enter__(self):
        self.n, self.failure = 0, None
        self.before, self.rss = self.polls(), rss_mib(self.service.bridge)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def polls(self):
        return self.service.admin.listener("all-reviews")["counters"]["polls"]

    def __exit__(self, type, *_):
        self._stop.set()
        self.thread.join(30)
        if type:
            return
        assert self.failure is None, self.failure
        assert self.n > 0 and self.slowest < 3, f"{self.n} other requests, the slowest took {self.slowest} s"
        assert rss_mib(self.service.bridge) < self.rss + 24
        assert self.polls() > self.before
        assert self.service.bridge.process.poll() is None


def test_garbage_halves_and_huge_requests_harm_nothing(service):
    at = service.admin.at
    host = b"Host: 127.0.0.1\r\n"
    with Watch(service):
        for data in (os.urandom(4096), b"\0" * 1000, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 5000, b"GET /\xff\xfe HTTP/1.1\r\n" + host + b"\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(200),  # TLS
                     b"POST /listeners/a/stop HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
                     b"POST /listeners/a/stop HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                     b"POST /listeners/a/stop HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"):  # fmt: skip
            service.answers.append(raw(at, data).decode(errors="replace"))
        assert b" 431 " in raw(at, b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * (10 << 20) + b"\r\n\r\n") or True
        for head in (b"GET /" + b"a" * (10 << 20), b"GET / HTTP/1.1\r\n" + host + b"X: y\r\n" * (1 << 20), b"GET /?" + b"a=b&" * (1 << 20)):
            assert b" 200 " not in raw(at, head + b"\r\n\r\n")
        body = raw(at, b"POST /listeners/all-reviews/stop HTTP/1.1\r\n" + host + b"Content-Length: 10485760\r\n\r\n" + b"x" * (10 << 20))
        assert b" 200 " not in body
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        assert b" 200 " not in raw(at, b"POST /listeners/all-reviews/stop HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 160)
    assert service.admin.get("/listeners").status_code == 200


def test_connections_that_say_nothing_or_little_keep_nobody_out(service):
    at, held = service.admin.at, []
    with Watch(service):
        for i in range(200):
            s = socket.create_connection(at, timeout=10)
            s.sendall((b"", b"GET", b"GET /listeners HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"POST /listeners/all-reviews/stop HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nx")[i % 4])
            held.append(s)
        for _ in range(15):  # a letter now and then: never idle for long
            for s in held:
                try:
                    s.send(b"x")
                except OSError:
                    pass
            time.sleep(0.2)
        for _ in range(20):
            assert service.admin.get("/listeners").status_code == 200
    for s in held:
        s.close()


def test_clients_that_do_not_read_keep_nobody_out(kafka, server, tmp_path):
    many = [listener(f"reviews-{i:04}", more='condition = "search.total < 0";', interval=60, topic="never") for i in range(1000)]
    with Service(tmp_path, kafka, server.url, [listener("all-reviews"), *many]) as service:
        service.ready()
        eventually(lambda: service.admin.listener("all-reviews")["counters"]["polls"] > 1, 60, "polls")
        held = []
        before = rss_mib(service.bridge)
        for _ in range(100):
            s = socket.create_connection(service.admin.at, timeout=10)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.sendall(b"GET /listeners HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            held.append(s)
        service.admin.session.close()  # its connection was the oldest
        start = time.monotonic()
        assert len(service.admin.status()["listeners"]) == 1001
        assert time.monotonic() - start < 5
        assert rss_mib(service.bridge) < before + 64
        for s in held:
            s.close()


def test_a_command_that_waits_keeps_nobody_waiting(kafka, server, tmp_path):
    """A condition that takes its time holds the prober up, and so a command, for seconds."""
    slow = 'condition = "last(range(4000000)) < 0 or search.total < 0";'
    with Service(tmp_path, kafka, server.url, [listener("slow", more=slow)]) as service:
        service.ready()
        eventually(lambda: service.admin.listener("slow")["counters"]["polls"] >= 2, what="it polls")
        done = []
        other = admin.Admin(service.bridge)
        asker = threading.Thread(target=lambda: done.append(other.command("slow", "trigger").status_code))
        n, slowest = 0, 0
        asker.start()
        while asker.is_alive():
            start = time.monotonic()
            assert service.admin.get("/listeners").status_code == 200
            slowest, n = max(slowest, time.monotonic() - start), n + 1
        assert done[0] in (200, 409, 503) and n > 5 and slowest < 1, f"{n} answers meanwhile, the slowest took {slowest} s"


# -- where it listens

def test_an_address_that_is_taken_ends_the_start_with_a_clear_text(service, tmp_path, kafka, server):
    other = Service(tmp_path / "other", kafka, server.url, [listener("reviews")], listen=service.admin.address)
    done = other.bridge.command("run")
    assert done.returncode == 5
    assert f"admin.listen {service.admin.address}: Address already in use" in done.stderr


def test_ipv6_and_no_admin(kafka, server, tmp_path):
    with Service(tmp_path / "six", kafka, server.url, [listener("reviews")], listen="[::1]:0") as service:
        assert service.admin.address.startswith("[::1]:")
        assert service.admin.get("/healthz").status_code == 200
    with Bridge(tmp_path / "none", config(kafka, server.url, [listener("reviews")], level="info"), key=KEY) as bridge:
        bridge.await_event("partitions assigned")
        assert bridge.seen("admin listening") == []


def test_it_answers_while_it_stops_and_then_no_more(service):
    pid = service.bridge.process.pid
    service.bridge.signal(signal.SIGTERM)
    assert service.bridge.process.wait(15) == OK and pid
    with pytest.raises(requests.ConnectionError):
        service.admin.get("/healthz")


# -- several instances

def test_asked_at_another_instance_it_takes_effect_at_the_owner_and_survives_restarts(kafka, server, tmp_path):
    group = name("group")
    listeners = [listener(f"reviews-{i}", more='condition = "search.total < 0";') for i in range(8)]
    make = lambda n: Service(tmp_path / n, kafka, server.url, listeners, group=group, bridge="state_partitions = 4;")  # noqa: E731
    with make("a") as a, ExitStack() as later:
        a.ready()
        eventually(lambda: all(l["last_poll"] for l in a.admin.status()["listeners"]), what="it has all of them")
        b = later.enter_context(make("b"))
        both = (a, b)
        eventually(lambda: {s.admin.status()["partitions"]["owned"] for s in both} == {2}, 60, "they share")
        eventually(lambda: all(s.admin.get("/readyz").status_code == 200 for s in both), 30, "ready")
        states = {l["name"]: l["state"] for l in a.admin.status()["listeners"]}
        theirs = next(n for n, state in states.items() if state == "elsewhere")
        assert b.admin.listener(theirs)["state"] != "elsewhere"
        r = a.admin.command(theirs, "stop")
        assert (r.status_code, r.json()) == (202, {"result": "sent"})
        eventually(lambda: b.admin.listener(theirs)["state"] == "stopped", what="stopped at its owner")
        shown = a.admin.listener(theirs)
        assert shown["state"] == "elsewhere" and shown["last_poll"] is None and shown["next_poll"] is None
        assert ("argilla_bridge_listener_up", (("listener", theirs),)) not in a.admin.metrics()
        assert b.bridge.stop() == OK
        eventually(lambda: a.admin.listener(theirs)["state"] == "stopped", 60, "stopped at its next owner")
        a.restart().ready()
        eventually(lambda: a.admin.listener(theirs)["state"] == "stopped", 30, "stopped after a restart")
        assert a.admin.listener(theirs)["counters"]["polls"] == 0
        assert a.admin.command(theirs, "start").json() == {"result": "done"}
        eventually(lambda: a.admin.listener(theirs)["counters"]["polls"] > 0, what="it polls again")


# -- the command line

@pytest.fixture
def cli(kafka, server, tmp_path):
    service = Service(tmp_path, kafka, server.url, [listener("reviews", more='condition = "search.total < 0";', interval=60), listener("gone", "no-such-dataset\\n\\x1b[2J")],
                      listen=f"127.0.0.1:{free_port()}")  # fmt: skip
    return service


def run(service, *words):
    done = service.bridge.command(*words)
    service.answers.append(done.stdout + done.stderr)
    return done


def test_the_command_line_asks_the_service(cli):
    with cli:
        cli.ready()
        eventually(lambda: cli.admin.listener("gone")["error"] and cli.admin.listener("reviews")["last_poll"], what="polls")
        table = run(cli, "status")
        assert table.returncode == OK, table.stderr
        lines = table.stdout.splitlines()
        assert re.match(r"instance \S+ of group \S+, version \S+: 2 of 2 partitions, argilla up, kafka up", lines[0])
        assert lines[1].split() == "LISTENER STATE LAST POLL NEXT POLL MATCHES CONDITION RUN PUBLISHED".split()
        assert re.match(r"reviews +waiting +\d+ s ago +in \d+ s +50 +false +- +0", lines[2]) or re.match(r"reviews +waiting ", lines[2])
        assert lines[3].startswith("gone") and lines[4].startswith("    no dataset no-such-dataset")
        assert "\x1b" not in table.stdout
        one = run(cli, "status", "reviews")
        assert one.returncode == OK and re.search(r"^state +waiting$", one.stdout, re.M) and re.search(r"^total +50$", one.stdout, re.M)
        assert json.loads(run(cli, "status", "--json").stdout)["group_id"] == cli.admin.status()["group_id"]
        assert json.loads(run(cli, "status", "reviews", "--json").stdout)["name"] == "reviews"
        assert run(cli, "status", "nobody").returncode == USAGE
        for words, text in ((("stop", "reviews"), "reviews: stopped\n"), (("stop", "reviews"), "reviews is stopped already\n"),
                            (("start", "reviews"), "reviews: started\n"), (("start", "reviews"), "reviews is not stopped\n"),
                            (("reset", "reviews"), "reviews: starts over\n")):  # fmt: skip
            done = run(cli, *words)
            assert (done.returncode, done.stdout, done.stderr) == (OK, text, ""), words
        eventually(lambda: cli.admin.listener("reviews")["state"] == "waiting", what="idle")
        polls = cli.admin.listener("reviews")["counters"]["polls"]
        for words in (("trigger", "reviews"), ("once", "reviews")):
            done = run(cli, *words)
            assert (done.returncode, done.stdout) == (OK, "reviews: the service polls it now\n")
            eventually(lambda: cli.admin.listener("reviews")["state"] == "waiting", what="idle")
        assert cli.admin.listener("reviews")["counters"]["polls"] == polls + 2
        assert run(cli, "once", "reviews", "--force").returncode == OK
        eventually(lambda: cli.admin.listener("reviews")["counters"]["completed"] == 1, what="the forced run")
        assert run(cli, "stop", "nobody").returncode == USAGE


def test_the_command_line_with_a_wrong_token_is_refused(cli):
    with cli:
        cli.ready()
        (cli.dir / "secrets" / "admin.token").write_text("another-token-0123456789")
        done = run(cli, "stop", "reviews")
        assert (done.returncode, done.stdout) == (REFUSED, "") and "the token is wrong (HTTP 403)" in done.stderr
        assert cli.admin.listener("reviews")["state"] != "stopped"


def test_without_a_service_the_command_line_does_it_itself_or_says_so(cli):
    cli.answers.append("")
    done = run(cli, "status")
    assert done.returncode == FAILED and f"no service answers at {cli.listen}" in done.stderr
    done = run(cli, "trigger", "reviews")
    assert done.returncode == FAILED and "`once` polls without one" in done.stderr
    done = run(cli, "once", "reviews")
    assert done.returncode == OK and "the condition is false" in done.stdout
    done = run(cli, "stop", "reviews")
    assert (done.returncode, done.stdout) == (OK, "reviews: stopped\n"), done.stderr
    with cli:
        cli.ready()
        eventually(lambda: cli.admin.listener("reviews")["state"] == "stopped", what="it is stopped from the start")


def test_the_command_line_does_not_talk_to_the_service_of_another_group(cli, kafka, server, tmp_path):
    other = Service(tmp_path / "other", kafka, server.url, [listener("reviews")], listen=cli.listen)
    with other:
        other.ready()
        for words in (("status",), ("stop", "reviews"), ("once", "reviews")):
            done = run(cli, *words)
            assert done.returncode == FAILED and f"what answers at {cli.listen} is of group " in done.stderr, words
        assert other.bridge.seen("listener stopped") == []
    with socket.create_server((cli.listen.split(":")[0], int(cli.listen.split(":")[1]))) as silent:
        silent.listen(1)
        closer = threading.Thread(target=lambda: silent.accept()[0].close())
        closer.start()
        done = run(cli, "status")
        closer.join()
        assert done.returncode == FAILED and "gave no answer" in done.stderr


def test_without_the_group_admin_status_says_what_is_missing(kafka, server, tmp_path):
    bridge = Bridge(tmp_path, config(kafka, server.url, [listener("reviews")]), key=KEY)
    done = bridge.command("status")
    assert done.returncode == CONFIG and "no group `admin`" in done.stderr
