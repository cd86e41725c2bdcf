"""What only the simulator can: generated datasets, faults, counts of what was asked, and a Kafka beside it. That it answers as
Argilla does is held by tests/system/test_argilla_contract.py."""

import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
from confluent_kafka import Consumer, Producer

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "system")]

import simulator  # noqa: E402
from harness import Argilla, Bridge, Reader, config, eventually  # noqa: E402
from simulator import Sim  # noqa: E402

BY_ID = [{"id": "id", "order": "asc"}]
SEARCH = "/api/datasets/d/TextClassification:search"
SCAN = "/api/datasets/d/records/:search"


@pytest.fixture
def sim(tmp_path):
    with Sim(tmp_path, "--dataset", "d:TextClassification:5000:700:10", "--dataset", "other:Text2Text:10") as sim:
        yield sim


def client(sim):
    return Argilla(sim.url)


def count(sim, query=None, dataset="d"):
    return client(sim).count(dataset, query)


def page(sim, cursor=None, limit=500, query=None, sort=BY_ID, dataset="d"):
    body = {"query": {"query_text": query}, "fields": ["**"], "sort_by": sort, **({"next_page_cfg": cursor} if cursor else {})}
    return client(sim).call("POST", f"/api/datasets/{dataset}/records/:search", body, limit=limit)


def scan(sim, **more):
    cursor = None
    while True:
        answer = page(sim, cursor, **more).json()
        if not answer["records"]:
            return
        yield from answer["records"]
        cursor = answer["next_page_cfg"]


def post(sim, path=SEARCH, timeout=30):
    r = client(sim)
    return r.session.post(sim.url + path, json={}, params={"workspace": "argilla"}, timeout=timeout)


# ---- generated records ----


def test_records_are_in_order_complete_and_of_their_size(sim):
    text = page(sim, limit=1000).text
    assert len(text) / 1000 == pytest.approx(700, rel=0.02)
    records = list(scan(sim))
    assert [r["metadata"]["n"] for r in records] == list(range(5000))
    ids = [r["id"] for r in records]
    assert ids == sorted(ids) and len(set(ids)) == 5000
    stamps = [r["last_updated"] for r in records]
    assert stamps == sorted(stamps) and len(set(stamps)) == 10  # bulks of 500
    assert count(sim) == 5000 and count(sim, "metadata.batch_id:7") == 10
    assert count(sim, "status:Validated") == sum(r["status"] == "Validated" for r in records) == 1250


def test_the_same_seed_makes_the_same_records(tmp_path):
    texts = []
    for i, seed in enumerate((1, 1, 2)):
        (tmp_path / str(i)).mkdir()
        with Sim(tmp_path / str(i), "--seed", seed, "--dataset", "d:TextClassification:100") as sim:
            texts.append([r["text"] for r in scan(sim)])
    assert texts[0] == texts[1] != texts[2]


def test_a_million_records_take_a_few_mib(tmp_path):
    with Sim(tmp_path, "--dataset", "d:TextClassification:1000000:850:10") as sim:
        assert count(sim) == 1000000 and count(sim, "metadata.batch_id:99999") == 10
        last = page(sim, json.dumps({"sort_by": BY_ID, "next_search_params": ["r000999990"]})).json()["records"]
        assert [r["metadata"]["n"] for r in last] == list(range(999991, 1000000))
        assert sim.peak_mib() < 16


def test_changed_records_are_held_and_counted(sim):
    sim.control("writes", {"dataset": "d", "changes": 40, "adds": 30})
    assert count(sim) == 5030
    changed = [r for r in scan(sim) if "changed" in r["metadata"]]
    assert 0 < len(changed) <= 40 and count(sim, "metadata.split:changed") == len(changed)
    by_stamp = [*scan(sim, sort=[{"id": "last_updated", "order": "asc"}, *BY_ID])]
    keys = [(r["last_updated"], r["id"]) for r in by_stamp]
    assert len(by_stamp) == 5030 and keys == sorted(keys)
    assert {r["id"] for r in by_stamp[-len(changed) :]} == {r["id"] for r in changed}
    client(sim).call("DELETE", "/api/datasets/d/data", {"query_text": "metadata.split:changed"})
    assert count(sim) == 5030 - len(changed) and len([*scan(sim)]) == 5030 - len(changed)


def test_rates(tmp_path):
    with Sim(tmp_path, "--dataset", "d:TextClassification:1000", "--adds", 200, "--changes", 100) as sim:
        start, n = time.monotonic(), count(sim)
        eventually(lambda: count(sim) >= n + 200, 10, "200 more records")
        assert 0.7 < time.monotonic() - start < 3
        assert count(sim, "metadata.split:changed") > 30
        sim.control("rates", {"adds": 0, "changes": 0})
        n = count(sim)
        time.sleep(0.2)  # nothing may happen: there is no condition to wait for
        assert count(sim) == n


def test_canned_pages_are_the_same_and_follow_writes(tmp_path):
    (tmp_path / "canned").mkdir()
    dataset = ("--dataset", "d:TextClassification:3000")
    with Sim(tmp_path, *dataset) as plain, Sim(tmp_path / "canned", "--canned", *dataset) as canned:
        strip = lambda records: [{**r, "last_updated": None} for r in records]  # noqa: E731
        want = strip(scan(plain))
        assert strip(scan(canned)) == want and strip(scan(canned)) == want
        canned.control("writes", {"dataset": "d", "adds": 5})
        assert len([*scan(canned)]) == 3005


# ---- faults ----


def test_a_status_comes_as_often_as_asked_and_no_sooner(sim):
    sim.fault("/records/:search", dataset="d", after=1, times=2, status=503, retry_after=2)
    answers = [post(sim, SCAN) for _ in range(4)]
    assert [r.status_code for r in answers] == [200, 503, 503, 200] and answers[1].headers["retry-after"] == "2"
    assert post(sim).status_code == 200 and len(answers[3].json()["records"]) == 100
    assert sim.control("faults") == [{"match": "/records/:search", "n_met": 4, "n_spoiled": 2}]


def test_faults_take_turns_and_are_cleared(sim):
    sim.fault(times=1, status=500)
    sim.fault(times=1, status=429)
    assert [post(sim).status_code for _ in range(3)] == [500, 429, 200]
    sim.fault(status=502)
    assert post(sim).status_code == 502
    sim.control("faults", method="DELETE")
    assert post(sim).status_code == 200


def test_a_body_of_another(sim):
    sim.fault(":search", times=1, body="<html>")
    assert post(sim).text == "<html>" and post(sim).json()["total"] == 5000


def test_a_cut_connection_and_a_truncated_body(sim):
    sim.fault(SCAN, times=1, cut_at=1000)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError)):
        post(sim, SCAN)
    sim.fault(SCAN, times=1, truncate=1000)
    assert len(post(sim, SCAN).content) == 1000
    assert len(post(sim, SCAN).json()["records"]) == 100


def test_a_late_answer_delays_nobody_else(sim):
    sim.fault(dataset="d", times=1, delay_ms=400)
    took = []

    def late():
        start = time.monotonic()
        assert post(sim).json()["total"] == 5000
        took.append(time.monotonic() - start)

    thread = threading.Thread(target=late)
    thread.start()
    eventually(lambda: sim.control("stats")["in_flight"], 5, "the late one", every_s=0.005)
    assert post(sim, "/api/datasets/other/Text2Text:search").json()["total"] == 10 and not took
    thread.join()
    assert 0.4 <= took[0] < 2


def test_what_hangs_ends_with_the_simulator(sim):
    sim.fault(dataset="d", hang=True)
    with pytest.raises(requests.exceptions.Timeout):
        post(sim, timeout=0.3)
    assert post(sim, "/api/datasets/other/Text2Text:search").status_code == 200
    assert sim.stop() == 0


@pytest.mark.parametrize("fault", [{"statuz": 1}, {"status": "x"}, {"status": 1000}, {"delay_ms": 10**12}])
def test_a_fault_that_cant_be(sim, fault):
    assert requests.post(sim.url + "/_sim/faults", json=fault, timeout=30).status_code == 400


# ---- what was asked ----


def test_stats(sim):
    post(sim), post(sim, SCAN)
    sim.fault(dataset="d", times=3, delay_ms=200)
    threads = [threading.Thread(target=post, args=(sim,)) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stats = sim.control("stats")
    assert {r["path"]: r["n"] for r in stats["requests"]} == {SEARCH: 4, SCAN: 1}
    assert stats["datasets"]["d"]["max_in_flight"] == 3
    eventually(lambda: sim.control("stats")["in_flight"] == 0, 5, "all done")
    sim.control("stats", method="DELETE")
    assert sim.control("stats")["requests"] == [] and sim.control("stats")["max_in_flight"] == 0


def test_arrivals_are_recorded_on_request(sim):
    post(sim)
    sim.control("arrivals", {"record": 2})
    before = time.monotonic()
    post(sim), post(sim, SCAN), post(sim)
    (first, a), (second, b) = sim.control("arrivals")
    assert (a, b) == (SEARCH, SCAN) and before * 1e6 <= first <= second <= time.monotonic() * 1e6
    sim.control("arrivals", {"record": 0})
    assert sim.control("arrivals") == []


def test_an_idle_connection_is_kept_and_then_closed(sim):
    with socket.create_connection(("127.0.0.1", int(sim.url.rsplit(":", 1)[1]))) as s:
        s.settimeout(15)
        for _ in range(2):
            s.sendall(b"GET /api/_info HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
        start = time.monotonic()
        assert s.recv(1) == b"" and 4 < time.monotonic() - start < 10


@pytest.mark.parametrize("options", [["--nope"], ["--port", "x"], ["--dataset", "d:Nope:1"], ["--dataset", "d"], ["--topics", "a:0"], ["extra"]])
def test_a_command_line_that_cant_be(options):
    done = subprocess.run([str(simulator.BINARY), *options], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2 and done.stderr and not done.stdout


# ---- Kafka ----


def test_topics_of_the_mock_cluster(tmp_path):
    with Sim(tmp_path, "--kafka-brokers", 1, "--topics", "a:1,b:3") as sim:
        sim.control("topics", {"name": "c", "partitions": 2})
        producer = Producer({"bootstrap.servers": sim.kafka})
        topics = producer.list_topics(timeout=10).topics
        assert {t: len(topics[t].partitions) for t in topics} == {"a": 1, "b": 3, "c": 2}
        producer.produce("c", b"hello", partition=1)
        assert producer.flush(10) == 0
        consumer = Consumer({"bootstrap.servers": sim.kafka, "group.id": "g", "auto.offset.reset": "earliest"})
        consumer.subscribe(["c"])
        assert eventually(lambda: consumer.poll(0.2), 20, "the message").value() == b"hello"
        consumer.close()


def test_the_bridge_runs_on_it(tmp_path):
    """Batches, query_params that move on, records and metrics, on nothing but the simulator."""
    topics = "batches:1,batches.runs:1,records:3,records.runs:1,g.state:2"
    datasets = ("--dataset", "d:TextClassification:300:0:10", "--dataset", "e:Text2Text:250")
    listeners = [
        'name = "batches"; dataset = "d"; topic = "batches"; query = "metadata.batch_id:{batch_id}"; query_params: { batch_id = 0; };'
        'condition = "search.total == 10"; update_query_params = "ctx.query_params[\\"batch_id\\"] += 1"; metrics = ["F1"];'
        "execution_interval_in_seconds = 0.25;",
        'name = "records"; dataset = "e"; topic = "records"; publish = "records"; page_size = 100; condition = "previous == null";',
    ]
    with Sim(tmp_path, "--kafka-brokers", 1, "--topics", topics, *datasets) as sim:
        text = config(sim.kafka, sim.url, listeners, group="g", bridge="state_partitions = 2;")
        with Bridge(tmp_path / "bridge", text) as bridge:
            bridge.await_event("run", n=4, listener="batches")
            bridge.await_event("run", listener="records")
            with Reader(sim.kafka, "batches", "batches.runs", "records") as reader:
                reader.until(lambda r: len(r.of("batch")) >= 4 and len(r.of("run")) >= 4 and len(r.of("record")) == 250)
            assert bridge.stop() == 0
        batches = reader.of("batch")[:4]
        assert [m.value["query_params"]["batch_id"] for m in batches] == [0, 1, 2, 3]
        assert all("f1_macro" in m.value["metrics"]["F1"] and len(m.value["records"]) == 10 for m in batches)
        seen = [r["metadata"]["n"] for m in batches for r in m.value["records"]]
        assert seen == list(itertools.islice(itertools.count(), 40))
        assert len({m.key for m in reader.of("record")}) == 250
        assert all(d["max_in_flight"] == 1 for d in sim.control("stats")["datasets"].values())
