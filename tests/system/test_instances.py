"""Do instances share the listeners, take over from each other in time, and never publish the same thing twice?"""

import random
import signal
import time
from datetime import datetime, timezone

import pytest

from harness import Bridge, Reader, config, eventually, name, text_records
from ledger import Ledger

N_LISTENERS, N_PARTITIONS, SESSION_S = 40, 8, 6
KAFKA = f"consumer: {{ session_timeout_ms = {SESSION_S * 1000}; }};"
N_RECORDS = 60


@pytest.fixture(scope="module")
def datasets(argilla):
    """Several, since a dataset gets one request at a time."""
    made = [argilla.create(name("share")) for _ in range(4)]
    for dataset in made:
        argilla.bulk(dataset, text_records(N_RECORDS))
    yield made
    for dataset in made:
        argilla.delete(dataset)


class Fleet:
    """Instances of one group with the same listeners."""

    def __init__(self, kafka, argilla_url, datasets, dir, interval_s=1, n_partitions=N_PARTITIONS):
        self.kafka, self.url, self.dir, self.n_partitions = kafka, argilla_url, dir, n_partitions
        self.group, self.topic = name("group"), name("topic")
        self.topics, self.bridges = [self.topic, self.topic + ".runs"], []
        self.names = [f"l{i}-{self.topic}" for i in range(N_LISTENERS)]
        self.listeners = [self._listener(i, datasets, interval_s) for i in range(N_LISTENERS)]

    def _listener(self, i, datasets, interval_s):
        """Most only tell that they ran, which is a transaction each and no work for Argilla; every fourth scans, in one page and
        a batch, or in many and record by record. Each dataset has its share of them, since it gets one request at a time."""
        kind = i // len(datasets) % 8
        how = (
            "page_size = 20; publish = \"records\"; execution_interval_in_seconds = 4" if kind == 0
            else "page_size = 100; execution_interval_in_seconds = 4" if kind == 4
            else f"query_records = false; execution_interval_in_seconds = {interval_s}"
        )
        return f'''name = "{self.names[i]}"; dataset = "{datasets[i % len(datasets)]}"; topic = "{self.topic}"; {how}'''

    def bridge(self, instance_id=None, n_partitions=None):
        own = f'instance_id = "{instance_id}"; ' if instance_id else ""
        text = config(self.kafka, self.url, self.listeners, group=self.group, kafka_extra=KAFKA,
                      bridge=f"{own}state_partitions = {n_partitions or self.n_partitions};")
        bridge = Bridge(self.dir / f"instance{len(self.bridges)}", text)
        self.bridges.append(bridge)
        return bridge

    def scans(self, listener):
        return "query_records = false" not in self.listeners[self.names.index(listener)]

    def reader(self):
        return Reader(self.kafka, *self.topics)


def now():
    """As in ce_time."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def n_owned(bridge):
    """How many partitions the group has last given it."""
    assigned = bridge.seen("partitions assigned")
    return assigned[-1]["n_partitions"] if assigned else 0


def open_partitions(bridge):
    is_open = {}
    for e in list(bridge.events):
        if e["event"] in ("partition open", "partition closed"):
            is_open[e["partition"]] = e["event"] == "partition open"
    return {p for p, o in is_open.items() if o}


def share(*bridges, timeout_s=20):
    """Waits until each owns some partitions, all together all of them, and has them open."""
    def shared():
        parts = [open_partitions(b) for b in bridges]
        return all(parts) and sum(map(len, parts)) == N_PARTITIONS and [len(p) for p in parts] == [n_owned(b) for b in bridges]
    eventually(shared, timeout_s, "a division of the partitions")


def all_listeners_run(fleet, reader, timeout_s=30):
    """Every listener completes a run from now on: none looks well and does nothing."""
    reader.to_end()
    n, idle = len(reader.messages), set(fleet.names)

    def none_is_idle(r):
        nonlocal n
        idle.difference_update(m.headers["ce_argillalistener"] for m in r.messages[n:] if m.type == "run")
        n = len(r.messages)
        return not idle

    try:
        reader.until(none_is_idle, timeout_s)
    except AssertionError:
        tails = "\n".join(f"{b.dir.name}:\n{b.tail(15)}" for b in fleet.bridges)
        pytest.fail(f"without a run in {timeout_s} s: {sorted(idle)}\n{tails}")


def check(fleet, reader, complete_at_least=1):
    reader.to_end()
    ledger = Ledger(reader.messages).check()
    assert set(ledger.listeners) == set(fleet.names)
    for listener in ledger.listeners:
        runs = ledger.complete(listener)
        assert len(runs) >= complete_at_least, f"{listener}: {len(runs)} runs"
        scans = runs[0].end["n_records"] > 0
        assert scans == fleet.scans(listener)
        assert all(set(run.ids) == set(range(N_RECORDS if scans else 0)) for run in runs), listener
    published = {(e["listener"], e["run"]): [] for b in fleet.bridges for e in b.seen("run")}
    for b in fleet.bridges:
        for e in b.seen("run"):
            published[(e["listener"], e["run"])].append(b.dir.name)
        assert not b.seen("argilla down") and not b.seen("kafka down"), b.tail()
    twice = {k: v for k, v in published.items() if len(v) > 1}
    assert not twice, f"told as done twice: {twice}"
    return ledger


def test_the_others_take_over_from_a_killed_one(kafka, argilla_url, datasets, tmp_path):
    fleet = Fleet(kafka, argilla_url, datasets, tmp_path)
    with fleet.bridge() as a, fleet.bridge() as b, fleet.reader() as reader:
        share(a, b)
        all_listeners_run(fleet, reader)
        a.kill()
        killed = time.monotonic()
        eventually(lambda: len(open_partitions(b)) == N_PARTITIONS, SESSION_S + 2, "the partitions of the killed one")
        print(f"taken over after {time.monotonic() - killed:.1f} s")
        all_listeners_run(fleet, reader)
        assert b.stop(10) == 0
        check(fleet, reader)


def test_a_clean_stop_hands_over_at_once(kafka, argilla_url, datasets, tmp_path):
    fleet = Fleet(kafka, argilla_url, datasets, tmp_path)
    with fleet.bridge() as a, fleet.bridge() as b, fleet.reader() as reader:
        share(a, b)
        start = time.monotonic()
        assert a.stop(10) == 0
        eventually(lambda: len(open_partitions(b)) == N_PARTITIONS, 3, "the partitions of the stopped one")
        print(f"taken over {time.monotonic() - start:.1f} s after SIGTERM")
        all_listeners_run(fleet, reader)
        assert b.stop(10) == 0
        check(fleet, reader)


def test_one_that_slept_publishes_nothing_as_the_old_owner(kafka, argilla_url, datasets, tmp_path):
    fleet = Fleet(kafka, argilla_url, datasets, tmp_path, interval_s=0.3)
    naps = []
    with fleet.bridge() as a, fleet.bridge() as b, fleet.reader() as reader:
        share(a, b)
        all_listeners_run(fleet, reader)
        for _ in range(2):
            before, asleep = len(a.seen("partitions assigned")), now()
            a.signal(signal.SIGSTOP)
            eventually(lambda: len(open_partitions(b)) == N_PARTITIONS, SESSION_S + 4, "the partitions of the sleeping one")
            all_listeners_run(fleet, reader)
            at = len(a.events)
            a.signal(signal.SIGCONT)
            a.await_event("partitions assigned", before + 1)
            share(a, b)
            naps.append((asleep, list(a.events)[at:]))
        all_listeners_run(fleet, reader)
        assert a.stop(10) == 0 and b.stop(10) == 0
        made = {(r.listener, r.number): r.ends[0].headers["ce_time"] for rs in check(fleet, reader).listeners.values()
                for r in rs.values() if r.is_complete}
    for asleep, woken in naps:
        as_old_owner = woken[: next(i for i, e in enumerate(woken) if e["event"] == "partitions assigned")]
        # it may still tell of what it had committed before it slept
        late = [e for e in as_old_owner if e["event"] == "partition open"
                or e["event"] == "run" and made[(e["listener"], e["run"])] > asleep]
        assert not late, f"asleep at {asleep}, and published under the old ownership: {late}"


def test_coming_and_going_under_load(kafka, argilla_url, datasets, tmp_path, long):
    fleet, seed = Fleet(kafka, argilla_url, datasets, tmp_path), random.randrange(1 << 30)
    print(f"seed {seed}")
    r, bridges = random.Random(seed), [fleet.bridge().start() for _ in range(3)]
    try:
        end, n = time.monotonic() + (600 if long else 120), {"kill": 0, "stop": 0}
        while time.monotonic() < end:
            time.sleep(r.uniform(0.5, 5))
            one, how = r.choice(bridges), r.choice(["kill", "stop", "stop"])
            n[how] += 1
            if how == "kill":
                one.kill()
            else:
                assert one.stop(10) == 0, one.tail()
            time.sleep(r.uniform(0, 3))
            one.start()
        print(n)
        with fleet.reader() as reader:
            share(*[_Since(b) for b in bridges], timeout_s=SESSION_S + 10)
            all_listeners_run(fleet, reader)
            for b in bridges:
                assert b.stop(10) == 0, b.tail()
            check(fleet, reader, 3)
    finally:
        for b in bridges:
            b.__exit__()


class _Since:
    """The events since a bridge's last start."""

    def __init__(self, bridge):
        self.bridge = bridge

    @property
    def events(self):
        events = list(self.bridge.events)
        return events[max(i for i, e in enumerate(events) if e["event"] == "start"):]

    def seen(self, event):
        return [e for e in self.events if e["event"] == event]


def test_another_count_of_state_partitions_is_refused(kafka, argilla_url, datasets, tmp_path):
    fleet = Fleet(kafka, argilla_url, datasets, tmp_path)
    with fleet.bridge() as a:
        a.await_event("partition open", n=1)
        wrong = fleet.bridge(n_partitions=N_PARTITIONS + 1).start()
        assert wrong.process.wait(20) == 3
        wrong._reader.join(5)
        assert wrong.seen("end"), wrong.tail()
        error = wrong.seen("end")[0]["error"]
        assert f"{fleet.group}.state has {N_PARTITIONS} partitions" in error and str(N_PARTITIONS + 1) in error, error
        assert a.stop(10) == 0


def test_a_second_process_with_the_same_instance_id_ends_the_older(kafka, argilla_url, datasets, tmp_path):
    fleet, instance = Fleet(kafka, argilla_url, datasets, tmp_path), name("instance")
    with fleet.bridge(instance) as older, fleet.reader() as reader:
        older.await_event("partition open", n=N_PARTITIONS)
        all_listeners_run(fleet, reader)
        with fleet.bridge(instance) as newer:
            code = older.process.wait(20)
            older._reader.join(5)
            assert code not in (0, 3) and code > 0, f"{code}\n{older.tail()}"
            assert "instance" in older.seen("end")[0]["error"].lower(), older.tail()
            newer.await_event("partition open", n=N_PARTITIONS)
            all_listeners_run(fleet, reader)
            assert newer.stop(10) == 0
        check(fleet, reader)
