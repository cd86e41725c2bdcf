"""Does deliver = changes publish each version of a record once, find what is gone, and never take anything for gone that isn't?"""

import random
import sys
import threading
import time

import pytest
from changes_ledger import assert_same, fold, held_by, steps
from commands_topic import Commands
from confluent_kafka import Consumer, TopicPartition
from harness import ROOT, Argilla, Bridge, Reader, config, eventually, name, text_records
from ledger import Ledger

sys.path.append(str(ROOT / "tests/sim"))

from simulator import Sim  # noqa: E402


def listener(dataset, topic, more=""):
    return f'''name = "{topic}"; dataset = "{dataset}"; topic = "{topic}"; deliver = "changes"; publish = "records";
        execution_interval_in_seconds = 0.3; reconcile_interval_in_seconds = 1; page_size = 100; {more}'''


class Case:
    """A bridge with one such listener."""

    def __init__(self, dir, kafka, url, dataset, more="", argilla=""):
        self.kafka, self.topic, self.group = kafka, name("changes"), name("group")
        self.dir, self.url, self.dataset, self.argilla_options = dir, url, dataset, argilla
        self.bridge = Bridge(dir, self.config(more))

    def config(self, more=""):
        return config(self.kafka, self.url, [listener(self.dataset, self.topic, more)], group=self.group, bridge="state_partitions = 1;", argilla=self.argilla_options)

    def reader(self):
        return Reader(self.kafka, self.topic, self.topic + ".runs")

    def reconciled(self, n=2, timeout_s=60):
        """So many reconciles from now on: the first may have begun before."""
        had = len(self.bridge.seen("reconciled"))
        self.bridge.await_event("reconciled", had + n, timeout_s)
        return self.bridge.seen("reconciled")[had:]

    def state(self):
        """key → value, as compaction would leave it; and the end of the partition."""
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": name("state"), "isolation.level": "read_committed", "enable.partition.eof": True})
        try:
            at = TopicPartition(f"{self.group}.state", 0, 0)
            consumer.assign([at])
            end, found = consumer.get_watermark_offsets(at)[1], {}
            while True:
                m = consumer.poll(10)
                assert m is not None, "no end"
                if m.error():
                    break
                found[m.key()] = m.value()
            return {k: v for k, v in found.items() if v is not None}, end
        finally:
            consumer.close()

    def digests(self, generation=1):
        head = f"digest/{self.topic}/{generation}/".encode()
        return {k.removeprefix(head) for k in self.state()[0] if k.startswith(head)}


@pytest.fixture
def dataset(argilla):
    dataset = argilla.create(name("changes"))
    argilla.bulk(dataset, text_records(250))
    yield dataset
    argilla.delete(dataset)


def delete(argilla, dataset, *ids, discard=False):
    argilla.call("DELETE", f"/api/datasets/{dataset}/data", {"ids": [str(i) for i in ids]}, mark_as_discarded=str(discard).lower())


def patch(argilla, dataset, id, **metadata):
    argilla.call("PATCH", f"/api/datasets/{dataset}/records/{id}", {"metadata": metadata})


def tombstones(reader):
    return {m.key: m.type.removeprefix("record.") for m in reader.messages if m.raw is None}


# ---- each version once ----


class Client:
    """Other programs and people: what they do at random, for as long as it is open."""

    def __init__(self, argilla, dataset, seed):
        self.argilla, self.dataset, self.random = argilla, dataset, random.Random(seed)
        self.ids, self.n_added, self.n_done, self.failure = list(range(400)), 400, {}, None
        argilla.bulk(dataset, [self.record(i) for i in self.ids])
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def record(self, i):
        r = self.random
        metadata = {"group": r.choice("aab"), "n": r.randrange(5), "f": r.random()}
        return {"id": i if i % 3 else f"r/{i}", "inputs": {"text": f"text {i} {r.randrange(3)} \u00e9\n"}, "metadata": metadata}

    def name_of(self, i):
        return i if i % 3 else f"r/{i}"

    def some(self, n):
        return self.random.sample(self.ids, n)

    def add(self):
        new = list(range(self.n_added, self.n_added + self.random.randrange(1, 20)))
        self.n_added += len(new)
        self.argilla.bulk(self.dataset, [self.record(i) for i in new])
        self.ids += new

    def rewrite(self):
        self.argilla.bulk(self.dataset, [self.record(i) for i in self.some(8)])

    def repeat(self):
        """Written again as it is: the stamp moves, the version doesn't."""
        found = [r for i in self.some(8) if i % 3 and (r := self.argilla.record(self.dataset, i))]
        self.argilla.bulk(self.dataset, [{k: r[k] for k in ("id", "inputs", "metadata", "status")} for r in found])

    def patch(self):
        for i in self.some(3):
            if i % 3:
                patch(self.argilla, self.dataset, i, group=self.random.choice("ab"))

    def discard(self):
        delete(self.argilla, self.dataset, *map(self.name_of, self.some(2)), discard=True)

    def delete(self):
        gone = self.some(3)
        delete(self.argilla, self.dataset, *map(self.name_of, gone))
        self.ids = [i for i in self.ids if i not in gone]

    def _run(self):
        actions = [self.add, self.rewrite, self.repeat, self.patch, self.discard, self.delete]
        while not self._end.wait(self.random.uniform(0, 0.4)):
            action = self.random.choice(actions)
            try:
                action()
                self.n_done[action.__name__] = self.n_done.get(action.__name__, 0) + 1
            except AssertionError as e:
                if "ConflictError(409" not in str(e):  # discards and deletes of one record within a second
                    self.failure = e
                    return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(60)
        assert self.failure is None, self.failure
        print(self.n_done)
        assert len(self.n_done) == 6 and not self._thread.is_alive()


def test_a_folded_topic_is_what_argilla_holds_whatever_is_killed(kafka, argilla_url, argilla, tmp_path, long):
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    r, dataset, query = random.Random(seed), argilla.create(name("changes")), "metadata.group:a"
    some, all = name("some"), name("all")
    bridge = Bridge(tmp_path, config(kafka, argilla_url, [
        listener(dataset, some, f'query = "{query}"; topic_partitions = 3; topic_cleanup_policy = "compact"; reconcile_max_missing_percent = 60'),
        listener(dataset, all, 'publish = "batches"; batch_records = 30').replace('publish = "records";', "", 1),
    ], bridge="state_partitions = 2;"))
    with Client(argilla, dataset, seed):
        for i in range(10 if long else 4):
            bridge.start()
            time.sleep((r.uniform(0.2, 4) if i % 2 else r.uniform(8, 18)) * (4 if long else 1))  # until the kill
            assert bridge.process.poll() is None, bridge.tail()
            bridge.kill()
        bridge.start()
        time.sleep(8)
    time.sleep(1.5)  # a discard or delete shows in searches after up to a second
    with bridge_of(bridge), Reader(kafka, some, all, some + ".runs", all + ".runs") as reader:
        n_seen = {t: len(bridge.seen("reconciled", listener=t)) for t in (some, all)}
        for t in (some, all):
            bridge.await_event("reconciled", n_seen[t] + 2, 120, listener=t)
        assert bridge.stop(20) == 0, bridge.tail()
        reader.to_end()
    print({t: len([m for m in reader.messages if m.topic == t]) for t in (some, all)}, f"{len(bridge.seen('reconciled'))} reconciles")
    assert_same(fold([m for m in reader.messages if m.topic == some]), held_by(argilla, dataset, query))
    assert_same(fold([m for m in reader.messages if m.topic == all]), held_by(argilla, dataset))
    Ledger(reader.messages).check()
    kinds = {m.type for m in reader.messages}
    assert {"record", "record.deleted", "record.removed", "batch", "run"} <= kinds, kinds
    argilla.delete(dataset)


class bridge_of:
    """A bridge that runs already, as a context."""

    def __init__(self, bridge):
        self.bridge = bridge

    def __enter__(self):
        return self.bridge

    def __exit__(self, *what):
        self.bridge.__exit__(*what)


def test_a_version_is_sent_once_and_a_steady_dataset_costs_nothing(kafka, argilla_url, argilla, dataset, tmp_path):
    case = Case(tmp_path, kafka, argilla_url, dataset)
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        assert len(reader.of("record")) == 250
        case.reconciled()
        before = case.state()[1]
        polls = len(case.bridge.seen("poll"))
        case.reconciled(3)
        case.bridge.await_event("poll", polls + 8)
        assert case.state()[1] == before, "a steady dataset is written about"
        argilla.bulk(dataset, text_records(3, start=10))  # as they were: new stamps, no new versions
        argilla.bulk(dataset, text_records(2, start=300))
        reader.until(lambda r: len(r.of("run")) == 2)
        assert {m.key for m in reader.of("record")[250:]} == {"300", "301"}
        patch(argilla, dataset, 7, seen=1)  # moves no stamp: the reconcile's
        reader.until(lambda r: len(r.of("record")) == 253)
        assert reader.of("record")[-1].value["metadata"]["seen"] == 1
        n_dead = len([m for m in reader.messages if m.raw is None])
        assert case.bridge.stop() == 0 and n_dead == 0
    # a restart goes on where it was
    with case.bridge, case.reader() as reader:
        case.reconciled()
        assert case.bridge.stop() == 0
        reader.to_end()
    assert_same(fold(reader.messages), held_by(argilla, dataset))
    assert len(reader.of("record")) == 253
    runs = Ledger(reader.messages).check().complete(case.topic)
    assert [(r.end["n_records"], r.end["n_oversize"], r.end["n_deleted"]) for r in runs] == [(250, 0, 0), (2, 0, 0), (1, 0, 0)]
    # a reconcile sees 251 others; a range leaves out what is newer than the server's Date, which may be seconds old
    assert runs[1].end["n_unchanged"] >= 3 and runs[2].end["n_unchanged"] > 0


def test_without_changes_not_even_a_scan_is_made(kafka, tmp_path):
    with Sim(tmp_path, "--dataset", "d:TextClassification:300") as sim:
        case = Case(tmp_path, kafka, sim.url, "d")
        case.bridge.path.write_text(case.config("overlap_in_seconds = 1").replace("reconcile_interval_in_seconds = 1;", ""))
        with case.bridge, case.reader() as reader:
            reader.until(lambda r: r.of("run"))
            time.sleep(3)  # the overlap, by the server's clock
            done = len(case.bridge.seen("nothing new"))
            polls = len(case.bridge.seen("poll"))
            case.bridge.await_event("poll", polls + 5)
            assert len(case.bridge.seen("nothing new")) == done and len(case.bridge.seen("run")) == 1


def test_a_version_that_is_too_large_is_counted_once(kafka, argilla_url, argilla, dataset, tmp_path):
    argilla.bulk(dataset, [{"id": "large", "inputs": {"text": "x" * 5000}}])
    case = Case(tmp_path, kafka, argilla_url, dataset, "max_message_bytes = 3000")
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        case.reconciled()
        argilla.bulk(dataset, [{"id": "large", "inputs": {"text": "y" * 5000}}])
        reader.until(lambda r: len(r.of("run")) == 2)
        case.reconciled()
        argilla.bulk(dataset, [{"id": "large", "inputs": {"text": "small"}}])
        reader.until(lambda r: len(r.of("run")) == 3)
        assert [m.value["n_oversize"] for m in reader.of("run")] == [1, 1, 0]
        assert [m.value["oversize_ids"] for m in reader.of("run")] == [["large"], ["large"], []]


# ---- what is gone ----


def test_deleted_and_removed_are_told_apart(kafka, argilla_url, argilla, dataset, tmp_path):
    odd = ["a/b", "..", "\u00e9 \"?#%"]
    argilla.bulk(dataset, [{"id": i, "inputs": {"text": "x"}, "metadata": {"batch_id": 1}} for i in odd])
    case = Case(tmp_path, kafka, argilla_url, dataset, 'query = "metadata.batch_id:[0 TO 1]"')
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        assert len(reader.of("record")) == 203
        delete(argilla, dataset, 3, *odd)
        patch(argilla, dataset, 4, batch_id=9)
        argilla.bulk(dataset, [{**text_records(1, start=5)[0], "metadata": {"batch_id": 9}}])
        reader.until(lambda r: len(tombstones(r)) == 6)
        assert tombstones(reader) == {"3": "deleted", "4": "removed", "5": "removed", **{i: "deleted" for i in odd}}
        argilla.bulk(dataset, text_records(3, start=3))  # and back: published again, though it is a version of before
        reader.until(lambda r: len(r.of("record")) == 206)
        case.reconciled()
        assert_same(fold(reader.poll().messages), held_by(argilla, dataset, "metadata.batch_id:[0 TO 1]"))
        assert case.digests() == {str(i).encode() for i in range(200)}
    Ledger(reader.messages).check()


def test_more_than_one_chunk_of_records_is_removed(kafka, argilla_url, argilla, tmp_path):
    dataset = argilla.create(name("changes"))
    argilla.bulk(dataset, text_records(1500))
    case = Case(tmp_path, kafka, argilla_url, dataset, "reconcile_max_missing_percent = 100")
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        argilla.call("DELETE", f"/api/datasets/{dataset}/data", {"query_text": "metadata.batch_id:[0 TO 11]"})
        reader.until(lambda r: len(tombstones(r)) == 1200, 90)
        case.reconciled()
        assert_same(fold(reader.poll().messages), held_by(argilla, dataset))
        assert len(case.digests()) == 300
    Ledger(reader.messages).check()
    argilla.delete(dataset)


def assert_holds(case, reader, why, n=3):
    """The reconcile holds, said once, and nothing is taken for gone."""
    case.bridge.await_event("reconcile holds")
    case.reconciled(n)
    holds = case.bridge.seen("reconcile holds")
    assert len(holds) == 1 and why in holds[0]["why"], holds
    assert not tombstones(reader.poll())


def test_an_emptied_dataset_deletes_nothing(kafka, argilla_url, argilla, dataset, tmp_path):
    case = Case(tmp_path, kafka, argilla_url, dataset)
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        argilla.call("DELETE", f"/api/datasets/{dataset}/data", {"query_text": "*"})
        assert_holds(case, reader, "250 of 250 records are missing")
        argilla.bulk(dataset, text_records(245))  # all but five are back, as they were
        case.bridge.await_event("reconcile goes on")
        reader.until(lambda r: len(tombstones(r)) == 5)
        assert set(tombstones(reader)) == {str(i) for i in range(245, 250)}
        assert len(reader.of("record")) == 250


def test_an_empty_dataset_deletes_nothing_even_when_all_may_be_missing(kafka, argilla_url, argilla, dataset, tmp_path):
    case = Case(tmp_path, kafka, argilla_url, dataset, "reconcile_max_missing_percent = 100")
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        argilla.call("DELETE", f"/api/datasets/{dataset}/data", {"query_text": "*"})
        assert_holds(case, reader, "the dataset is empty", n=1)


def test_a_dataset_made_anew_deletes_nothing_until_reset(kafka, argilla_url, argilla, dataset, tmp_path):
    case = Case(tmp_path, kafka, argilla_url, dataset)
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        argilla.delete(dataset)
        argilla.create(dataset)
        argilla.bulk(dataset, text_records(247, start=5))  # five are missing, two are new
        assert_holds(case, reader, "made anew")
        reader.until(lambda r: len(r.of("record")) == 252)
        assert case.bridge.stop() == 0
        assert case.bridge.command("reset", case.topic).returncode == 0
        case.bridge.start()
        reader.until(lambda r: len(r.of("record")) == 252 + 247)
        delete(argilla, dataset, 100)
        reader.until(lambda r: tombstones(r) == {"100": "deleted"})


def test_a_dataset_made_anew_after_a_first_run_that_failed_deletes_nothing(kafka, argilla_url, argilla, tmp_path):
    """Few enough are missing for the share that may be, and no reconcile has ever been completed."""
    dataset = argilla.create(name("failed"))
    argilla.bulk(dataset, [*text_records(230, batch=1000), {"id": "zz", "inputs": {"text": "last"}, "metadata": {"batch_id": 9}}])
    project = 'project = "if .metadata.batch_id == 9 then error(\\"no\\") else . end";'
    case = Case(tmp_path, kafka, argilla_url, dataset, project)
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        assert reader.of("run")[0].value["status"] == "failed" and len(reader.of("record")) >= 100
        argilla.delete(dataset)
        argilla.create(dataset)
        argilla.bulk(dataset, text_records(225, start=5, batch=1000))
        case.bridge.await_event("reconcile holds")
        case.reconciled()
        assert case.bridge.stop() == 0
        reader.to_end()
        assert not [m for m in reader.messages if m.raw is None]
    argilla.delete(dataset)


def test_a_trigger_that_finds_nothing_new_is_over(kafka, tmp_path):
    """On a stopped listener: one poll, and no more."""
    with Sim(tmp_path, "--dataset", "d:TextClassification:50") as sim:
        case = Case(tmp_path, kafka, sim.url, "d")
        with case.bridge:
            case.reconciled()
            commands = Commands(kafka, case.group, 1)
            commands.send("stop", case.topic)
            case.bridge.await_event("listener stopped")
            polls = len(case.bridge.seen("poll"))
            commands.send("trigger", case.topic)
            case.bridge.await_event("poll", polls + 1)
            commands.send("trigger", case.topic)  # taken only when the first is over
            case.bridge.await_event("listener triggered", 2)
            case.bridge.await_event("poll", polls + 2)
            time.sleep(1.5)  # five intervals: what must not happen has no event to wait for
            assert len(case.bridge.seen("poll")) == polls + 2
            assert case.bridge.stop() == 0


def test_a_dataset_that_is_gone_deletes_nothing(kafka, argilla_url, argilla, dataset, tmp_path):
    case = Case(tmp_path, kafka, argilla_url, dataset)
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        argilla.delete(dataset)
        case.bridge.await_event("listener failing")
        time.sleep(3)  # more polls, and reconciles that are due
        assert not tombstones(reader.poll())
        assert len(case.bridge.seen("reconcile holds")) == 0
        argilla.create(dataset)


REFUSALS = {
    "401": {"status": 401},
    "403": {"status": 403},
    "500": {"status": 500},
    "429": {"status": 429},
    "hangs": {"hang": True},
    "cut": {"cut_at": 20},
    "no dataset": {"status": 404, "body": '{"detail":{"code":"argilla.api.errors::EntityNotFoundError","params":{"name":"d","type":"ServiceDataset"}}}'},
    "no route": {"status": 404, "body": '{"detail":"Not Found"}'},
    "a proxy": {"status": 404, "body": "<html>not found</html>"},
}


def n_met(sim):
    return sim.control("faults")[0]["n_met"]


@pytest.mark.parametrize("what", REFUSALS)
def test_only_a_definite_answer_deletes(kafka, tmp_path, what):
    with Sim(tmp_path, "--dataset", "d:TextClassification:300") as sim:
        client, victim = Argilla(sim.url), "r000000005"
        case = Case(tmp_path, kafka, sim.url, "d", argilla="timeout_ms = 700; auth_retry_s = 1;")
        with case.bridge, case.reader() as reader:
            reader.until(lambda r: r.of("run"))
            sim.fault(f"/records/{victim}", method="GET", **REFUSALS[what])
            delete(client, "d", victim)
            case.bridge.await_event("listener " + ("paused" if what in ("401", "403") else "failing"))
            met = n_met(sim)
            eventually(lambda: n_met(sim) >= met + 2, 30, "the question comes again")
            assert not tombstones(reader.poll())
            sim.control("faults", method="DELETE")
            reader.until(lambda r: tombstones(r) == {victim: "deleted"})


# ---- starting over, and other ways to go on ----


def test_reset_sends_all_anew_and_cleans_up(kafka, argilla_url, argilla, dataset, tmp_path):
    case = Case(tmp_path, kafka, argilla_url, dataset)
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        assert len(case.digests()) == 250
        assert case.bridge.stop() == 0
        delete(argilla, dataset, 9)
        time.sleep(1.2)  # until searches see it
        assert case.bridge.command("reset", case.topic).returncode == 0
        told = case.bridge.command("explain", case.topic).stdout
        assert "tracked       0 records (and 250 from before the last reset" in told and "a reconcile is due (reset)" in told
        case.bridge.start()
        reader.until(lambda r: len(r.of("run")) == 2)
        assert len(reader.of("record")) == 250 + 249 and not tombstones(reader)
        eventually(lambda: not case.digests(1), 30, "the old generation's keys are gone")
        assert len(case.digests(2)) == 249
        delete(argilla, dataset, 10)
        reader.until(lambda r: tombstones(r) == {"10": "deleted"})
        assert case.bridge.stop() == 0
        assert case.bridge.command("forget", case.topic).returncode == 0
        assert not [k for k in case.state()[0] if k != b"header"]


def test_deliver_may_be_changed_back_and_forth(kafka, argilla_url, argilla, dataset, tmp_path):
    case = Case(tmp_path, kafka, argilla_url, dataset)
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        assert case.bridge.stop() == 0
        matches = case.config().replace('deliver = "changes";', "").replace("reconcile_interval_in_seconds = 1;", "")
        case.bridge.path.write_text(matches)
        case.bridge.start()
        reader.until(lambda r: len(r.of("run")) >= 3)
        assert {m.value["n_records"] for m in reader.of("run")} == {250}
        assert case.bridge.stop() == 0
        n = len(reader.to_end())
        argilla.bulk(dataset, text_records(1, start=400))
        delete(argilla, dataset, 8)
        case.bridge.path.write_text(case.config())
        case.bridge.start()
        reader.until(lambda r: tombstones(r) == {"8": "deleted"})
        case.reconciled()
        assert [m.key for m in reader.poll().messages[n:] if m.type == "record"] == ["400"]


def test_another_query_removes_what_it_does_not_find(kafka, argilla_url, argilla, dataset, tmp_path):
    case = Case(tmp_path, kafka, argilla_url, dataset, 'query = "metadata.batch_id:[0 TO 1]"; reconcile_max_missing_percent = 50')
    with case.bridge, case.reader() as reader:
        reader.until(lambda r: r.of("run"))
        assert case.bridge.stop() == 0
        told = case.bridge.command("explain", case.topic).stdout
        assert "tracked       200 records" in told and "looks back    to 20" in told and "reconcile     due at 20" in told
        case.bridge.path.write_text(case.config('query = "metadata.batch_id:[1 TO 2]"; reconcile_max_missing_percent = 50'))
        assert "a reconcile is due (query)" in case.bridge.command("explain", case.topic).stdout
        case.bridge.start()
        reader.until(lambda r: len(tombstones(r)) == 100)
        assert set(tombstones(reader).values()) == {"removed"}
        assert_same(fold(reader.messages), held_by(argilla, dataset, "metadata.batch_id:[1 TO 2]"))


def test_a_condition_gates_and_sees_the_query_s_own_total(kafka, argilla_url, argilla, dataset, tmp_path):
    case = Case(tmp_path, kafka, argilla_url, dataset, 'condition = "search.total > 252"')
    with case.bridge, case.reader() as reader:
        case.bridge.await_event("poll", 5)
        assert not reader.poll().messages
        argilla.bulk(dataset, text_records(3, start=300))
        reader.until(lambda r: r.of("run"))
        assert reader.of("run")[0].value["search"] == {"total": 253} and len(reader.of("record")) == 253
        assert {k: len(v) for k, v in steps(reader.messages).items() if len(v) != 1} == {}
