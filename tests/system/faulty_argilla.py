"""As much of Argilla 1.x as a listener asks of it, in memory, with scripted faults.

    with FaultyArgilla() as server:
        server.add("reviews", text_records(50))
        server.fault("reviews", "scan", Status(503), after=2, times=1)   # the third page fails, once
        ... server.url ...
        server.asked("reviews", "scan")                                  # what came, with times

A fault meets the requests of one dataset and one operation (dataset, count, metric, scan), in order: the first `after` pass, the
next `times` (None: all) are spoiled. The answers themselves are right; real servers say what is right in the other tests.
Threads on loopback; each connection is one.
"""

import json
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class Status:
    """An error's status, as Argilla words it (or `body`). `retry_after`: what stands in the header, or a function that says so."""

    def __init__(self, code, body=None, retry_after=None, location=None):
        self.code, self.retry_after, self.location = code, retry_after, location
        self.body = body or json.dumps({"detail": {"code": f"argilla.api.errors::Scripted{code}", "params": {}}})

    def spoil(self, handler, body):
        retry_after = self.retry_after() if callable(self.retry_after) else self.retry_after
        headers = {"Retry-After": retry_after, "Location": self.location}
        handler.answer(self.body.encode(), self.code, {k: v for k, v in headers.items() if v is not None})


def in_seconds(seconds):
    """For Retry-After, an HTTP date counted from the answer: whole seconds, so up to one later than asked."""
    return lambda: formatdate(int(time.time()) + 1 + seconds, usegmt=True)


class Hang:
    """No answer, until the client goes away or the server ends."""

    def spoil(self, handler, body):
        handler.connection.settimeout(0.05)
        while not handler.server.faulty.ending.is_set():
            try:
                if handler.connection.recv(1) == b"":
                    break
            except TimeoutError:
                pass
            except OSError:
                break
        handler.close_connection = True


class Slow:
    """The right answer, `seconds` late."""

    def __init__(self, seconds):
        self.seconds = seconds

    def spoil(self, handler, body):
        handler.server.faulty.ending.wait(self.seconds)
        handler.answer(body)


class Trickle:
    """The right answer, a piece at a time: always progress, and in `seconds` the end."""

    def __init__(self, seconds, pieces=50):
        self.seconds, self.pieces = seconds, pieces

    def spoil(self, handler, body):
        handler.head(len(body))
        size = len(body) // self.pieces + 1
        for at in range(0, len(body), size):
            handler.wfile.write(body[at : at + size])
            if handler.server.faulty.ending.wait(self.seconds / self.pieces):
                break


class Cut:
    """Half of the right answer, then the end of the connection."""

    def spoil(self, handler, body):
        handler.head(len(body))
        handler.wfile.write(body[: len(body) // 2])
        handler.close_connection = True


class Text:
    """200, and something that isn't what was asked for: a proxy's page."""

    def __init__(self, text):
        self.text = text

    def spoil(self, handler, body):
        handler.answer(self.text.encode())


class Drop:
    """The connection ends without an answer; `only_reused`: if it is not its first request, as when a server closes an idle
    connection at the moment of its reuse."""

    def __init__(self, only_reused=False):
        self.only_reused = only_reused

    def spoil(self, handler, body):
        if self.only_reused and handler.n_requests == 1:
            handler.answer(body)
            return
        handler.server.faulty.n_dropped += 1
        handler.close_connection = True


@dataclass
class Fault:
    dataset: str
    operation: str
    action: object
    after: int
    times: int | None


@dataclass
class Asked:
    at: float  # monotonic
    dataset: str
    operation: str
    body: dict | None
    limit: int | None
    key: str | None
    connection: int
    spoiled: bool = False


@dataclass
class Dataset:
    records: list
    task: str = "TextClassification"
    metrics: dict = field(default_factory=dict)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    n_requests = 0

    def setup(self):
        self.timeout = self.server.faulty.idle_s  # of an idle connection
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.server.faulty.lock:
            self.server.faulty.n_connections += 1
            self.number = self.server.faulty.n_connections
            self.server.faulty.open[self.number] = self.connection

    def finish(self):
        with self.server.faulty.lock:
            self.server.faulty.open.pop(self.number, None)
        try:
            super().finish()
        except OSError:
            pass

    def log_message(self, *_):
        pass

    def head(self, length, code=200, headers=None):
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        self.end_headers()

    def answer(self, body, code=200, headers=None):
        self.head(len(body), code, headers)
        self.wfile.write(body)

    def do_GET(self):
        self.n_requests += 1
        try:
            self.server.faulty._serve(self)
        except OSError:
            self.close_connection = True  # the client has gone

    do_POST = do_GET


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass  # connections that are cut off on purpose


class FaultyArgilla:
    """`idle_s`: idle connections are closed after so long."""

    def __init__(self, idle_s=30.0):
        self.idle_s = idle_s
        self.datasets, self.faults, self.requests = {}, [], []
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.open, self.n_connections, self.n_dropped = {}, 0, 0
        self._server = self._thread = self._port = None

    def add(self, dataset, records, **more):
        """Records in the order of id as text, as a scan gives them."""
        self.datasets[dataset] = Dataset(sorted(records, key=lambda r: str(r["id"])), **more)
        return dataset

    def fault(self, dataset, operation, action, after=0, times=1):
        with self.lock:
            self.faults.append(Fault(dataset, operation, action, after, times))

    def mend(self, dataset):
        with self.lock:
            self.faults = [f for f in self.faults if f.dataset != dataset]

    def asked(self, dataset, operation=None):
        with self.lock:
            return [r for r in self.requests if r.dataset == dataset and operation in (None, r.operation)]

    def times(self, dataset, operation=None):
        return [r.at for r in self.asked(dataset, operation)]

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"

    # -- requests

    def _serve(self, handler):
        path = urlsplit(handler.path)
        words, params = [unquote(w) for w in path.path.split("/")[3:]], parse_qs(path.query)  # "", "api", "datasets"
        raw = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw else None
        name, operation = self._operation(words)
        limit = int(params["limit"][0]) if "limit" in params else None
        asked = Asked(
            time.monotonic(), name, operation, body, limit, handler.headers.get("X-Argilla-Api-Key"), handler.number
        )
        with self.lock:
            self.requests.append(asked)
            action = self._take_fault(name, operation)
            asked.spoiled = action is not None
        status, answer = self._answer(name, operation, words, body, limit)
        answer = json.dumps(answer).encode()
        if action:
            action.spoil(handler, answer)
        else:
            handler.answer(answer, status)

    @staticmethod
    def _operation(words):
        if len(words) == 1:
            return words[0], "dataset"
        if words[1:] == ["records", ":search"]:
            return words[0], "scan"
        if words[1].endswith(":search"):
            return words[0], "count"
        return words[1], "metric"  # TASK/NAME/metrics/METRIC:summary

    def _take_fault(self, dataset, operation):
        for f in self.faults:
            if (f.dataset, f.operation) != (dataset, operation):
                continue
            if f.after > 0:
                f.after -= 1
                return None
            if f.times is None or f.times > 0:
                f.times = f.times and f.times - 1
                return f.action
        return None

    def _answer(self, name, operation, words, body, limit):
        dataset = self.datasets.get(name)
        if dataset is None:
            code = "argilla.api.errors::EntityNotFoundError"
            return 404, {"detail": {"code": code, "params": {"name": name, "type": "ServiceDataset"}}}
        if operation == "dataset":
            return 200, {"workspace": "argilla", "name": name, "task": dataset.task, "tags": {}, "metadata": {}}
        if operation == "metric":
            return 200, dataset.metrics[words[-1].removesuffix(":summary")]
        records = self._matching(dataset, body["query"]["query_text"])
        if operation == "count":
            return 200, {"total": len(records), "records": [], "aggregations": None}
        return 200, self._page(records, body, limit or 100)

    @staticmethod
    def _matching(dataset, query):
        """All, or by one `metadata.KEY:VALUE`."""
        term = re.fullmatch(r"metadata\.(\w+):(\w+)", query or "")
        assert term or query in (None, "", "*"), f"this server doesn't know the query {query}"
        return [r for r in dataset.records if not term or str(r["metadata"].get(term[1])) == term[2]]

    @staticmethod
    def _page(records, body, limit):
        """The cursor is a JSON text inside of a string, with a number that a double would break."""
        after = None
        if "next_page_cfg" in body:
            cursor = json.loads(body["next_page_cfg"])
            assert cursor["mark"] == 1234567890123456789, "the cursor came back changed"
            after = cursor["next_search_params"][0]
        page = [r for r in records if after is None or str(r["id"]) > after][:limit]
        last = [str(page[-1]["id"])] if page else []
        cursor = {"sort_by": body["sort_by"], "next_search_params": last, "mark": 1234567890123456789}
        return {"next_idx": last[0] if last else None, "records": page, "next_page_cfg": json.dumps(cursor)}

    # -- life

    def up(self):
        """Listens, after down() on the same port."""
        self._server = _Server(("127.0.0.1", self._port or 0), _Handler)
        self._server.faulty = self
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def down(self):
        """Nobody listens any more, and all connections end."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        with self.lock:
            connections = list(self.open.values())
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.ending.set()
        self.down()
