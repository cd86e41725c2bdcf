"""Instances of eos_driver, their topics, and what the topics say in the end."""

import collections
import re
import subprocess
import threading
import time
import uuid

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from harness import eventually

DATA_PARTITIONS = 3

SHUT_OUT = 4  # the driver's EXIT_SHUT_OUT


class Instance:
    """A process; `lines` is what it has said so far, each without its time."""

    def __init__(self, command, log):
        self.lines = []
        self.log = log
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with open(self.log, "w", encoding="utf-8") as log:
            for line in self.process.stdout:
                log.write(line)
                self.lines.append(line.rstrip("\n").split(" ", 1)[-1])

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def committed(self):
        """The number of chunks so far."""
        start = len(self.lines)
        self.tell("count")
        return int(self.await_line(r"^did count committed=(\d+)", start=start)[1])

    def goes_on(self, n=20, seconds=60):
        """Waits until n more chunks are committed."""
        before = self.committed()
        eventually(lambda: self.committed() >= before + n, seconds, f"{n} more chunks of {self.log}")

    def found(self, pattern, start=0):
        """The matches of all lines from number `start` on."""
        return [m for line in self.lines[start:] if (m := re.search(pattern, line))]

    def await_line(self, pattern, seconds=30, start=0):
        def look():
            found = self.found(pattern, start)
            assert found or self.process.poll() is None, f"ended ({self.process.returncode}) without {pattern}; see {self.log}"
            return found

        return eventually(look, seconds, f"{pattern} in {self.log}")[0]

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=60):
        """In an orderly way; returns the numbers of its last line."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.ended(seconds)

    def was_shut_out(self):
        """Has it ended because the coordinator took its instance_id for another's (FENCED_INSTANCE_ID, fatal)?"""
        return self.process.poll() == SHUT_OUT and bool(self.found(r"^member class=fatal .*fenced"))

    def ended(self, seconds=60, status=0):
        code = self.process.wait(seconds)
        assert code == status, f"ended with {code}:\n" + "".join(self.log.read_text().splitlines(True)[-30:])
        self._reader.join(10)
        end = [m for m in self.found(r"^end (.*)")]
        return {k: int(v) for k, v in (pair.split("=") for pair in end[-1][1].split())} if end else {}


class Arena:
    """One test's group and topics on a broker, and all instances that were started for it."""

    def __init__(self, bootstrap, driver, folder, partitions=4, listeners=4):
        self.bootstrap, self.driver, self.folder = bootstrap, driver, folder
        self.partitions, self.listeners = partitions, listeners
        self.instances = []
        word = uuid.uuid4().hex[:8]
        self.group, self.state_topic, self.data_topic = f"g-{word}", f"state-{word}", f"data-{word}"
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        self.make_topic(self.data_topic, DATA_PARTITIONS)

    def make_topic(self, name, partitions, **config):
        settings = {key.replace("_", "."): str(value) for key, value in config.items()}
        self._admin.create_topics([NewTopic(name, partitions, config=settings)])[name].result(30)
        eventually(lambda: len(self._admin.list_topics(name, 10).topics[name].partitions) == partitions, what=f"topic {name}")

    def start(self, name=None, **options):
        name = name or f"i{len(self.instances)}"
        settings = {
            "bootstrap": self.bootstrap,
            "group": self.group,
            "state_topic": self.state_topic,
            "data_topic": self.data_topic,
            "partitions": self.partitions,
            "listeners": self.listeners,
            "name": name,
            **options,
        }
        command = [str(self.driver)] + [f"{key.replace('__', '.')}={value}" for key, value in settings.items()]
        instance = Instance(command, self.folder / f"{len(self.instances):03d}.{name}.log")
        self.instances.append(instance)
        return instance

    def close(self):
        for instance in self.instances:
            if instance.process.poll() is None:
                instance.kill()

    def state_record(self, partition, key, value):
        """Writes into the state as somebody who doesn't keep to the rules."""
        producer = Producer({"bootstrap.servers": self.bootstrap})
        producer.produce(self.state_topic, value, key, partition)
        assert producer.flush(30) == 0

    def open_transaction(self, partition, key, value):
        """The same in a transaction that stays open; the caller ends the producer's transaction."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": self.group + "-stranger"})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(self.state_topic, value, key, partition)
        assert producer.flush(30) == 0
        return producer

    def outcome(self):
        return Outcome(self)


def read_committed(bootstrap, topic, seconds=60):
    """All committed messages of a topic. No transaction may be open in the end: it could hide some."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
    )
    uncommitted = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "isolation.level": "read_uncommitted"})
    parts = consumer.list_topics(topic, 30).topics[topic].partitions
    places = [TopicPartition(topic, p, 0) for p in parts]

    def is_whole(place):
        return consumer.get_watermark_offsets(place, 10) == uncommitted.get_watermark_offsets(place, 10)

    for place in places:
        eventually(lambda place=place: is_whole(place), what=f"no open transaction in {place}")
    consumer.assign(places)
    messages, n_ended, end = [], 0, time.monotonic() + seconds
    while n_ended < len(places):
        assert time.monotonic() < end, f"{topic}: no end"
        for message in consumer.consume(1000, 0.05):
            if message.error() is None:
                messages.append(message)
            elif message.error().code() == KafkaError._PARTITION_EOF:
                n_ended += 1
            else:
                assert message.error().retriable(), message.error()
    consumer.close()
    uncommitted.close()
    return messages


class Outcome:
    """What is published and what the state says, listener by listener."""

    def __init__(self, arena):
        self.seqs = collections.defaultdict(list)
        self.by_instance = collections.defaultdict(set)  # (listener, instance's name) -> numbers
        self.unordered = 0
        self._last = {}
        for message in read_committed(arena.bootstrap, arena.data_topic):
            self._take(message)
        self.state, self.n_state_records = {}, 0
        self.headers = collections.defaultdict(list)  # by partition
        for message in read_committed(arena.bootstrap, arena.state_topic):
            self.n_state_records += 1
            if message.key() == b"header":
                self.headers[message.partition()].append(message.value().decode())
            else:
                self._take_state(message)

    def _take(self, message):
        listener, seq, name = message.value().decode("ascii").split()[:3]
        seq, place = int(seq), (listener, message.topic(), message.partition())
        self.seqs[listener].append(seq)
        self.by_instance[listener, name].add(seq)
        self.unordered += seq <= self._last.get(place, 0)
        self._last[place] = seq
        assert dict(message.headers()) == {"instance": name.encode()}
        assert message.key() in (None, listener.encode())

    def _take_state(self, message):
        listener, seq = message.key().decode("ascii").removeprefix("listener/"), int(message.value().split()[0])
        self.unordered += seq < self.state.get(listener, 0)
        self.state[listener] = seq

    def published(self, listener, name):
        """The numbers that an instance has published for a listener."""
        return self.by_instance.get((listener, name), set())

    def last_of(self, name, listener):
        return max(self.published(listener, name), default=0)

    @property
    def n_messages(self):
        return sum(map(len, self.seqs.values()))

    def faults(self):
        """What exactly once forbids, by kind; empty when all is well."""
        found = collections.Counter()
        for listener, seqs in self.seqs.items():
            distinct = set(seqs)
            found["duplicates"] += len(seqs) - len(distinct)
            found["gaps"] += max(seqs) - len(distinct)
            found["state differs"] += self.state.get(listener) != max(seqs)
        found["state without data"] = len(self.state.keys() - self.seqs.keys())
        found["out of order"] = self.unordered
        return {kind: n for kind, n in found.items() if n}
