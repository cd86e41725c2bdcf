"""Do the servers of the tests do what the tests rely on?"""

import os
import socket
import subprocess
import time
import uuid
from pathlib import Path

import pytest
import requests
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from servers import Argilla1, EndTxnProxy, Kafka, OpenSearch, ServerError, free_port

HERE = Path(__file__).resolve().parent


def eventually(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)


def new_topic(bootstrap, partitions=1):
    name = f"t-{uuid.uuid4()}"
    admin = AdminClient({"bootstrap.servers": bootstrap})  # named: it has to outlive its answer
    admin.create_topics([NewTopic(name, partitions)])[name].result(30)
    return name


def transactional(bootstrap, **settings):
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": str(uuid.uuid4()), "reconnect.backoff.max.ms": 500, **settings}
    )
    producer.init_transactions(30)
    return producer


def send(producer, topic, value):
    producer.begin_transaction()
    producer.produce(topic, value)
    producer.commit_transaction(30)


def read_all(bootstrap, topic):
    """The committed values of partition 0, up to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    values, end = [], time.monotonic() + 30
    while time.monotonic() < end:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            consumer.close()
            return values
        values.append(message.value().decode())
    raise AssertionError("no end of partition")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    """A broker that also says to be at a proxy's port, and that port."""
    port = free_port()
    with Kafka(tmp_path_factory.mktemp("kafka") / "k", proxy_ports=[port]) as kafka:
        yield kafka, port


@pytest.fixture(scope="module")
def argilla(tmp_path_factory):
    base = tmp_path_factory.mktemp("argilla")
    with OpenSearch(base / "o") as opensearch, Argilla1(base / "a", opensearch) as server:
        yield server


def call(argilla, method, path, body=None, key=Argilla1.api_key):
    answer = requests.request(
        method,
        f"{argilla.url}/api{path}",
        params={"workspace": argilla.workspace},
        json=body,
        headers={"X-Argilla-Api-Key": key},
        timeout=60,
    )
    answer.raise_for_status()
    return answer.json()


def seed(argilla, name, n):
    call(argilla, "POST", "/datasets", {"name": name, "task": "TextClassification", "workspace": argilla.workspace})
    records = [{"id": i, "inputs": {"text": f"text {i}"}, "vectors": {"v": {"value": [i, 1]}}} for i in range(n)]
    return call(argilla, "POST", f"/datasets/{name}/TextClassification:bulk", {"records": records})


def search(argilla, name, query):
    return call(argilla, "POST", f"/datasets/{name}/TextClassification:search", {"query": query})


# ---- Kafka ----


def test_a_broker_that_was_killed_comes_back_to_its_port_with_its_data(tmp_path):
    with Kafka(tmp_path / "k") as kafka:
        before, topic = kafka.bootstrap, new_topic(kafka.bootstrap)
        producer = transactional(kafka.bootstrap)
        send(producer, topic, "one")
        kafka.kill()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", int(before.split(":")[1])), 1)
        kafka.up()
        send(producer, topic, "two")
        kafka.stop()
        kafka.start()
        assert kafka.bootstrap == before
        assert read_all(kafka.bootstrap, topic) == ["one", "two"]


def test_settings_reach_the_broker(tmp_path):
    with Kafka(tmp_path / "k", settings={"transaction.max.timeout.ms": 5000}) as kafka:
        with pytest.raises(Exception, match="INVALID_TRANSACTION_TIMEOUT|timeout"):
            transactional(kafka.bootstrap, **{"transaction.timeout.ms": 6000})


def test_three_nodes_do_without_any_one_of_them(tmp_path):
    with Kafka(tmp_path / "k", nodes=3) as kafka:
        topic = new_topic(kafka.bootstrap)
        producer = transactional(kafka.bootstrap)
        for node in (1, 2, 3):
            kafka.kill(node)
            send(producer, topic, f"without {node}")
            kafka.up(node)
        assert read_all(kafka.bootstrap, topic) == ["without 1", "without 2", "without 3"]
        kafka.wipe()


def test_a_paused_broker_answers_nothing_until_it_goes_on(proxied):
    kafka, _ = proxied
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "socket.timeout.ms": 1000})
    assert admin.list_topics(timeout=10).brokers
    kafka.pause()
    with pytest.raises(Exception, match="_TRANSPORT|_TIMED_OUT"):
        admin.list_topics(timeout=2)
    kafka.cont()
    eventually(lambda: AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=10).brokers)


def test_only_its_own_process_is_ended(tmp_path):
    """A pid file that outlived its process, whose pid now is somebody else's."""
    other = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "1").mkdir()
        (tmp_path / "nodes").write_text("1 2 - -\n", encoding="ascii")
        (tmp_path / "1" / "pid").write_text(f"{other.pid} 12345\n", encoding="ascii")
        Kafka(tmp_path).wipe()
        assert not tmp_path.exists()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


# ---- the proxy ----


def test_a_client_that_bootstraps_through_the_proxy_stays_behind_it(proxied):
    kafka, port = proxied
    with EndTxnProxy(kafka.proxied[0], "none", port) as proxy:
        metadata = AdminClient({"bootstrap.servers": proxy.bootstrap}).list_topics(timeout=10)
        assert [b.port for b in metadata.brokers.values()] == [port]
        send(transactional(proxy.bootstrap), new_topic(kafka.bootstrap), "x")
        counts = proxy.stop()
    assert (counts["endtxn"], counts["passed"]) == (1, 1)
    direct = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=10)
    assert [b.port for b in direct.brokers.values()] == [int(kafka.bootstrap.split(":")[1])]


@pytest.mark.parametrize("fate", ["swallow", "cut", "cutreq", "delay"])
def test_the_client_repeats_an_end_of_transaction_that_was_spoilt(proxied, fate):
    kafka, port = proxied
    topic = new_topic(kafka.bootstrap)
    with EndTxnProxy(kafka.proxied[0], fate, port, hold_s=3, skip=1, limit=1) as proxy:
        producer = transactional(proxy.bootstrap, **{"socket.timeout.ms": 2000})
        send(producer, topic, "untouched")
        began = time.monotonic()
        send(producer, topic, "spoilt")
        took = time.monotonic() - began
        counts = proxy.counts()
        assert counts["endtxn"] == 3 and counts["passed"] == 2 and counts[fate] == 1, counts
        # Only an answer that never comes is waited for.
        assert (took >= 1.5) == (fate == "swallow"), took
        if fate == "delay":
            assert counts["late"] == 0
            eventually(lambda: proxy.counts()["late"] == 1)
    assert read_all(kafka.bootstrap, topic) == ["untouched", "spoilt"]


def test_the_proxy_outlives_its_broker(proxied):
    kafka, port = proxied
    topic = new_topic(kafka.bootstrap)
    with EndTxnProxy(kafka.proxied[0], "none", port) as proxy:
        producer = transactional(proxy.bootstrap)
        kafka.kill()
        kafka.up()
        send(producer, topic, "after")
    assert read_all(kafka.bootstrap, topic) == ["after"]


# ---- Argilla ----


def test_argilla_stores_searches_and_discards(argilla):
    assert seed(argilla, "plain", 30) == {"dataset": "plain", "processed": 30, "failed": 0}
    assert search(argilla, "plain", {"query_text": "text"})["total"] == 30
    call(argilla, "DELETE", "/datasets/plain/data?mark_as_discarded=true", {"ids": [1, 2, 3]})
    # On Python 3.11 the server would store "TaskStatus.discarded".
    eventually(lambda: search(argilla, "plain", {"status": ["Discarded"]})["total"] == 3)


def test_argilla_finds_by_vectors(argilla):
    seed(argilla, "vectors", 10)
    found = search(argilla, "vectors", {"vector": {"name": "v", "value": [9, 1]}})
    assert found["total"] > 0


def test_argilla_knows_an_annotator_of_the_workspace(argilla):
    me = call(argilla, "GET", "/me", key=argilla.annotator_api_key)
    assert (me["role"], me["workspaces"]) == ("annotator", [argilla.workspace])


def test_argilla_and_its_data_come_back_after_kill(argilla):
    seed(argilla, "kept", 5)
    url = argilla.url
    argilla.kill()
    with pytest.raises(requests.ConnectionError):
        call(argilla, "GET", "/me")
    argilla.up()
    assert argilla.url == url
    assert search(argilla, "kept", {})["total"] == 5


# ---- the cache ----

CACHED = """
set -euo pipefail
. "$SERVICES/lib.sh"
build() { echo x >>"$COUNT"; echo half >"$1/part"; eval "$DURING"; echo whole >"$1/all"; }
cached thing build v1
cat "$entry/all"
"""


def cached(tmp_path, during=":"):
    env = {
        **os.environ,
        "ARGILLA_BRIDGE_CACHE": str(tmp_path / "cache"),
        "SERVICES": str(HERE),
        "COUNT": str(tmp_path / "count"),
        "DURING": during,
    }
    return subprocess.Popen(["bash", "-c", CACHED], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def builds(tmp_path):
    return (tmp_path / "count").read_text(encoding="ascii").count("x")


def test_a_cached_thing_is_built_once_however_many_ask(tmp_path):
    asking = [cached(tmp_path, "sleep 0.3") for _ in range(5)]
    assert [p.communicate(timeout=30)[0] for p in asking] == ["whole\n"] * 5
    assert builds(tmp_path) == 1


@pytest.mark.parametrize("interruption", ["kill -9 $$", "return 1"])
def test_a_half_built_thing_is_built_again(tmp_path, interruption):
    # $$ is the script, whose subshell does the building: that one ends by itself when it finds its parent gone
    first = cached(tmp_path, interruption + "; sleep 0.2; exit 1" if "kill" in interruption else interruption)
    first.communicate(timeout=30)
    assert first.returncode != 0
    (entry,) = (p for p in (tmp_path / "cache").iterdir() if p.is_dir())
    assert (entry / "part").exists() and not (entry / ".done").exists()
    assert cached(tmp_path).communicate(timeout=30)[0] == "whole\n"
    assert builds(tmp_path) == 2
    assert cached(tmp_path).communicate(timeout=30)[0] == "whole\n"
    assert builds(tmp_path) == 2
