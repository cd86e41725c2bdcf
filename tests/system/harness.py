"""What system tests are made of: the real binary, a read_committed reader, and a client of Argilla 1.x.

A test waits on conditions with a deadline (`eventually`), never on sleeps that hope.
"""

import json
import os
import re
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path

import requests
import schemas_check
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("BRIDGE_BINARY", ROOT / "build/dev/bridge/argilla-bridge"))
# valgrind or a wrapper, for one whole run of the suite under it
WRAPPER = os.environ.get("BRIDGE_WRAPPER", "").split()


def eventually(condition, timeout_s=30, what="the condition", every_s=0.05):
    """Returns the first true value of condition(); fails after timeout_s, saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s"
        time.sleep(every_s)


def name(prefix):
    """A name that no other test uses: topics, groups and datasets outlive a test."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


class Bridge:
    """The real binary with one config file. `events` are its log lines, parsed as JSON."""

    def __init__(self, dir, config, key="argilla.apikey", env=None):
        self.dir = Path(dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.path = self.dir / "bridge.cfg"
        self.path.write_text(config)
        self.env = {**os.environ, "ARGILLA_API_KEY": key, **(env or {})}
        self.process = None
        self.events, self.lines = [], []

    def command(self, *words, timeout_s=60, text=True):
        """Runs one command to its end."""
        return subprocess.run(
            [*WRAPPER, str(BINARY), *words, "-c", str(self.path)],
            env=self.env, capture_output=True, text=text, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL,
        )

    def start(self):
        assert self.process is None or self.process.poll() is not None
        self.process = subprocess.Popen(
            [*WRAPPER, str(BINARY), "run", "-c", str(self.path)],
            env=self.env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        return self

    def _read(self, stream):
        for line in stream:
            self.lines.append(line)
            try:
                self.events.append(json.loads(line))
            except ValueError:
                pass

    def seen(self, event, **values):
        return [e for e in list(self.events) if e["event"] == event and all(e.get(k) == v for k, v in values.items())]

    def await_event(self, event, n=1, timeout_s=60, **values):
        eventually(
            lambda: len(self.seen(event, **values)) >= n or self._assert_lives(),
            timeout_s, f"{n} x event {event} {values} in the log:\n{self.tail()}",
        )
        return self.seen(event, **values)

    def _assert_lives(self):
        assert self.process.poll() is None, f"the bridge ended with {self.process.returncode}:\n{self.tail()}"

    def tail(self, n=40):
        return "".join(self.lines[-n:])

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(5)

    def stop(self, timeout_s=30):
        """SIGTERM, and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        code = self.process.wait(timeout_s)
        self._reader.join(5)
        return code

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        output = "".join(self.lines)
        assert self.env["ARGILLA_API_KEY"] not in output, "the key is in the log"
        assert not re.search(r"AddressSanitizer|ThreadSanitizer|runtime error:|LeakSanitizer", output), output[-8000:]


def config(kafka, argilla_url, listeners, group=None, bridge="", argilla="", kafka_extra="", level="debug", workspace="argilla"):
    """A config file's text. `listeners`: list of texts, each the inside of one listener's group."""
    group = group or name("group")
    return f"""
argilla: {{ url = "{argilla_url}"; workspace = "{workspace}"; {argilla} }};
kafka: {{ bootstrap_servers = "{kafka}"; {kafka_extra} }};
bridge: {{ group_id = "{group}"; {bridge} }};
log: {{ level = "{level}"; format = "json"; }};
listeners: ( {", ".join("{ " + text + " }" for text in listeners)} );
"""


class Message:
    def __init__(self, m):
        self.topic, self.partition, self.offset = m.topic(), m.partition(), m.offset()
        self.raw, self.key = m.value(), m.key().decode() if m.key() is not None else None
        self.headers = {k: v.decode() for k, v in m.headers() or []}
        self.value = json.loads(self.raw) if self.raw is not None else None

    @property
    def type(self):
        return self.headers.get("ce_type", "").removeprefix("argilla-bridge.")

    def __repr__(self):
        return f"<{self.topic}[{self.partition}]@{self.offset} {self.type} {self.headers.get('ce_id')}>"


class Reader:
    """What a subscriber sees: a read_committed consumer from the start of some topics. Messages gather in `messages`, and must fit
    schemas/, unless `schemas` is false (topics that hold something else)."""

    def __init__(self, bootstrap, *topics, schemas=True):
        self.topics, self.messages, self._seen, self._schemas = topics, [], set(), schemas
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.consumer = Consumer({
            "bootstrap.servers": bootstrap, "group.id": name("reader"), "isolation.level": "read_committed",
            "enable.auto.commit": False, "auto.offset.reset": "earliest", "enable.partition.eof": True,
            "topic.metadata.refresh.interval.ms": 500, "fetch.wait.max.ms": 20, "reconnect.backoff.max.ms": 500,
        })
        self._assigned = {}

    def _assign(self):
        """Topics may be made after the reader."""
        known = self.admin.list_topics(timeout=10).topics
        new = [
            TopicPartition(t, p, 0) for t in self.topics if t in known and known[t].error is None
            for p in known[t].partitions if (t, p) not in self._assigned
        ]
        if new:
            self.consumer.incremental_assign(new)
            self._assigned.update({(p.topic, p.partition): False for p in new})

    def poll(self, timeout_s=0.1):
        """One look: takes what is there, returns self."""
        self._assign()
        if not self._assigned:
            time.sleep(timeout_s)
            return self
        for m in self.consumer.consume(1000, timeout_s):
            if m.error():
                if m.error().code() == KafkaError._PARTITION_EOF:
                    self._assigned[(m.topic(), m.partition())] = True
                continue
            at = (m.topic(), m.partition(), m.offset())
            assert at not in self._seen
            self._seen.add(at)
            self._assigned[(m.topic(), m.partition())] = False
            self.messages.append(Message(m))
        return self

    def of(self, type, **headers):
        return [m for m in self.messages if m.type == type and all(m.headers.get(k) == v for k, v in headers.items())]

    def until(self, condition, timeout_s=60, what="the messages"):
        """Reads until condition(self) holds."""
        return eventually(lambda: condition(self.poll()), timeout_s, what, every_s=0)

    def to_end(self, timeout_s=60):
        """Reads until every partition has nothing more."""
        eventually(lambda: self.poll() and self._assigned and all(self._assigned.values()), timeout_s, "the topics' ends", every_s=0)
        return self.messages

    def close(self):
        self.consumer.close()
        if self._schemas:
            schemas_check.check(self.messages)

    def __enter__(self):
        return self

    def __exit__(self, type, *_):
        self._schemas = self._schemas and type is None  # what has failed already is the news
        self.close()


class Argilla:
    """Another client of Argilla 1.x: what people and programs do beside the bridge."""

    def __init__(self, url, key="argilla.apikey", workspace="argilla"):
        self.url, self.workspace = url, workspace
        self.session = requests.Session()
        self.session.headers["X-Argilla-Api-Key"] = key

    def call(self, method, path, body=None, ok=True, **params):
        r = self.session.request(
            method, self.url + path, json=body, params={"workspace": self.workspace, **params}, timeout=300
        )
        if ok:
            assert r.ok, f"{method} {path}: {r.status_code} {r.text[:500]}"
        return r

    def create(self, dataset, task="TextClassification"):
        self.call("POST", "/api/datasets", {"name": dataset, "task": task, "workspace": self.workspace, "tags": {}, "metadata": {}})
        return dataset

    def delete(self, dataset):
        self.call("DELETE", f"/api/datasets/{dataset}")

    def bulk(self, dataset, records, task="TextClassification", chunk=2000):
        for at in range(0, len(records), chunk):
            self.call(
                "POST", f"/api/datasets/{dataset}/{task}:bulk",
                {"tags": {}, "metadata": {}, "records": records[at : at + chunk]},
            )

    def count(self, dataset, query=None, task="TextClassification"):
        return self.call(
            "POST", f"/api/datasets/{dataset}/{task}:search", {"query": {"query_text": query}}, limit=0, **{"from": 1}
        ).json()["total"]

    def record(self, dataset, id):
        return self.call("GET", f"/api/datasets/{dataset}/records/{id}").json()


def text_records(n, start=0, batch=100, **more):
    """Records of text classification: ids are integers, metadata.batch_id counts per `batch`."""
    return [
        {
            "id": i, "inputs": {"text": f"record {i} is {'good' if i % 2 else 'bad'}"}, "metadata": {"batch_id": i // batch},
            "prediction": {"agent": "m1", "labels": [{"class": "POS", "score": 0.9}, {"class": "NEG", "score": 0.1}]},
            **({"annotation": {"agent": "argilla", "labels": [{"class": "POS" if i % 8 else "NEG"}]}, "status": "Validated"}
               if i % 4 == 0 else {}),
            **more,
        }
        for i in range(start, start + n)
    ]
