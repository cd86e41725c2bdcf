"""When a topic won't take its messages: is that its listener's trouble alone? And does state outlive segments that are rolled
and cleaned?"""

import itertools
import time

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from faulty_argilla import FaultyArgilla
from harness import Bridge, Reader, config, eventually, name, text_records

N_WELL = 20
MOST_GAP_S = 3


@pytest.fixture(scope="module")
def admin(kafka):
    return AdminClient({"bootstrap.servers": kafka})


@pytest.fixture
def server():
    with FaultyArgilla() as server:
        yield server


def create(admin, topic, **settings):
    settings = {k.replace("_", "."): str(v) for k, v in settings.items()}
    for future in admin.create_topics([NewTopic(topic, num_partitions=1, config=settings)]).values():
        future.result(30)
    eventually(lambda: topic in admin.list_topics(timeout=10).topics, 30, f"topic {topic}")
    return topic


def delete(admin, topic):
    for future in admin.delete_topics([topic]).values():
        future.result(30)
    eventually(lambda: topic not in admin.list_topics(timeout=10).topics, 30, f"the end of topic {topic}")


def change(admin, topic, setting, value):
    entry = ConfigEntry(setting, str(value), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)


def listener(listener_name, dataset, topic, more=""):
    return f'''name = "{listener_name}"; dataset = "{dataset}"; topic = "{topic}";
        execution_interval_in_seconds = 0.5; {more}'''


def runs(bridge, listener_name):
    return bridge.seen("run", listener=listener_name)


def failures(bridge, listener_name):
    return bridge.seen("listener failing", listener=listener_name) + bridge.seen("listener paused", listener=listener_name)


class Well:
    """The good listeners beside a bad one, on one topic, and when each of their runs was told."""

    def __init__(self, server):
        self.topic = name("well")
        self.names = [f"well-{i}" for i in range(N_WELL)]
        server.add("well", text_records(10))
        self.listeners = [listener(n, "well", self.topic) for n in self.names]
        self.times = {n: [] for n in self.names}

    def watch(self, bridge, until, timeout_s=30, what="the condition"):
        """Notes runs as they come, until `until()` holds."""

        def look():
            for n in self.names:
                new = len(runs(bridge, n)) - len(self.times[n])
                self.times[n] += [time.monotonic()] * new
            return until()

        return eventually(look, timeout_s, what, every_s=0.02)

    def watch_for(self, bridge, seconds):
        end = time.monotonic() + seconds
        self.watch(bridge, lambda: time.monotonic() > end, seconds + 10)

    def assert_kept_pace(self, bridge):
        for n in self.names:
            times = [*self.times[n], time.monotonic()]
            assert len(times) > 2, f"{n} never ran"
            most = max(b - a for a, b in itertools.pairwise(times))
            assert most <= MOST_GAP_S, f"{n}: {most:.1f} s without a run\n{bridge.tail(80)}"
            assert failures(bridge, n) == []


def test_a_topic_that_refuses_its_messages_is_its_listeners_trouble(kafka, admin, server, tmp_path):
    topic, well = create(admin, name("refuses")), Well(server)
    server.add("refused", text_records(10))
    # all in one state partition: one transaction carries the bad beside the good
    text = config(kafka, server.url, [*well.listeners, listener("refused", "refused", topic)], bridge="state_partitions = 1;")
    with Bridge(tmp_path, text) as bridge:
        well.watch(bridge, lambda: len(runs(bridge, "refused")) >= 2 and all(runs(bridge, n) for n in well.names), what="first runs")
        change(admin, topic, "max.message.bytes", 200)
        well.watch(bridge, lambda: failures(bridge, "refused"), what="the refusal")
        well.watch_for(bridge, 8)
        assert len(failures(bridge, "refused")) <= 2  # refused by the broker; then known to be too small
        n = len(runs(bridge, "refused"))
        change(admin, topic, "max.message.bytes", 1000000)
        well.watch(bridge, lambda: len(runs(bridge, "refused")) > n, 60, "runs after the topic was mended")
        well.assert_kept_pace(bridge)
        assert bridge.stop() == 0
    first = failures(bridge, "refused")[0]
    assert first["class"] == "bad_input" and topic in first["error"] and "MSG_SIZE_TOO_LARGE" in first["error"]
    assert bridge.seen("listener well again", listener="refused")


def test_a_compacted_topic_takes_no_batches_without_key(kafka, admin, server, tmp_path):
    topic, well = create(admin, name("compacted"), cleanup_policy="compact"), Well(server)
    server.add("keyless", text_records(10))
    text = config(kafka, server.url, [*well.listeners, listener("keyless", "keyless", topic, 'batch_key = "none";')])
    with Bridge(tmp_path, text) as bridge:
        well.watch(bridge, lambda: failures(bridge, "keyless") and all(runs(bridge, n) for n in well.names))
        well.watch_for(bridge, 4)
        well.assert_kept_pace(bridge)
        assert bridge.stop() == 0
    (event,) = failures(bridge, "keyless")
    assert event["class"] == "config" and topic in event["error"] and "compacted" in event["error"]
    assert runs(bridge, "keyless") == []


def test_a_deleted_topic_is_made_anew(kafka, admin, server, tmp_path):
    topic, well = name("deleted"), Well(server)
    server.add("deleted", text_records(10))
    text = config(kafka, server.url, [*well.listeners, listener("deleted", "deleted", topic)], bridge="state_partitions = 1;")
    with Bridge(tmp_path, text) as bridge:
        well.watch(bridge, lambda: len(runs(bridge, "deleted")) >= 2 and all(runs(bridge, n) for n in well.names), what="first runs")
        delete(admin, topic)
        n = len(runs(bridge, "deleted"))
        well.watch(bridge, lambda: len(runs(bridge, "deleted")) >= n + 3, 60, "runs on the topic made anew")
        well.watch_for(bridge, 2)
        well.assert_kept_pace(bridge)
        assert bridge.stop() == 0
    with Reader(kafka, topic, topic + ".runs") as reader:
        reader.to_end()
    told = [e["run"] for e in runs(bridge, "deleted")]
    assert told == list(range(1, len(told) + 1))
    assert [m.value["run"] for m in reader.of("run")] == told
    assert {m.value["run"] for m in reader.of("batch")} >= set(told[-2:])


def test_a_deleted_topic_that_may_not_be_made_is_told(kafka, admin, server, tmp_path):
    """Its runs come back once it is there again."""
    well = Well(server)
    topics = [name("kept"), well.topic]
    for topic in topics:
        create(admin, topic)
        create(admin, topic + ".runs")
    server.add("kept", text_records(10))
    text = config(kafka, server.url, [*well.listeners, listener("kept", "kept", topics[0])], bridge="create_topics = false;")
    state = name("state")
    create(admin, state, cleanup_policy="compact")
    text = text.replace("create_topics = false;", f'create_topics = false; state_topic = "{state}"; state_partitions = 1;')
    with Bridge(tmp_path, text) as bridge:
        well.watch(bridge, lambda: len(runs(bridge, "kept")) >= 2 and all(runs(bridge, n) for n in well.names), what="first runs")
        delete(admin, topics[0])
        missing = "does not exist (and bridge.create_topics is false)"
        well.watch(bridge, lambda: any(missing in e["error"] for e in failures(bridge, "kept")), 60, "the missing topic in the log")
        well.watch_for(bridge, 4)
        create(admin, topics[0])
        n = len(runs(bridge, "kept"))
        well.watch(bridge, lambda: len(runs(bridge, "kept")) > n, 60, "runs after the topic was made")
        well.assert_kept_pace(bridge)
        assert bridge.stop() == 0
    nameless = [e["error"] for e in failures(bridge, "kept") if topics[0] not in e["error"]]
    assert nameless == []


def test_messages_suit_the_topics_limit(kafka, admin, server, tmp_path):
    """20,000 bytes is less than a page of records: batches and librdkafka's own batches are cut to it."""
    batches, records = create(admin, name("small"), max_message_bytes=20000), create(admin, name("small"), max_message_bytes=20000)
    server.add("many", text_records(3000))
    once = 'condition = "previous == null"; page_size = 1000;'
    text = config(
        kafka, server.url,
        [listener("batches", "many", batches, once), listener("records", "many", records, once + 'publish = "records";')],
        bridge="state_partitions = 1;", kafka_extra='producer: { compression_type = "none"; };',
    )
    with Bridge(tmp_path, text) as bridge, Reader(kafka, batches, records, batches + ".runs", records + ".runs") as reader:
        reader.until(lambda r: len(r.of("run")) == 2)
        assert bridge.stop() == 0
        reader.to_end()
    assert sorted(r["id"] for m in reader.of("batch") for r in m.value["records"]) == list(range(3000))
    assert sorted(m.value["id"] for m in reader.of("record")) == list(range(3000))
    assert failures(bridge, "batches") == failures(bridge, "records") == []


def left_of(kafka, topic):
    """How many messages the topic's partition 0 holds, and its end. It may grow meanwhile."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": name("left"), "enable.partition.eof": True})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        consumer.assign([TopicPartition(topic, 0, 0)])
        n = 0
        while True:
            m = consumer.poll(10)
            assert m is not None
            if m.error() or m.offset() >= end:
                return n, end
            n += 1
    finally:
        consumer.close()


def test_state_outlives_segments_that_are_rolled_and_cleaned(kafka, admin, server, tmp_path):
    state, topic = name("state"), name("topic")
    create(
        admin, state, cleanup_policy="compact", segment_bytes=1048576, segment_ms=2000, min_cleanable_dirty_ratio=0.05,
        delete_retention_ms=100,
    )
    server.add("counted", text_records(10))
    listeners = [
        f'''name = "count-{i}"; dataset = "counted"; topic = "{topic}"; execution_interval_in_seconds = 0.1;
            query_params: {{ n = {i * 1000}; }}; update_query_params = "ctx.query_params[\\"n\\"] += 1"'''
        for i in range(5)
    ]
    # never met: its state is only read
    text = config(kafka, server.url, listeners, bridge=f'state_topic = "{state}"; state_partitions = 1;')
    with Bridge(tmp_path, text) as bridge:
        cleaned = eventually(lambda: (c := left_of(kafka, state)) and c[1] > 100 and c[0] < c[1] / 3 and c, 60, "cleaning", every_s=1)
        assert bridge.stop() == 0
        before = {f"count-{i}": len(runs(bridge, f"count-{i}")) for i in range(5)}
    assert sum(before.values()) > cleaned[0]  # so most states are gone
    with Bridge(tmp_path, text) as bridge:
        for listener_name in before:
            bridge.await_event("run", n=2, listener=listener_name)
        assert bridge.stop() == 0
    with Reader(kafka, topic + ".runs") as reader:
        reader.to_end()
    for i in range(5):
        mine = [m.value for m in reader.of("run", ce_argillalistener=f"count-{i}")]
        assert len(mine) >= before[f"count-{i}"] + 2
        assert [m["run"] for m in mine] == list(range(1, len(mine) + 1))
        assert [m["query_params"]["n"] for m in mine] == list(range(i * 1000, i * 1000 + len(mine)))
