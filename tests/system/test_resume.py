"""Does what goes on after a cut go on with what it began with, and does what can't go on come to an end?"""

import signal
import subprocess

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from faulty_argilla import FaultyArgilla, Slow
from harness import BINARY, WRAPPER, Bridge, Reader, config, eventually, name, text_records


@pytest.fixture
def server():
    with FaultyArgilla() as server:
        yield server


def listener(topic, start, more=""):
    return f'''name = "l"; dataset = "d"; topic = "{topic}"; page_size = 10; execution_interval_in_seconds = 0.3;
        query = "metadata.batch_id:{{batch_id}}"; query_params: {{ batch_id = {start}; }}; condition = "search.total > 0";
        update_query_params = "ctx.query_params[\\"batch_id\\"] += 1"; {more}'''


def test_params_of_a_changed_file_count_once_also_when_their_first_run_is_cut(kafka, server, tmp_path):
    topic, group = name("resume"), name("group")
    server.add("d", text_records(300, batch=100))
    with Bridge(tmp_path / "a", config(kafka, server.url, [listener(topic, 0)], group=group, bridge="state_partitions = 1;")) as bridge:
        bridge.await_event("run", n=1)
        assert bridge.stop() == 0
    text = config(kafka, server.url, [listener(topic, 2)], group=group, bridge="state_partitions = 1;")
    server.fault("d", "scan", Slow(0.3), times=None)
    with Reader(kafka, topic, topic + ".runs") as reader:
        bridge = Bridge(tmp_path / "b", text).start()
        reader.until(lambda r: any(m.value["query_params"]["batch_id"] == 2 for m in r.of("batch")))
        bridge.kill()
        with Bridge(tmp_path / "c", text) as bridge:
            reader.until(lambda r: any(m.value["query_params"]["batch_id"] == 2 for m in r.of("run")))
            bridge.await_event("poll", fired="false")
            assert bridge.stop() == 0
        reader.to_end()
    params = [m.value["query_params"]["batch_id"] for m in reader.of("run")]
    assert params.count(2) == 1 and params == sorted(params)
    ids = [r["id"] for m in reader.of("batch") if m.value["query_params"]["batch_id"] == 2 for r in m.value["records"]]
    assert sorted(ids) == list(range(200, 300))


def test_a_run_that_could_not_be_closed_does_not_begin(kafka, server, tmp_path):
    topic = name("small")
    admin = AdminClient({"bootstrap.servers": kafka})
    small = NewTopic(topic + ".runs", 1, 1, config={"max.message.bytes": "1500"})
    for done in admin.create_topics([small]).values():
        done.result()
    server.add("d", text_records(30, batch=30), metrics={"F1": {"long": "x" * 2000}})
    with Bridge(tmp_path, config(kafka, server.url, [listener(topic, 0, 'metrics = [ "F1" ];')])) as bridge, Reader(kafka, topic) as reader:
        failure = bridge.await_event("listener failing")[0]
        assert "the run message would have" in failure["error"] and failure["class"] == "bad_input"
        reader.to_end()
    assert reader.messages == []


def test_once_gives_way_to_a_service(kafka, server, tmp_path):
    topic, group = name("way"), name("group")
    server.add("d", text_records(500, batch=500))
    server.fault("d", "scan", Slow(0.5), times=None)
    text = config(kafka, server.url, [listener(topic, 0)], group=group, bridge="state_partitions = 2;")
    once = Bridge(tmp_path / "once", text)
    process = subprocess.Popen([*WRAPPER, str(BINARY), "once", "l", "-c", str(once.path)], env=once.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with Reader(kafka, topic) as reader:
        reader.until(lambda r: r.of("batch"))
        with Bridge(tmp_path / "service", text) as service:
            out, err = process.communicate(timeout=60)
            assert process.returncode == 1 and "a service has started meanwhile" in err, out + err
            service.await_event("run", n=1)
        reader.to_end()
    ids = [r["id"] for m in reader.of("batch") for r in m.value["records"]]
    assert sorted(ids) == list(range(500))


def test_a_strange_signal_changes_nothing(kafka, server, tmp_path):
    server.add("d", text_records(10))
    with Bridge(tmp_path, config(kafka, server.url, [listener(name("signal"), 0)])) as bridge:
        bridge.await_event("run", n=1)
        bridge.signal(signal.SIGUSR2)
        eventually(lambda: len(bridge.seen("poll")) > 3, 20)
        assert bridge.stop(10) == 0
