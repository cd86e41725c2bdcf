"""On nothing but the simulator, from poll to subscriber: does each kind of listener publish what it should, once; and does it come through
what a server can do to it? The quick tests' share of what test_first_path, test_messages and test_http_faults do on real servers."""

import sys
from types import SimpleNamespace

import pytest
from harness import ROOT, Argilla, Bridge, Reader, config, eventually
from ledger import Ledger

sys.path[:0] = [str(ROOT / "tests/sim")]

from simulator import Sim  # noqa: E402

COUNT, SCAN = "TextClassification:search", "records/:search"
TIMEOUT_MS = 1500
# What comes, and what the log says of it (None: it isn't worth a line).
FAULTS = {
    "unavailable": ({"status": 503, "times": 3}, "HTTP 503"),
    "retry-after": ({"status": 503, "retry_after": 2, "times": 1}, "HTTP 503"),
    "too-many": ({"status": 429, "retry_after": 2, "times": 1}, "HTTP 429"),
    "hang": ({"hang": True, "times": 1}, "timed out"),
    "cut": ({"cut_at": 20, "times": 1}, "search"),
    "truncated": ({"truncate": 20, "times": 1}, "not JSON"),
    "proxy": ({"body": "<html>Sign in</html>", "times": 1}, "not JSON"),
    "refused": ({"status": 401, "times": 1}, "HTTP 401"),
    "late": ({"delay_ms": 400, "times": 1}, None),
}
WHERE = {"probe": {"match": COUNT}, "scan": {"match": SCAN, "after": 2}}
CASES = [f"{what}-{where}" for what in FAULTS for where in WHERE]


def start(sim, dir, listeners, argilla=""):
    text = config(sim.kafka, sim.url, listeners, group="g", bridge="state_partitions = 2;", argilla=argilla)
    return Bridge(dir / "bridge", text)


def test_batches_records_metrics_and_params_that_move_on(tmp_path):
    listeners = [
        'name = "ten"; dataset = "d"; topic = "ten"; query = "metadata.batch_id:{batch_id}"; query_params: { batch_id = 3; };'
        'condition = "search.total == 10"; update_query_params = "ctx.query_params[\\"batch_id\\"] += 1"; metrics = [ "F1" ];'
        "execution_interval_in_seconds = 0.2;",
        'name = "each"; dataset = "d"; topic = "each"; publish = "records"; page_size = 20; execution_interval_in_seconds = 0.2;'
        'condition = "search.total > 50 and search.total != previous.search.total";',
        'name = "size"; dataset = "d"; metrics_topic = "size"; query_records = false; metrics = [ "F1" ]; execution_interval_in_seconds = 0.2;',
    ]
    options = ("--topics", "ten:2,ten.runs:1,each:3,each.runs:1,size:1,g.state:2", "--dataset", "d:TextClassification:55:0:10")
    with Sim(tmp_path, "--kafka-brokers", 1, *options) as sim, Reader(sim.kafka, "ten", "ten.runs", "each", "each.runs", "size") as reader:
        with start(sim, tmp_path, listeners) as bridge:
            bridge.await_event("poll", n=3, listener="ten", query="metadata.batch_id:5", fired="false")  # five of its ten are there
            assert len(bridge.seen("run", listener="ten")) == 2 and len(bridge.seen("run", listener="each")) == 1
            sim.control("writes", {"dataset": "d", "adds": 12})
            bridge.await_event("run", n=3, listener="ten")
            bridge.await_event("run", n=2, listener="each")
            bridge.await_event("poll", n=3, listener="ten", query="metadata.batch_id:6", fired="false")
            assert bridge.stop() == 0
        with start(sim, tmp_path, listeners) as bridge:  # and on from there
            sim.control("writes", {"dataset": "d", "adds": 3})
            bridge.await_event("run", listener="ten", run=4)
            bridge.await_event("run", listener="each", run=3)
            bridge.await_event("run", listener="size", total=70)
            assert bridge.stop() == 0
        reader.to_end()
        records = {r["id"]: r for r in every_record(sim)}
    ledger = Ledger(reader.messages).check()
    ten, each, size = (ledger.runs(name) for name in ("ten", "each", "size"))
    assert [run.query_params["batch_id"] for run in ten] == [3, 4, 5, 6] and ten[-1].end["next_query_params"] == {"batch_id": 7}
    assert [[r["metadata"]["n"] for m in run.batches for r in m.value["records"]] for run in ten] == [[*range(i * 10, i * 10 + 10)] for i in (3, 4, 5, 6)]
    assert all(m.value["records"] == [records[r["id"]] for r in m.value["records"]] for run in ten for m in run.batches)
    assert all(0 < run.end["metrics"]["F1"]["f1_macro"] <= 1 for run in ten + size)
    assert [len(run.ids) for run in each] == [55, 67, 70] and set(each[-1].ids) == set(records)
    assert all(m.key == m.value["id"] and m.value == records[m.key] for m in each[-1].records)
    assert [run.end["search"]["total"] for run in size][-1] == 70 and not any(run.ids for run in size)


def every_record(sim):
    body = {"query": {}, "fields": ["**"], "sort_by": [{"id": "id", "order": "asc"}]}
    return Argilla(sim.url).call("POST", f"/api/datasets/d/{SCAN}", body, limit=1000).json()["records"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """All faults at once, each on a dataset of its own and in a well one's company, until all have come through."""
    dir = tmp_path_factory.mktemp("faults")
    datasets = [w for case in CASES for w in ("--dataset", f"{case}:TextClassification:50")]
    listeners = [
        f'name = "{case}"; dataset = "{case}"; topic = "faults"; page_size = 10; batch_records = 10; execution_interval_in_seconds = 0.5;'
        'condition = "previous == null";'
        for case in CASES
    ] + ['name = "well"; dataset = "well"; topic = "well"; execution_interval_in_seconds = 0.25; condition = "search.total == 5";']
    topics = "faults:2,faults.runs:1,well:1,well.runs:1,g.state:2"
    with Sim(dir, "--kafka-brokers", 1, "--topics", topics, *datasets, "--dataset", "well:TextClassification:5") as sim:
        sim.control("arrivals", {"record": 100000})
        for what, (fault, _) in FAULTS.items():
            for name, where in WHERE.items():
                sim.fault(dataset=f"{what}-{name}", **where, **fault)
        with Reader(sim.kafka, "faults", "faults.runs", "well", "well.runs") as reader:
            with start(sim, dir, listeners, argilla=f"timeout_ms = {TIMEOUT_MS}; auth_retry_s = 1;") as bridge:
                for case in CASES:
                    bridge.await_event("run", listener=case, timeout_s=30)
                    bridge.await_event("poll", listener=case, fired="false")  # once more: what would come twice has come by then
                met = sim.control("faults")
                arrivals = [(at / 1e6, path.split("/")[3], path) for at, path in sim.control("arrivals")]
                assert bridge.stop() == 0
            reader.to_end()
    yield SimpleNamespace(bridge=bridge, reader=reader, met=met, arrivals=arrivals, ledger=Ledger(reader.messages))


def told(scene, case):
    return [e for e in scene.bridge.events if e["event"] in ("listener failing", "listener paused") and e["listener"] == case]


def test_every_fault_was_met(scene):
    spoiled = [fault.get("times") for fault, _ in FAULTS.values() for _ in WHERE]
    assert [fault["n_spoiled"] for fault in scene.met] == spoiled


def test_all_is_published_once_whatever_happens(scene):
    scene.ledger.check()


@pytest.mark.parametrize("case", CASES)
def test_one_run_with_all_records(scene, case):
    (run,) = scene.ledger.runs(case)
    assert len(run.ids) == 50 and run.end["n_batches"] == 5


@pytest.mark.parametrize("case", CASES)
def test_it_is_told_once_and_so_is_the_end_of_it(scene, case):
    text = FAULTS[case.rsplit("-", 1)[0]][1]
    well_again = scene.bridge.seen("listener well again", listener=case)
    if text is None:
        assert told(scene, case) == [] and well_again == []
        return
    (event,) = told(scene, case)
    assert text in event["error"] and len(well_again) == 1
    assert event["event"] == ("listener paused" if case.startswith("refused") else "listener failing")


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith(("retry-after", "too-many"))])
def test_retry_after_is_waited_for(scene, case):
    times = [at for at, dataset, _ in scene.arrivals if dataset == case]
    assert sum(b - a >= 1.99 for a, b in zip(times, times[1:])) == 1


def test_a_run_goes_on_behind_what_is_published(scene):
    """Three pages are asked for before the fault and three after it (with the empty one), none twice but the spoiled."""
    asked = [path for _, dataset, path in scene.arrivals if dataset == "cut-scan" and path.endswith(SCAN)]
    assert len(asked) <= 5 + 1 + 1 + 1


def test_the_well_listener_never_waited(scene):
    times = [at for at, dataset, path in scene.arrivals if dataset == "well" and path.endswith(COUNT)]
    assert len(times) > 10 and max(b - a for a, b in zip(times, times[1:])) < 1
    assert told(scene, "well") == [] and len(scene.ledger.complete("well")) >= len(times) - 1
    assert scene.bridge.seen("argilla down") == []


def test_a_broker_that_is_away_is_waited_for(tmp_path):
    options = ("--topics", "t:1,t.runs:1,g.state:2", "--dataset", "d:TextClassification:30")
    listener = 'name = "l"; dataset = "d"; topic = "t"; execution_interval_in_seconds = 0.2;'
    with Sim(tmp_path, "--kafka-brokers", 1, *options) as sim:
        with start(sim, tmp_path, [listener]) as bridge:
            bridge.await_event("run", n=2)
            sim.control("brokers", {"broker": 1, "up": False})
            bridge.await_event("kafka down", timeout_s=30)
            sim.control("brokers", {"broker": 1, "up": True})
            n = len(bridge.seen("run"))
            bridge.await_event("run", n=n + 2, timeout_s=60)
            assert len(bridge.seen("kafka down")) == len(eventually(lambda: bridge.seen("kafka up"), 30, "kafka up")) == 1
            assert bridge.stop() == 0
