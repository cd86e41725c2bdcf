"""Does the bridge outlast Argilla, OpenSearch and Kafka without help, and say so once?"""

import random
import threading
import time
from contextlib import ExitStack

import pytest

import servers
from harness import Argilla, Bridge, Reader, config, eventually, name, text_records
from ledger import Ledger

AWAY_S = 60
N_RECORDS = 1000


@pytest.fixture(scope="module")
def own_client(own_argilla):
    """A client of the Argilla that this module stops."""
    return Argilla(own_argilla.url)


def seeded(client, n=N_RECORDS):
    dataset = client.create(name("outage"))
    client.bulk(dataset, text_records(n))
    return dataset


@pytest.fixture(scope="module")
def own_dataset(own_client):
    return seeded(own_client)


@pytest.fixture(scope="module")
def dataset(argilla):
    dataset = seeded(argilla)
    yield dataset
    argilla.delete(dataset)


class Case:
    """One bridge that always has a scan under way, and listeners that move on with their params."""

    def __init__(self, dir, kafka, url, dataset, n_moving=3):
        self.kafka, self.topic = kafka, name("topic")
        self.names = [name("all")] + [name(f"moving{i}") for i in range(n_moving)]
        self.bridge = Bridge(dir, config(kafka, url, [
            f'''name = "{self.names[0]}"; dataset = "{dataset}"; topic = "{self.topic}"; page_size = 100;
                execution_interval_in_seconds = 0.5''',
            *(f'''name = "{moving}"; dataset = "{dataset}"; topic = "{self.topic}"; execution_interval_in_seconds = 0.5;
                  query = "metadata.batch_id:{{batch_id}}"; query_params: {{ batch_id = 0; }}; condition = "search.total == 100";
                  update_query_params = "ctx.query_params.batch_id |= (. + 1) % {N_RECORDS // 100}"'''
              for moving in self.names[1:]),
        ], bridge="state_partitions = 2;"))

    def n_runs(self, listener=None):
        return len(self.bridge.seen("run", **({"listener": listener} if listener else {})))

    def runs_on(self, more=2, timeout_s=60):
        """Every listener completes runs from now on."""
        had = {listener: self.n_runs(listener) for listener in self.names}

        def idle():
            self.bridge._assert_lives()
            return [listener for listener, n in had.items() if self.n_runs(listener) < n + more]

        try:
            eventually(lambda: not idle(), timeout_s)
        except AssertionError:
            pytest.fail(f"in {timeout_s} s fewer than {more} more runs of {idle()}:\n{self.bridge.tail(60)}")

    def stop_and_check(self):
        assert self.bridge.stop(10) == 0, self.bridge.tail()
        with Reader(self.kafka, self.topic, self.topic + ".runs") as reader:
            ledger = Ledger(reader.to_end()).check()
        assert set(ledger.listeners) == set(self.names)
        for listener in self.names:
            for run in ledger.complete(listener):
                at = run.query_params.get("batch_id")
                assert at in (None, (run.number - 1) % (N_RECORDS // 100)), run
                wanted = range(N_RECORDS) if at is None else range(at * 100, at * 100 + 100)
                assert set(run.ids) == set(wanted), f"{run}: {len(run.ids)} of {len(wanted)}"
            logged = [e["run"] for e in self.bridge.seen("run", listener=listener)]
            assert sorted(logged) == sorted(set(logged)), f"{listener}: logged twice"

    def assert_said_once(self, *events, others=()):
        for event in ("argilla down", "argilla up", "kafka down", "kafka up"):
            n = len(self.bridge.seen(event))
            assert n == (1 if event in events else 0) or event in others, f"{n} x {event}:\n{self.bridge.tail(60)}"

    def assert_quiet(self, since, at_most=6):
        """An outage is a few lines, however long it lasts."""
        lines = [e for e in list(self.bridge.events)[since:] if e["level"] in ("warn", "error")]
        assert len(lines) <= at_most, "\n".join(map(str, lines))


def memory_mib(bridge):
    with open(f"/proc/{bridge.process.pid}/status", encoding="ascii") as f:
        return int(next(line for line in f if line.startswith("VmRSS:")).split()[1]) / 1024


def in_parallel(*functions):
    failures = []

    def run(function):
        try:
            function()
        except BaseException as e:  # noqa: BLE001  (told by the test's thread)
            failures.append(e)

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


def test_argilla_away_for_a_minute(kafka, own_argilla, own_dataset, tmp_path):
    running = Case(tmp_path / "running", kafka, own_argilla.url, own_dataset)
    late = Case(tmp_path / "late", kafka, own_argilla.url, own_dataset)
    with running.bridge, ExitStack() as stack:
        running.runs_on()
        before = memory_mib(running.bridge)
        own_argilla.stop()
        start, since = time.monotonic(), len(running.bridge.events)
        try:
            running.bridge.await_event("argilla down", timeout_s=10)
            stack.enter_context(late.bridge)  # and one that starts while it is away
            late.bridge.await_event("argilla down", timeout_s=10)
            time.sleep(max(0, start + AWAY_S - time.monotonic()))  # the outage itself
            for case in (running, late):
                case.assert_said_once("argilla down")
                case.assert_quiet(since if case is running else 0)
        finally:
            own_argilla.up()
        in_parallel(running.runs_on, late.runs_on)
        print(f"memory {before:.1f} MiB before, {memory_mib(running.bridge):.1f} after")
        assert memory_mib(running.bridge) < before + 16
        for case in (running, late):
            case.stop_and_check()
            case.assert_said_once("argilla down", "argilla up")


@pytest.fixture(scope="module")
def two_kafkas(tmp_path_factory):
    with servers.Kafka(tmp_path_factory.mktemp("kafka-a")) as a, servers.Kafka(tmp_path_factory.mktemp("kafka-b")) as b:
        yield a, b


def test_kafka_away_for_a_minute(two_kafkas, argilla_url, dataset, tmp_path):
    def case(kafka, dir, down, up):
        running, late = (Case(tmp_path / dir / which, kafka.bootstrap, argilla_url, dataset) for which in ("running", "late"))
        with running.bridge, ExitStack() as stack:
            running.runs_on()
            before = memory_mib(running.bridge)
            down()
            start = time.monotonic()
            try:
                for which in (running, late):
                    if which is late:
                        stack.enter_context(late.bridge)
                    which.bridge.await_event("kafka down", timeout_s=20)
                time.sleep(max(0, start + AWAY_S - time.monotonic()))  # the outage itself
                for which in (running, late):
                    which.assert_said_once("kafka down")
                    which.assert_quiet(0)
            finally:
                up()
            in_parallel(running.runs_on, late.runs_on)
            print(f"{dir}: memory {before:.1f} MiB before, {memory_mib(running.bridge):.1f} after")
            assert memory_mib(running.bridge) < before + 16
            for which in (running, late):
                which.stop_and_check()
                which.assert_said_once("kafka down", "kafka up")

    a, b = two_kafkas
    in_parallel(lambda: case(a, "stopped", a.stop, a.start), lambda: case(b, "killed", b.kill, b.up))


def test_a_broker_that_dies_in_mid_transaction(two_kafkas, argilla_url, dataset, tmp_path, long):
    kafka, seed = two_kafkas[0], random.randrange(1 << 30)
    print(f"seed {seed}")
    r, case = random.Random(seed), Case(tmp_path, kafka.bootstrap, argilla_url, dataset, n_moving=3)
    with case.bridge:
        for _ in range(20 if long else 3):
            case.runs_on(1)
            time.sleep(r.uniform(0, 0.5))  # somewhere in the transactions that follow each other
            kafka.kill()
            kafka.up()
        case.runs_on()
        case.stop_and_check()


def test_stop_while_kafka_is_away(two_kafkas, argilla_url, dataset, tmp_path):
    kafka = two_kafkas[1]
    case = Case(tmp_path, kafka.bootstrap, argilla_url, dataset)
    with case.bridge:
        case.runs_on(1)
        kafka.pause()
        try:
            start = time.monotonic()
            assert case.bridge.stop(20) == 0, case.bridge.tail()
            print(f"stopped in {time.monotonic() - start:.1f} s")
        finally:
            kafka.cont()
    with case.bridge:
        case.runs_on(1)
        case.stop_and_check()


def test_opensearch_away(kafka, own_argilla, own_client, own_dataset, tmp_path):
    opensearch, case = own_argilla._opensearch, Case(tmp_path, kafka, own_argilla.url, own_dataset)
    with case.bridge:
        case.runs_on()
        since = len(case.bridge.events)
        opensearch.stop()
        try:
            case.bridge.await_event("listener failing", timeout_s=30)
            time.sleep(15)  # the outage itself
            assert own_client.call("GET", "/api/me", ok=False).ok, "Argilla itself answers"
            case.assert_quiet(since, at_most=len(case.names))
        finally:
            opensearch.up()
        case.runs_on(timeout_s=90)
        case.stop_and_check()
        for listener in case.names:
            assert case.bridge.seen("listener well again", listener=listener)


def test_stop_while_argilla_hangs(kafka, own_argilla, own_dataset, tmp_path):
    case = Case(tmp_path, kafka, own_argilla.url, own_dataset)
    with case.bridge:
        case.runs_on(1)
        own_argilla.pause()
        try:
            start = time.monotonic()
            assert case.bridge.stop(10) == 0, case.bridge.tail()
            print(f"stopped in {time.monotonic() - start:.1f} s")
        finally:
            own_argilla.cont()
    with case.bridge:
        case.runs_on(1)
        case.stop_and_check()
