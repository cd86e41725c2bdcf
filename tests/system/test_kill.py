"""Does kill -9 at any moment lose, double or skip anything, and is a restart back at work within seconds?"""

import random
import threading
import time

import pytest

from harness import Bridge, Reader, config, eventually, name, text_records
from ledger import Ledger

N_RECORDS, BATCH = 20_000, 100
N_PARAMS = N_RECORDS // BATCH


@pytest.fixture(scope="module")
def dataset(argilla):
    dataset = argilla.create(name("kill"))
    argilla.bulk(dataset, text_records(N_RECORDS, batch=BATCH), chunk=5000)
    yield dataset
    argilla.delete(dataset)


class Writer:
    """Another client that annotates meanwhile: now new records, now old ones written again. New ones belong to no batch."""

    def __init__(self, argilla, dataset, seed):
        self.argilla, self.dataset, self.random = argilla, dataset, random.Random(seed)
        self.n_written, self._end = 0, threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def _write(self):
        while not self._end.wait(0.7):
            new = text_records(1, start=1_000_000 + self.n_written, batch=1)
            old = text_records(1, start=self.random.randrange(N_RECORDS), batch=BATCH)
            self.argilla.bulk(self.dataset, new + old)
            self.n_written += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join(60)
        assert self.n_written > 0


def moments(n, seed):
    """When to kill, in seconds after the start: half of them before or soon after the partitions are open, the others anywhere
    in a scan, which takes some seconds."""
    r = random.Random(seed)
    return [r.uniform(0, 0.5) if i % 4 == 0 else r.uniform(0.2, 1.2) if i % 4 == 1 else r.uniform(1, 4) for i in range(n)]


def config_of(kafka, argilla_url, dataset, topic):
    return config(kafka, argilla_url, [
        f'''name = "{name("all")}"; dataset = "{dataset}"; topic = "{topic}.all"; execution_interval_in_seconds = 0.1;
            condition = "search.total > 0"; page_size = 250; batch_records = 200''',
        f'''name = "{name("records")}"; dataset = "{dataset}"; topic = "{topic}.records"; execution_interval_in_seconds = 0.3;
            topic_partitions = 3; publish = "records"; query = "metadata.batch_id:[0 TO 19]"; page_size = 200''',
        f'''name = "{name("moving")}"; dataset = "{dataset}"; topic = "{topic}.moving"; execution_interval_in_seconds = 0.1;
            query = "metadata.batch_id:{{batch_id}}"; query_params: {{ batch_id = 0; }}; page_size = 40;
            condition = "search.total == {BATCH}";
            update_query_params = "ctx.query_params.batch_id |= (. + 1) % {N_PARAMS}"''',
    ], bridge=f'instance_id = "{name("instance")}"; state_partitions = 3;')


def kill_again_and_again(bridge, at):
    """Returns how long each restart took until a partition was open, where it lived long enough to tell."""
    took = []
    for seconds in at:
        start = time.monotonic()
        bridge.start()
        n_open = len(bridge.seen("partition open"))
        while time.monotonic() < start + seconds:
            if len(bridge.seen("partition open")) > n_open:
                took.append(time.monotonic() - start)
                n_open = 1 << 30
            time.sleep(0.01)
        assert bridge.process.poll() is None, bridge.tail()
        bridge.kill()
    return took


def test_nothing_is_lost_or_doubled_by_kills(kafka, argilla_url, argilla, dataset, tmp_path, long):
    n_kills, seed, topic = 200 if long else 20, random.randrange(1 << 30), name("topic")
    print(f"seed {seed}")
    topics = [f"{topic}.{kind}{runs}" for kind in ("all", "records", "moving") for runs in ("", ".runs")]
    bridge = Bridge(tmp_path, config_of(kafka, argilla_url, dataset, topic))
    with Writer(argilla, dataset, seed):
        took = kill_again_and_again(bridge, moments(n_kills, seed))
        with bridge:
            start, n_open, n_runs = time.monotonic(), len(bridge.seen("partition open")), len(bridge.seen("run"))
            eventually(lambda: len(bridge.seen("partition open")) > n_open, 5, "back after the last kill")
            took.append(time.monotonic() - start)
            eventually(lambda: len({e["listener"] for e in bridge.seen("run")[n_runs:]}) == 3, 120, "a run of each listener")
            assert bridge.stop(10) == 0, bridge.tail()
    with Reader(kafka, *topics) as reader:
        reader.to_end()
    print(f"restarts: {len(took)} seen, {max(took):.1f} s at most")
    assert len(took) > n_kills / 4 and max(took) < 5
    check(Ledger(reader.messages).check())


def check(ledger):
    everything, one_fifth = set(range(N_RECORDS)), set(range(20 * BATCH))
    assert len(ledger.listeners) == 3
    for listener in ledger.listeners:
        runs = ledger.complete(listener)
        print(f"{listener}: {len(runs)} runs")
        assert runs, listener
        for run in runs:
            ids = set(run.ids)
            if listener.startswith("all"):
                assert everything <= ids, f"{run}: {len(everything - ids)} are missing"
                assert all(i in everything or i >= 1_000_000 for i in ids)
            elif listener.startswith("records"):
                assert ids == one_fifth, f"{run}: {len(ids)} of {len(one_fifth)}"
            else:
                batch_id = (run.number - 1) % N_PARAMS
                assert run.query_params == {"batch_id": batch_id}
                assert ids == set(range(batch_id * BATCH, (batch_id + 1) * BATCH)), run
