"""How long does a partition with very many tracked records take to come back, and what do they take in memory? `--long`: a million."""

from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from harness import Bridge, config, name

N_LEAST = 100_000


def rss_bytes(bridge):
    status = Path(f"/proc/{bridge.process.pid}/status").read_text()
    return {k: int(status.split(k + ":")[1].split()[0]) * 1024 for k in ("VmRSS", "VmHWM")}


def write_state(kafka, topic, listener, n):
    """As a listener that has published n records leaves it."""
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 1, config={"cleanup.policy": "compact"})])[topic].result(30)
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 50, "compression.type": "lz4", "queue.buffering.max.messages": 1_000_000})
    for i in range(n):
        producer.produce(topic, key=f"digest/{listener}/1/record-{i:08}".encode(), value=f"{i * 7919:016x}".encode(), partition=0)
        if i % 10000 == 0:
            producer.poll(0)
    producer.flush(120)


def opened(dir, kafka, n):
    listener, group = name("many"), name("group")
    write_state(kafka, f"{group}.state", listener, n)
    # Argilla is away: the listener has a state, and nothing to do
    text = f'name = "{listener}"; dataset = "d"; deliver = "changes"; topic = "{listener}"'
    bridge = Bridge(dir, config(kafka, "http://127.0.0.1:9", [text], group=group, bridge="state_partitions = 1;"))
    with bridge:
        event = bridge.await_event("partition open", timeout_s=120)[0]
        told = bridge.command("explain", listener).stdout if n else ""
        memory = rss_bytes(bridge)
        assert bridge.stop() == 0
    assert not n or f"tracked       {n} records" in told, told
    return event["took_ms"] / 1000, memory


def test_digests_are_restored_in_time_and_take_few_bytes(kafka, tmp_path, long):
    n = 1_000_000 if long else N_LEAST
    _, none = opened(tmp_path / "none", kafka, 0)
    seconds, many = opened(tmp_path / "many", kafka, n)
    bytes_each = (many["VmRSS"] - none["VmRSS"]) / n
    print(f"{n} digests: {seconds:.2f} s, {bytes_each:.1f} bytes each at rest, {(many['VmHWM'] - none['VmHWM']) / n:.1f} at most while reading")
    assert seconds < 10
    # the table's own bytes are bounded exactly in test_core_digest_map.c; here is, too, what malloc keeps of the reader's messages
    assert bytes_each * n < 48 * n + 40 * 2**20
