"""The commands topic and the state topic, as another instance sees them: commands are written as it would write them."""

import json
import time
import uuid
from datetime import datetime, timezone

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from harness import eventually, name


def partition_of(listener, n_partitions):
    """FNV-1a, as the bridge puts its listeners into partitions."""
    h = 0xCBF29CE484222325
    for byte in listener.encode():
        h = (h ^ byte) * 0x100000001B3 % (1 << 64)
    return h % n_partitions


def names_in(n_partitions, *partitions):
    """A new listener's name for each of `partitions`."""
    def one(partition):
        return next(n for n in iter(lambda: name("l"), None) if partition_of(n, n_partitions) == partition)

    return [one(p) for p in partitions]


def rfc3339(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Commands:
    def __init__(self, bootstrap, group, n_partitions):
        self.bootstrap, self.n_partitions = bootstrap, n_partitions
        self.topic, self.state_topic = f"{group}.commands", f"{group}.state"
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def create(self):
        """Before any instance has."""
        for future in self.admin.create_topics([NewTopic(self.topic, self.n_partitions, 1)]).values():
            future.result(30)
        eventually(lambda: self.topic in self.admin.list_topics(timeout=10).topics, what="the commands topic")
        return self

    def send_raw(self, value, partition, key=None):
        """Returns the offset."""
        told = []
        self.producer.produce(self.topic, value, key, partition, on_delivery=lambda e, m: told.append((e, m.offset())))
        self.producer.flush(30)
        assert told and told[0][0] is None, told
        return told[0][1]

    def send(self, kind, listener, force=False, expires_in_s=60, **more):
        """Returns the command's id, and keeps where it stands in `last`: (partition, offset)."""
        message = {"kind": kind, "listener": listener, "force": force, "id": uuid.uuid4().hex, "source": "elsewhere", **more}
        if kind == "trigger":
            message["expires_at"] = rfc3339(time.time() + expires_in_s)
        partition = partition_of(listener, self.n_partitions)
        self.last = partition, self.send_raw(json.dumps(message), partition, listener)
        return message["id"]

    def state(self):
        """What the state topic says: of each partition key → value, the offset of commands as `commands`."""
        consumer = Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": name("state"), "isolation.level": "read_committed",
            "enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 10,  # an end comes only with an empty answer: between two writes
        })
        try:
            state, left = {p: {} for p in range(self.n_partitions)}, set(range(self.n_partitions))
            consumer.assign([TopicPartition(self.state_topic, p, 0) for p in range(self.n_partitions)])
            while left:
                m = consumer.poll(10)
                assert m is not None, "the state topic doesn't end"
                if m.error():
                    assert m.error().code() == KafkaError._PARTITION_EOF, m.error()
                    left.discard(m.partition())
                elif m.value() is None:
                    state[m.partition()].pop(m.key().decode(), None)
                else:
                    state[m.partition()][m.key().decode()] = json.loads(m.value())
            return state
        finally:
            consumer.close()

    def state_of(self, listener, kind):
        return self.state()[partition_of(listener, self.n_partitions)].get(f"{kind}/{listener}")

    def next_offset(self, partition):
        return self.state()[partition].get("commands", {}).get("next_offset", 0)

    def await_taken(self, timeout_s=30):
        """Until the state is behind the last command that was sent."""
        partition, offset = self.last
        eventually(lambda: self.next_offset(partition) > offset, timeout_s, f"command {offset} of partition {partition} is taken")
