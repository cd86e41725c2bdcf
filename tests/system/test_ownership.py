"""Who may publish for a listener, and does everything come exactly once?

Instances are eos/eos_driver: the bridge's own partitions, producers and membership, with listeners that publish numbered
messages. Real Kafka throughout: what brokers do when two claim a transaction is what is tested.
"""

import random
import signal
import time
from subprocess import TimeoutExpired

import pytest

from eos.chaos import Chaos
from eos.instances import Arena
from harness import BINARY, eventually
from servers import EndTxnProxy, Kafka, free_port

DRIVER = BINARY.resolve().parents[1] / "tests/system/eos/eos_driver"

# Transactions that take long, from one delivery to the next: what comes late to end them finds them half done.
SLOW_TRANSACTIONS = {
    "assume": 1,
    "min_messages": 12,
    "max_messages": 12,
    "producer__queue__buffering__max__messages": 4,
    "producer__linger__ms": 60,
}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """A broker that may be killed, and that says to be at a proxy's port to those who come through it."""
    port = free_port()
    with Kafka(tmp_path_factory.mktemp("ownership-kafka"), proxy_ports=[port]) as server:
        server.proxy_port = port
        yield server


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory):
    with Kafka(tmp_path_factory.mktemp("three-nodes"), nodes=3) as server:
        yield server


@pytest.fixture
def arena(tmp_path):
    """arena(bootstrap): a new group with its topics."""
    made = []

    def make(bootstrap, **options):
        made.append(Arena(bootstrap, DRIVER, tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def many(long):
    """many(n): n, or ten times as many in a long run."""
    return lambda n: n * 10 if long else n


@pytest.fixture
def seed():
    """Of the test's random events; shown when it fails."""
    value = random.randrange(1 << 32)
    print("seed", value)
    return value


def states(instance):
    """What each listener found when it took up its state for the first time."""
    found = {}
    for match in instance.found(r"^state listener=(\S+) seq=(\d+)"):
        found.setdefault(match[1], int(match[2]))
    return found


def stale(instance):
    """(listener, first, n) of each chunk that was given back."""
    return [(m[1], int(m[2]), int(m[3])) for m in instance.found(r"^stale listener=(\S+) first=(\d+) n=(\d+)")]


# ---- one takes over from another ----


def test_a_stopped_owner_publishes_nothing_more_once_another_has_taken_over(kafka, arena):
    """Stopped between delivery and EndTxn for longer than its session: does anything of that transaction become visible?"""
    a = arena(kafka, partitions=1, listeners=2)
    # The group gives the one partition to the member whose name comes first, so the other doesn't get it back.
    first = a.start("first", workers=2, instance_id="b")
    first.goes_on()
    first.tell("hold before_commit")
    first.await_line("^held before_commit")
    first.signal(signal.SIGSTOP)
    second = a.start("second", workers=2, instance_id="a")
    second.goes_on(50)
    first.signal(signal.SIGCONT)
    first.await_line("^revoked")
    first.tell("go")
    first.await_line("^stale")
    first.await_line("^closed partition=0")
    second.goes_on()
    first.stop()
    end = second.stop()
    assert end["opens"] == 1, "it was the owner all the time"
    outcome = a.outcome()
    assert outcome.faults() == {}
    for listener, found in states(second).items():
        assert outcome.last_of("first", listener) == found, "the second went on from the first's last visible message"
    for listener, seq, n in stale(first):
        assert not outcome.published(listener, "first") & set(range(seq, seq + n))


def test_a_killed_owner_s_open_transaction_ends_when_the_next_one_comes(kafka, arena):
    """kill -9 between delivery and EndTxn: is the transaction gone at once, without waiting for its time-out of 15 s?"""
    a = arena(kafka, partitions=1, listeners=2)
    first = a.start("first", workers=2)
    first.goes_on()
    first.tell("hold before_commit")
    first.await_line("^held before_commit")
    first.kill()
    start = time.monotonic()
    second = a.start("second", workers=2)
    second.await_line("^open partition=0")
    assert time.monotonic() - start < 3 + 3, "a session and a bit"
    second.goes_on()
    second.stop()
    outcome = a.outcome()
    assert outcome.faults() == {}
    for listener, found in states(second).items():
        assert outcome.last_of("first", listener) == found


def test_the_fence_comes_before_the_state_is_read(kafka, arena):
    """Can the predecessor still commit something that the successor has not read?"""
    a = arena(kafka, partitions=1, listeners=1)
    first = a.start("first", assume=1, workers=1)
    first.goes_on(5)
    first.tell("hold before_commit")
    first.await_line("^held before_commit")
    second = a.start("second", assume=1, workers=1, hold="fenced")
    second.await_line("^held fenced")
    first.tell("disown")
    first.tell("go")
    first.await_line("^stale")
    assert first.stop()["fenced"] == 1
    # Between the fence and the reading only somebody who breaks the rules can write; the state has to have it.
    a.state_record(0, "listener/l0.0", "1000000")
    second.tell("go")
    assert second.await_line(r"^state listener=l0.0 seq=(\d+)")[1] == "1000000"


def test_the_successor_sees_what_the_predecessor_committed_before_the_fence(kafka, arena):
    """Is the last commit before the fence part of the state that the successor reads?"""
    a = arena(kafka, partitions=1, listeners=1)
    last = 0
    for i in range(5):
        instance = a.start(f"i{i}", assume=1, workers=1, chunks=3)
        instance.ended()
        assert states(instance) == {"l0.0": last}
        last = a.outcome().state["l0.0"]
    assert a.outcome().faults() == {}


def test_what_an_open_transaction_hides_is_not_taken_for_nothing(kafka, arena):
    """The fence leaves no transaction open, unless the broker forgets one: is a state that can't be seen to its end taken?"""
    a = arena(kafka, partitions=1, listeners=1)
    a.start(assume=1, chunks=3).ended()
    stranger = a.open_transaction(0, "listener/l0.0", "1000000")
    instance = a.start(assume=1)
    instance.await_line("^open-failed partition=0 class=retry error=.*hidden by a transaction that nobody ends")
    assert not instance.found("^state")
    stranger.commit_transaction(30)
    assert instance.await_line(r"^state listener=l0.0 seq=(\d+)")[1] == "1000000"


def test_an_instance_that_lost_a_partition_never_shuts_out_the_new_owner(kafka, arena):
    """Does the loser call init_transactions for what the group has not assigned to it?"""
    a = arena(kafka, partitions=1, listeners=2)
    loser = a.start("loser", assume=1)
    loser.goes_on()
    loser.tell("hold before_commit")
    loser.await_line("^held before_commit")
    owner = a.start("owner", assume=1)
    owner.goes_on()
    loser.tell("disown")
    loser.tell("go")
    loser.await_line("^closed partition=0")
    owner.goes_on(100)
    assert owner.stop()["opens"] == 1, "nobody shut it out"
    assert loser.stop()["committed"] > 0
    assert a.outcome().faults() == {}


# ---- the end of a transaction gets lost ----


def proxied_run(arena, server, fate, seconds, size=8, **options):
    """An instance behind the proxy for some time, with `size` partitions, so with as many producers in trouble at once. Returns the
    outcome, the instance's end and the proxy's counts."""
    proxy_options = {key: options.pop(key) for key in ("probability", "hold_s") if key in options}
    with EndTxnProxy(server.proxied[0], fate, server.proxy_port, **proxy_options) as proxy:
        a = arena(server.bootstrap, partitions=size, listeners=size)
        direct, a.bootstrap = a.bootstrap, proxy.bootstrap
        instance = a.start(**options)
        instance.await_line("^open")
        with pytest.raises(TimeoutExpired):
            instance.process.wait(seconds)
        end = instance.stop()
        a.bootstrap = direct
        return a.outcome(), end, proxy.counts()


def test_an_endtxn_that_arrives_late_harms_nobody(broker, arena, many):
    """EndTxn delayed until the client has reconnected and repeated it: is a later transaction ended by it?"""
    outcome, end, counts = proxied_run(arena, broker, "delay", many(40), probability=0.04, workers=24)
    print(counts, end)
    assert counts["late"] > 200 and end["replaced"] > 200
    assert outcome.faults() == {}


@pytest.mark.parametrize("keep_handle", [0, 1])
def test_the_rule_about_lost_sockets_is_what_prevents_it(broker, arena, keep_handle):
    """The same with transactions that take long, with the rule and without: is the rule needed, and enough?"""
    outcome, end, counts = proxied_run(
        arena, broker, "delay", 15, size=4, probability=0.3, hold_s=3, keep_handle=keep_handle, **SLOW_TRANSACTIONS
    )
    assert counts["late"] > 20
    assert (end["replaced"] > 0) != keep_handle
    assert ("duplicates" in outcome.faults()) == keep_handle, outcome.faults()


def test_answers_and_requests_lost_at_the_end_of_transactions_harm_nobody(broker, arena, many):
    """Swallowed, cut before and after, delayed: did a commit without an answer happen or not?"""
    outcome, end, counts = proxied_run(arena, broker, "mix", many(40), size=16, probability=0.15, workers=48)
    print(counts, end)
    fates = [counts[fate] for fate in ("swallow", "cut", "cutreq", "delay")]
    assert min(fates) > 30 and sum(fates) > 200
    assert end["committed"] > 200
    assert outcome.faults() == {}


# ---- instances come and go ----


@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_instances_killed_stopped_leaving_and_joining_lose_and_double_nothing(kafka, arena, many, seed, static):
    """Three under load, one of them always in trouble: is every number there once, and the state what the data says?"""
    a = arena(kafka, partitions=6)
    chaos = Chaos(a, seed, static=static, pause_ms=3)
    chaos.run(many(22))
    print(dict(chaos.events))
    outcome = a.outcome()
    assert outcome.n_messages > 1000
    assert outcome.faults() == {}


# ---- the broker goes away ----


def test_a_broker_that_hangs_loses_and_doubles_nothing(broker, arena, many):
    """Stopped for longer than socket.timeout.ms: what became of the commits in flight?"""
    a = arena(broker.bootstrap)
    instance = a.start(workers=6, pause_ms=2)
    for _ in range(many(4)):
        instance.goes_on(50)
        broker.pause()
        try:
            with pytest.raises(TimeoutExpired):
                instance.process.wait(5)
        finally:
            broker.cont()
    instance.goes_on(50)
    instance.stop()
    assert a.outcome().faults() == {}


def test_brokers_that_are_killed_lose_and_double_nothing(three_nodes, arena, many):
    """kill -9 of one after the other in the middle of commits: does the instance go on by itself, and from where?

    Three, since a single one that is killed may forget to end a committed transaction: Kafka's coordinator takes a partition
    without a leader for a deleted one. What the bridge does then is another test's matter.
    """
    a = arena(three_nodes.bootstrap)
    instance = a.start(workers=6, pause_ms=2)
    for i in range(many(3)):
        instance.goes_on(50)
        three_nodes.kill(1 + i % 3)
        three_nodes.up(1 + i % 3)
    instance.goes_on(50)
    instance.stop()
    assert a.outcome().faults() == {}


def test_an_instance_stops_although_the_broker_is_away(broker, arena):
    """Commits in flight, the broker gone: does a stop end?"""
    a = arena(broker.bootstrap)
    instance = a.start(workers=6, stop_grace_ms=1000)
    instance.goes_on()
    broker.pause()
    try:
        instance.stop(20)
    finally:
        broker.cont()
    after = a.start()
    after.goes_on()
    after.stop()
    assert a.outcome().faults() == {}


# ---- the state ----


@pytest.mark.parametrize(
    "header, said",
    [
        ('{"format":1,"partitions":5}', "begun with 5 partitions"),
        ('{"format":2,"partitions":1}', "format 2"),
        ("not JSON", "not one of argilla-bridge"),
    ],
)
def test_a_state_of_another_shape_is_refused(kafka, arena, header, said):
    """Another format or partition count: does the instance leave the state alone, and say why?"""
    a = arena(kafka, partitions=1)
    a.start(chunks=3, assume=1).ended()
    before = a.outcome()
    a.state_record(0, "header", header)
    refused = a.start(assume=1)
    assert said in refused.await_line("^open-failed partition=0 class=config error=(.*)")[1]
    refused.ended(status=3)
    assert a.outcome().seqs == before.seqs


def test_the_header_stands_in_each_partition_that_was_written(kafka, arena):
    """Is the mark by which another shape is refused there from the first commit on?"""
    a = arena(kafka, partitions=3)
    instance = a.start(assume=1, chunks=30)
    instance.ended()
    assert a.outcome().headers == {p: ['{"format":1,"partitions":3}'] for p in range(3)}


def test_a_state_that_was_compacted_is_read_right_and_quickly(kafka, arena):
    """Segments rolled and cleaned: is the latest value of each key what is left?"""
    a = arena(kafka, partitions=1, listeners=8)
    a.make_topic(
        a.state_topic,
        1,
        cleanup_policy="compact",
        segment_bytes=1 << 20,
        segment_ms=5000,
        min_cleanable_dirty_ratio=0.01,
        delete_retention_ms=100,
    )
    long_values = {"state_bytes": 20000, "producer__compression__type": "none", "assume": 1}
    assert a.start("first", chunks=600, workers=8, **long_values).ended()["committed"] >= 600
    def is_short():
        a.start("roller", chunks=1, **long_values).ended()  # a segment rolls when something is written
        return a.outcome().n_state_records < 150

    eventually(is_short, what="compaction", timeout_s=60)
    outcome = a.outcome()
    last = a.start("last", chunks=200, workers=8, **long_values)
    last.ended()
    found = states(last)
    assert len(found) == 8 and all(outcome.state[listener] == seq for listener, seq in found.items())
    assert a.outcome().faults() == {}


# ---- chunks in one transaction ----


@pytest.mark.parametrize("where", ["its own topic", "the topic of all"])
def test_a_message_that_kafka_refuses_is_its_own_listener_s_trouble(kafka, arena, where):
    """One message too large for its topic, in a transaction with good ones: do those get through, and is the right one blamed?"""
    a = arena(kafka, partitions=1, listeners=6)
    small = f"{a.data_topic}-small"
    a.make_topic(small, 2, max_message_bytes=20000)
    if where == "the topic of all":
        a.data_topic = small
    instance = a.start(
        assume=1,
        workers=6,
        odd_topic=small,
        odd_value_bytes=30000,
        value_bytes=4000,
        limit_batch=19000,
        producer__compression__type="none",
        chunks=300,
    )
    end = instance.ended()
    refused = instance.found(r"^refused listener=(\S+) .* class=(\S+) error=(.*)")
    assert len(refused) > 5 and {m[1] for m in refused} == {"l0.0"} and {m[2] for m in refused} == {"bad_input"}
    assert all("MSG_SIZE_TOO_LARGE" in m[3] and small in m[3] for m in refused)
    assert end["chunks"] > end["commits"], "several in one transaction"
    outcome = a.outcome()
    assert "l0.0" not in outcome.seqs and len(outcome.seqs) == 5
    assert outcome.faults() == {}


def test_a_topic_that_is_not_there_is_its_own_listener_s_trouble(kafka, arena):
    """A listener's topic was deleted: do its neighbours go on without a pause?"""
    a = arena(kafka, partitions=1, listeners=4)
    instance = a.start(assume=1, odd_topic=f"{a.data_topic}-gone", chunks=300)
    end = instance.ended(60)
    assert {m[1] for m in instance.found(r"^refused listener=(\S+)")} == {"l0.0"}
    assert end["opens"] == 1 and end["max_us"] < 5_000_000
    assert a.outcome().faults() == {}


def test_chunks_that_wait_share_a_transaction(kafka, arena):
    """Eight workers, one partition: one transaction each, or all that wait in the next?"""
    a = arena(kafka, partitions=1, listeners=8)
    instance = a.start(assume=1, workers=8, chunks=800)
    end = instance.ended()
    assert end["chunks"] > 2 * end["commits"]
    outcome = a.outcome()
    assert outcome.faults() == {}
    assert min(outcome.state.values()) * 3 > max(outcome.state.values()), "nobody starves"
