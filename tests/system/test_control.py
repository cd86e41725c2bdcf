"""Do start, stop, trigger and reset take effect exactly once, last, and reach a listener wherever it runs? Commands are written to
the commands topic, as an instance does that was asked and doesn't own the listener."""

import json
import random
import signal
import time

import pytest
from commands_topic import Commands, names_in
from faulty_argilla import FaultyArgilla, Hang, Slow
from harness import Bridge, Reader, config, eventually, name, text_records
from ledger import Ledger

N_PARTITIONS = 2


@pytest.fixture
def server():
    with FaultyArgilla() as server:
        yield server


class Bench:
    """Listeners of a fake Argilla, instances of the bridge in one group, and their commands topic. `witness` polls all the time: that
    it polls and another doesn't is what shows a stop."""

    def __init__(self, dir, kafka, server, n_records=40, interval_s=0.1, n_partitions=N_PARTITIONS, more="", **config_words):
        self.dir, self.kafka, self.server = dir, kafka, server
        self.group, self.topic = name("group"), name("topic")
        self.listener, self.witness = names_in(n_partitions, 0, n_partitions - 1)
        server.add("reviews", text_records(n_records, batch=10))
        server.add("witness", text_records(1))
        listeners = [
            f'''name = "{self.listener}"; dataset = "reviews"; topic = "{self.topic}"; execution_interval_in_seconds = {interval_s};
                page_size = 10; {more}''',
            f'''name = "{self.witness}"; dataset = "witness"; topic = "{self.topic}.witness"; execution_interval_in_seconds = 0.1;
                condition = "false"''',
        ]
        config_words.setdefault("bridge", "")
        config_words["bridge"] += f"state_partitions = {n_partitions};"
        self.config = config(kafka, server.url, listeners, group=self.group, **config_words)
        self.commands = Commands(kafka, self.group, n_partitions)
        self.send = self.commands.send

    def instance(self, word="bridge"):
        return Bridge(self.dir / word, self.config)

    def polls(self):
        return len(self.server.asked("reviews"))

    def assert_silent(self):
        """While the witness polls ten times more, the listener does nothing."""
        n, seen = self.polls(), len(self.server.asked("witness", "count"))
        eventually(lambda: len(self.server.asked("witness", "count")) >= seen + 10, 30, "the witness polls")
        assert self.polls() == n, "it polls"

    def await_poll(self, timeout_s=30):
        n = self.polls()
        eventually(lambda: self.polls() > n, timeout_s, "a poll")

    def ledger(self):
        with Reader(self.kafka, self.topic, self.topic + ".runs") as reader:
            reader.to_end()
            return Ledger(reader.messages)


def test_stop_stays_across_a_restart(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server)
    bridge = bench.instance()
    with bridge:
        bridge.await_event("run", n=2)
        id = bench.send("stop", bench.listener)
        event = bridge.await_event("listener stopped", listener=bench.listener)[0]
        assert event["by"] == "elsewhere" and event["id"] == id
        bench.assert_silent()
        assert bridge.stop() == 0
    assert bench.commands.state_of(bench.listener, "stopped")["since"].endswith("Z")
    with bridge:
        bench.assert_silent()
        bench.send("start", bench.listener)
        bench.await_poll()
        assert bridge.seen("listener started", listener=bench.listener)
    assert bench.commands.state_of(bench.listener, "stopped") is None


SHORT_SESSION = 'consumer: { session_timeout_ms = 2000; heartbeat_interval_ms = 300; };'


def test_stop_is_known_to_the_one_that_takes_over(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server, n_partitions=1, kafka_extra=SHORT_SESSION)
    owner, other = bench.instance("a"), bench.instance("b")
    with owner:
        owner.await_event("run")
        with other:
            other.await_event("partitions assigned")
            bench.send("stop", bench.listener)
            eventually(lambda: owner.seen("listener stopped") or other.seen("listener stopped"), 30, "it is stopped")
            if other.seen("listener stopped"):
                owner, other = other, owner
            owner.kill()
            other.await_event("partition open")
            bench.assert_silent()
            bench.send("start", bench.listener)
            bench.await_poll()
            assert other.seen("listener started")


def test_a_command_written_while_nobody_runs_takes_effect_at_the_start(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server)
    bench.commands.create()
    bench.send("stop", bench.listener)
    with bench.instance() as bridge:
        bridge.await_event("listener stopped")
        bench.assert_silent()


def test_an_expired_trigger_is_dropped(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server)
    with bench.instance() as bridge:
        bench.send("stop", bench.listener)
        bridge.await_event("listener stopped")
        bench.send("trigger", bench.listener, expires_in_s=-0.5)
        assert bridge.await_event("command dropped")[0]["error"] == "too late"
        bench.assert_silent()
        bench.send("trigger", bench.listener)
        bench.await_poll()
        assert len(bridge.seen("listener triggered")) == 1
        bench.commands.await_taken()
    partition, offset = bench.commands.last
    assert bench.commands.next_offset(partition) == offset + 1


def test_a_trigger_polls_a_stopped_listener_once(kafka, server, tmp_path):
    """Its run is carried through to its end, and it stays stopped."""
    bench = Bench(tmp_path, kafka, server)
    with bench.instance() as bridge:
        bridge.await_event("run", listener=bench.listener)
        bench.send("stop", bench.listener)
        bridge.await_event("listener stopped")
        n = len(bridge.seen("run", listener=bench.listener))
        bench.send("trigger", bench.listener)
        bridge.await_event("run", n + 1, listener=bench.listener)
        bench.assert_silent()
        assert len(bridge.seen("run", listener=bench.listener)) == n + 1
    assert bench.commands.state_of(bench.listener, "trigger") is None
    assert bench.commands.state_of(bench.listener, "stopped")
    assert len(bench.ledger().check().complete(bench.listener)) == n + 1


def test_a_trigger_asks_the_condition_unless_it_is_forced(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server, interval_s=3600, more='condition = "false";')
    with bench.instance() as bridge:
        eventually(lambda: bench.polls(), what="the first poll")
        bench.send("stop", bench.listener)
        bridge.await_event("listener stopped")
        bench.send("trigger", bench.listener)
        bench.await_poll()
        eventually(lambda: bench.commands.state_of(bench.listener, "trigger") is None, what="the trigger is done with")
        bench.assert_silent()
        assert not bridge.seen("run")
        bench.send("trigger", bench.listener, force=True)
        bridge.await_event("run")
        bench.assert_silent()


def test_a_trigger_goes_on_after_kill(kafka, server, tmp_path):
    """Killed in the poll that it asked for, and in its run: neither forgotten nor done twice."""
    bench = Bench(tmp_path, kafka, server, interval_s=3600, bridge=f'instance_id = "{name("i")}";')
    bridge = bench.instance()
    with bridge:
        bridge.await_event("run", listener=bench.listener)
        bench.send("stop", bench.listener)
        bridge.await_event("listener stopped")
        server.fault("reviews", "scan", Hang(), times=1)
        bench.send("trigger", bench.listener)
        eventually(lambda: server.asked("reviews", "scan")[-1].spoiled, what="its scan hangs")
        bridge.kill()
        server.fault("reviews", "scan", Hang(), after=2, times=1)
        bridge.start()
        eventually(lambda: server.asked("reviews", "scan")[-1].spoiled and bench.commands.state_of(bench.listener, "run"),
                   what="its run hangs, part of it is durable")
        bridge.kill()
        bridge.start()
        bridge.await_event("run", 2, listener=bench.listener)
        bench.assert_silent()
    assert len(bench.ledger().check().complete(bench.listener)) == 2


def slow_bench(tmp_path, kafka, server, n_records=200, **more):
    """A run takes seconds: 20 pages, of which each takes a tenth of a second."""
    bench = Bench(tmp_path, kafka, server, n_records=n_records, **more)
    server.fault("reviews", "scan", Slow(0.1), times=None)
    return bench


def await_pages(server, n):
    before = len(server.asked("reviews", "scan"))
    eventually(lambda: len(server.asked("reviews", "scan")) >= before + n, what=f"{n} pages")


def test_stop_suspends_a_run_and_start_goes_on_behind_its_cursor(kafka, server, tmp_path):
    bench = slow_bench(tmp_path, kafka, server)
    with bench.instance() as bridge:
        await_pages(server, 5)
        bench.send("stop", bench.listener)
        bridge.await_event("listener stopped")
        cursor = bench.commands.state_of(bench.listener, "run")["cursor"]
        assert cursor and not bridge.seen("run", listener=bench.listener)
        bench.assert_silent()
        bench.send("start", bench.listener)
        bridge.await_event("run", listener=bench.listener)
        bench.send("stop", bench.listener)
        bridge.await_event("listener stopped", 2)
    run = bench.ledger().check().complete(bench.listener)[0]
    assert sorted(run.ids) == list(range(200))


def test_stop_is_quick_while_a_page_hangs(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server, n_records=200)
    server.fault("reviews", "scan", Hang(), after=5, times=1)
    with bench.instance() as bridge:
        eventually(lambda: server.asked("reviews", "scan") and server.asked("reviews", "scan")[-1].spoiled, what="it hangs")
        start = time.monotonic()
        bench.send("stop", bench.listener)
        bridge.await_event("listener stopped", timeout_s=5)
        print(f"stopped after {time.monotonic() - start:.2f} s")
        bench.assert_silent()
        assert not bridge.seen("listener failing") and not bridge.seen("argilla down")
        bench.send("start", bench.listener)
        bridge.await_event("run", listener=bench.listener)
    bench.ledger().check()


def test_stop_is_quick_while_a_poll_hangs(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server, more='condition = "search.total > 0";')
    server.fault("reviews", "count", Hang(), times=1)
    with bench.instance() as bridge:
        eventually(lambda: server.asked("reviews", "count"), what="it hangs")
        bench.send("stop", bench.listener)
        bridge.await_event("listener stopped", timeout_s=5)
        bench.assert_silent()
        assert not bridge.seen("listener failing") and not bridge.seen("argilla down")
        bench.send("start", bench.listener)
        bridge.await_event("run", listener=bench.listener)


def test_reset_in_mid_run_drops_it(kafka, server, tmp_path):
    bench = slow_bench(
        tmp_path, kafka, server, more='''query = "metadata.batch_id:{batch_id}"; query_params: { batch_id = 3; };
            update_query_params = "ctx.query_params.batch_id += 1"; page_size = 1;'''.replace("page_size = 10;", ""))
    bench.config = bench.config.replace("page_size = 10;", "", 1)
    with bench.instance() as bridge, Reader(kafka, bench.topic, bench.topic + ".runs") as reader:
        bridge.await_event("run", listener=bench.listener)
        reader.until(lambda r: len(r.of("batch", ce_argillarun="2")) >= 3, what="the second run has begun")
        bench.send("reset", bench.listener)
        bridge.await_event("listener reset")
        reader.until(lambda r: r.of("run", ce_argillarun="3"), what="a run after the reset")
        bench.send("stop", bench.listener)
        bridge.await_event("listener stopped")
        reader.to_end()
    batches = sorted((m for m in reader.messages if m.type == "batch"), key=lambda m: m.offset)
    generations = [int(m.headers["ce_id"].split(".")[-4]) for m in batches]
    assert generations == sorted(generations) and set(generations) == {1, 2}
    first_after = batches[generations.index(2)]
    assert first_after.value["query_params"] == {"batch_id": 3} and first_after.value["batch"]["index"] == 0
    assert first_after.headers["ce_argillarun"] == "3" and not reader.of("run", ce_argillarun="2")
    assert reader.of("run", ce_argillarun="3")[0].value["n_records"] == 10


def test_reset_leaves_a_stopped_listener_stopped(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server)
    with bench.instance() as bridge:
        bench.send("stop", bench.listener)
        bench.send("reset", bench.listener)
        bridge.await_event("listener reset")
        bench.assert_silent()
    assert bench.commands.state_of(bench.listener, "listener")["generation"] == 2


def test_garbage_in_the_topic_is_passed_over(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server)
    bench.commands.create()
    garbage = [None, b"", b"\xff\xfe", b"{", b"[]", b"{}", b"x" * 100_000, json.dumps({"kind": "stop"}).encode(),
               b'{"kind":"explode","listener":"%b","id":"1","source":"s"}' % bench.listener.encode(),
               b'{"kind":"trigger","listener":"%b","id":"1","source":"s"}' % bench.listener.encode(),
               b'{"kind":"stop","listener":"%b","id":"1","source":"s","force":1}' % bench.listener.encode()]
    for value in garbage:
        bench.commands.send_raw(value, 0)
    bench.commands.send_raw(json.dumps({"kind": "stop", "listener": bench.listener, "id": "1", "source": "s"}), 1)
    bench.send("stop", names_in(N_PARTITIONS, 0)[0])
    with bench.instance() as bridge:
        bridge.await_event("not a command", len(garbage))
        bridge.await_event("command dropped", 2)
        bench.commands.await_taken()
        eventually(lambda: bench.commands.next_offset(1) == 1, what="the other partition is past it too")
        bench.send("stop", bench.listener)
        bridge.await_event("listener stopped")
        assert bridge.stop() == 0
    again = bench.instance("again")
    with again:
        again.await_event("partition open", N_PARTITIONS - 1)
        bench.send("start", bench.listener)
        again.await_event("listener started")
        assert not again.seen("not a command") and not again.seen("command dropped")


def test_many_commands_in_a_row_are_taken_in_order(kafka, server, tmp_path):
    """More than are kept in memory at a time."""
    bench = Bench(tmp_path, kafka, server, interval_s=3600, level="info")
    bench.commands.create()
    for _ in range(400):
        bench.send("stop", bench.listener)
        bench.send("start", bench.listener)
    with bench.instance() as bridge:
        bench.commands.await_taken(60)
        bridge.await_event("listener started", 400)
        kinds = [e["event"] for e in bridge.events if e["event"] in ("listener stopped", "listener started")]
        assert kinds == ["listener stopped", "listener started"] * 400


def test_every_command_takes_effect_once_however_often_it_is_killed(kafka, server, tmp_path, long):
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng, n, n_kills = random.Random(seed), 500 if long else 50, 50 if long else 5
    names = names_in(N_PARTITIONS, 0, 0, 1)
    bench = Bench(tmp_path, kafka, server, bridge=f'instance_id = "{name("i")}";')
    bench.config = config(kafka, server.url, [
        f'''name = "{l}"; dataset = "reviews"; topic = "{bench.topic}"; execution_interval_in_seconds = 3600; page_size = 10;
            condition = "false"''' for l in names], group=bench.group, bridge=f'instance_id = "{name("i")}"; state_partitions = 2;')
    resets, triggers, stopped, sent = dict.fromkeys(names, 0), dict.fromkeys(names, 0), dict.fromkeys(names, False), [0, 0]
    kill_at = set(rng.sample(range(n), n_kills))
    bridge = bench.instance()
    with bridge, Reader(kafka, bench.topic, bench.topic + ".runs") as reader:
        bridge.await_event("partition open", 2)
        for i in range(n):
            listener, kind = rng.choice(names), rng.choice(["start", "stop", "trigger", "reset"])
            bench.send(kind, listener, force=True)
            sent[bench.commands.last[0]] += 1
            resets[listener] += kind == "reset"
            triggers[listener] += kind == "trigger"
            stopped[listener] = kind == "stop" or (stopped[listener] and kind != "start")
            if i in kill_at:
                time.sleep(rng.choice([0, rng.uniform(0, 0.03), rng.uniform(0, 0.3)]))
                bridge.kill()
                bridge.start()
            if kind == "trigger":
                reader.until(lambda r: len(r.of("run", ce_argillalistener=listener)) >= triggers[listener], 30,
                             f"the run of trigger {i}, {listener}:\n{bridge.tail()}")
        eventually(lambda: [bench.commands.next_offset(p) for p in (0, 1)] == sent, 30, "all have been taken")
        assert bridge.stop() == 0
        reader.to_end()
    ledger, state = Ledger(reader.messages).check(), bench.commands.state()
    for listener in names:
        partition = 0 if listener in names[:2] else 1
        assert state[partition].get(f"listener/{listener}", {"generation": 1})["generation"] == 1 + resets[listener]
        assert len(ledger.complete(listener)) == triggers[listener]
        assert (f"stopped/{listener}" in state[partition]) == stopped[listener]
        assert f"trigger/{listener}" not in state[partition] and f"run/{listener}" not in state[partition]


def assignments(bench):
    """Of each member of the group, the partitions of the state and of the commands topic."""
    group = bench.commands.admin.describe_consumer_groups([bench.group])[bench.group].result(10)
    return [
        [{p.partition for p in m.assignment.topic_partitions if p.topic == topic}
         for topic in (bench.commands.state_topic, bench.commands.topic)]
        for m in group.members
    ]


def test_commands_reach_the_owner_while_instances_come_and_go(kafka, server, tmp_path):
    n = 6
    names = names_in(n, *range(n))
    bench = Bench(tmp_path, kafka, server, n_partitions=n, kafka_extra=SHORT_SESSION)
    bench.config = config(kafka, server.url, [
        f'name = "{l}"; dataset = "reviews"; topic = "{bench.topic}"; execution_interval_in_seconds = 3600; condition = "false"'
        for l in names], group=bench.group, bridge=f"state_partitions = {n};", kafka_extra=SHORT_SESSION)
    instances = [bench.instance(word) for word in "abc"]
    done = {"stop": 0, "start": 0}

    def settled(n_members):
        members = assignments(bench)
        assert all(state == commands for state, commands in members if state and commands), members
        return len(members) == n_members and all(state == commands for state, commands in members) and \
            sorted(p for state, _ in members for p in state) == list(range(n))

    def change(n_members):
        for kind in ("stop", "start"):
            for listener in names:
                bench.send(kind, listener)
            done[kind] += n
        eventually(lambda: settled(n_members), 30, f"{n_members} members with all partitions")
        for event, kind in (("listener stopped", "stop"), ("listener started", "start")):
            eventually(lambda: sum(len(i.seen(event)) for i in instances) >= done[kind], 30, f"every {kind}")
            assert sum(len(i.seen(event)) for i in instances) == done[kind]

    try:
        for i, instance in enumerate(instances):
            instance.start()
            if i == 0:
                instance.await_event("partitions assigned")
            change(i + 1)
        assert instances[0].stop() == 0
        change(2)
        instances[1].kill()
        change(1)
    finally:
        for instance in instances:
            if instance.process and instance.process.poll() is None:
                instance.stop()


def test_without_the_commands_topic_it_works_on(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server)
    with bench.instance() as bridge:
        bridge.await_event("run")
    bench.config = bench.config.replace("state_partitions", f'create_topics = false; commands_topic = "{name("none")}"; state_partitions')
    with bench.instance("b") as bridge:
        bridge.await_event("run")
        assert len(bridge.seen("no commands topic: commands work only at the instance that owns the listener")) == 1


def test_stop_and_start_while_no_service_runs(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server)
    bridge = bench.instance()
    with bridge:
        bridge.await_event("run")
        refused = bridge.command("stop", bench.listener)
        assert refused.returncode == 4 and "a service runs" in refused.stderr
    for said in ("stopped", "stopped already"):
        done = bridge.command("stop", bench.listener)
        assert (done.returncode, done.stdout) == (0, f"{bench.listener}: {said}\n"), done.stderr
    with bridge:
        bench.assert_silent()
    for said in ("polls again, once a service runs", "was not stopped"):
        done = bridge.command("start", bench.listener)
        assert (done.returncode, done.stdout) == (0, f"{bench.listener}: {said}\n"), done.stderr
    with bridge:
        bench.await_poll()
    assert bridge.command("stop", bench.listener).returncode == 0
    assert bridge.command("forget", bench.listener).returncode == 0
    assert not [key for key in bench.commands.state()[0] if key.endswith(bench.listener)]


def test_once_polls_a_stopped_listener(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server)
    bridge = bench.instance()
    with bridge:
        bridge.await_event("run")
    assert bridge.command("stop", bench.listener).returncode == 0
    done = bridge.command("once", bench.listener)
    assert (done.returncode, done.stdout) == (0, f"{bench.listener}: done\n"), done.stderr
    with bridge:
        bench.assert_silent()


def test_a_commands_topic_that_was_made_anew_is_read_from_its_beginning(kafka, server, tmp_path):
    bench = Bench(tmp_path, kafka, server)
    bridge = bench.instance()
    with bridge:
        bridge.await_event("partition open", N_PARTITIONS)
        for _ in range(3):
            bench.send("stop", bench.listener)
            bench.send("start", bench.listener)
        bridge.await_event("listener started", 3)
    for future in bench.commands.admin.delete_topics([bench.commands.topic]).values():
        future.result(30)
    eventually(lambda: bench.commands.topic not in bench.commands.admin.list_topics(timeout=10).topics, what="it is gone")
    bench.commands = Commands(kafka, bench.group, N_PARTITIONS).create()
    bench.commands.send("stop", bench.listener)
    with bridge:
        bridge.await_event("listener stopped", 4)
        assert len(bridge.seen("the commands topic was made anew: read from its beginning")) == 1
        bench.assert_silent()
    assert bench.commands.next_offset(0) == 1


def test_an_instance_that_was_frozen_learns_what_another_has_started(kafka, server, tmp_path):
    """It had the partition before, has it again, and nothing that it does by itself would tell it of the time between."""
    bench = Bench(tmp_path, kafka, server, n_partitions=1, kafka_extra=SHORT_SESSION)
    frozen, other = bench.instance("a"), bench.instance("b")
    with frozen:
        frozen.await_event("run", listener=bench.listener)
        bench.send("stop", bench.listener)
        frozen.await_event("listener stopped")
        frozen.signal(signal.SIGSTOP)
        other.start()
        other.await_event("partition open")
        bench.send("start", bench.listener)
        other.await_event("run", listener=bench.listener)
        other.kill()
        eventually(lambda: not assignments(bench), 30, "the group is empty")
        frozen.signal(signal.SIGCONT)
        bench.await_poll()
    assert bench.commands.state_of(bench.listener, "stopped") is None
    bench.ledger().check()
