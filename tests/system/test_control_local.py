"""Is the answer to a command true, at the instance that owns the listener and at another one? bridge_command is called by
control_driver, as the admin server would."""

import os
import subprocess

import pytest
from commands_topic import partition_of
from faulty_argilla import FaultyArgilla, Hang, Slow
from harness import ROOT, eventually, name
from test_control import SHORT_SESSION, Bench, Bridge

DRIVER = os.environ.get("CONTROL_DRIVER", ROOT / "build/dev/tests/system/control/control_driver")


@pytest.fixture
def server():
    with FaultyArgilla() as server:
        yield server


class Instance(Bridge):
    """The driver in place of the binary."""

    def start(self):
        import threading

        self.process = subprocess.Popen(
            [str(DRIVER), str(self.path)], env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        return self

    def ask(self, kind, listener, force=False, timeout_ms=10000):
        """(result, ms, why)"""
        self.process.stdin.write(f"{kind} {listener} {int(force)} {timeout_ms}\n")
        self.process.stdin.flush()
        result, ms, why = self.process.stdout.readline().rstrip("\n").split(" ", 2)
        return result, int(ms), why

    def stop(self, timeout_s=30):
        self.process.stdin.close()
        code = self.process.wait(timeout_s)
        self._reader.join(5)
        return code

    def signal(self, number):
        self.process.send_signal(number)


class LocalBench(Bench):
    def instance(self, word="bridge"):
        return Instance(self.dir / word, self.config)


def owner_and_other(bench, a, b):
    """Once each has one of the two partitions open."""
    def has(instance):
        last = [e["event"] for e in list(instance.events) if e["event"] in ("partition open", "partition closed")
                and e["partition"] == partition_of(bench.listener, 2)]
        return last[-1:] == ["partition open"]

    def n_open(instance):
        return len(instance.seen("partition open")) - len(instance.seen("partition closed"))

    eventually(lambda: n_open(a) == n_open(b) == 1 and has(a) != has(b), what="one each")
    return (a, b) if has(a) else (b, a)


def test_the_owner_does_it_and_says_so(kafka, server, tmp_path):
    bench = LocalBench(tmp_path, kafka, server)
    with bench.instance() as a:
        a.await_event("partition open", 2)
        a.await_event("run", listener=bench.listener)
        assert a.ask("start", bench.listener)[0] == "already"
        result, ms, _ = a.ask("stop", bench.listener)
        print(f"stop: {ms} ms")
        assert result == "done" and bench.commands.state_of(bench.listener, "stopped")
        assert a.seen("listener stopped", by="admin")
        bench.assert_silent()
        assert a.ask("stop", bench.listener)[0] == "already"
        n = len(a.seen("run", listener=bench.listener))
        assert a.ask("trigger", bench.listener)[0] == "done"
        a.await_event("run", n + 1, listener=bench.listener)
        assert a.ask("reset", bench.listener)[0] == "done"
        assert bench.commands.state_of(bench.listener, "listener")["generation"] == 2
        bench.assert_silent()
        assert a.ask("start", bench.listener)[0] == "done"
        bench.await_poll()
        assert a.ask("stop", "nobody")[0] == "unknown"
        assert a.stop() == 0


def test_a_trigger_in_a_run_has_nothing_to_do(kafka, server, tmp_path):
    bench = LocalBench(tmp_path, kafka, server)
    server.fault("reviews", "scan", Hang(), after=2, times=1)
    with bench.instance() as a:
        eventually(lambda: server.asked("reviews", "scan") and server.asked("reviews", "scan")[-1].spoiled, what="it hangs")
        assert a.ask("trigger", bench.listener, force=True)[0] == "already"
        assert a.ask("stop", bench.listener)[0] == "done"


def test_a_forced_trigger_takes_the_place_of_a_poll(kafka, server, tmp_path):
    """Whose condition may turn out false."""
    bench = LocalBench(tmp_path, kafka, server, interval_s=3600, more='condition = "false";')
    server.fault("reviews", "count", Hang(), times=1)
    with bench.instance() as a:
        eventually(lambda: server.asked("reviews", "count"), what="it hangs")
        assert a.ask("trigger", bench.listener)[0] == "already"
        assert a.ask("trigger", bench.listener, force=True)[0] == "done"
        a.await_event("run", listener=bench.listener)


def test_an_instance_that_does_not_own_it_sends_it_to_the_owner(kafka, server, tmp_path):
    bench = LocalBench(tmp_path, kafka, server, kafka_extra=SHORT_SESSION)
    with bench.instance("a") as a, bench.instance("b") as b:
        owner, other = owner_and_other(bench, a, b)
        for kind, event in (("stop", "listener stopped"), ("reset", "listener reset"), ("trigger", "listener triggered"), ("start", "listener started")):
            result, ms, why = other.ask(kind, bench.listener, force=True)
            print(f"{kind}: {ms} ms")
            assert result == "sent", why
            seen = owner.await_event(event, listener=bench.listener)[0]
            assert seen["by"] not in ("admin", "elsewhere") and not other.seen(event)


def test_without_the_topic_another_instance_says_so(kafka, server, tmp_path):
    bench = LocalBench(tmp_path, kafka, server, kafka_extra=SHORT_SESSION, bridge=f'create_topics = false; commands_topic = "{name("none")}";')
    made = LocalBench(tmp_path, kafka, server, kafka_extra=SHORT_SESSION)
    made.group, made.topic, made.config = bench.group, bench.topic, bench.config.replace("create_topics = false;", "")
    with made.instance("first") as first:
        first.await_event("partition open", 2)
    bench.config = bench.config.replace('commands_topic = "', 'commands_topic = "really-')
    with bench.instance("a") as a, bench.instance("b") as b:
        owner, other = owner_and_other(bench, a, b)
        assert owner.ask("stop", bench.listener)[0] == "done"
        result, _, why = other.ask("start", bench.listener)
        assert result == "failed" and "another instance owns the listener" in why


def test_while_kafka_hangs_it_fails_in_time_and_is_no_less_true(own_kafka, server, tmp_path):
    bench = LocalBench(tmp_path, own_kafka.bootstrap, server, interval_s=3600)
    with bench.instance() as a:
        a.await_event("run", listener=bench.listener)
        own_kafka.pause()
        try:
            result, ms, why = a.ask("stop", bench.listener, timeout_ms=1500)
            assert result == "failed" and 1400 < ms < 3000 and "may still take effect" in why
        finally:
            own_kafka.cont()
        # it was on its way: it does take effect
        a.await_event("listener stopped", timeout_s=60)
        assert a.ask("stop", bench.listener)[0] == "already"


def test_a_command_given_while_it_stops_is_answered(kafka, server, tmp_path):
    """In a run whose page hangs."""
    bench = LocalBench(tmp_path, kafka, server)
    server.fault("reviews", "scan", Slow(1), after=2, times=None)
    with bench.instance() as a:
        a.await_event("partition open", 2)
        eventually(lambda: len(server.asked("reviews", "scan")) > 3, what="a slow run")
        a.process.stdin.write(f"stop {bench.listener} 0 10000\n")
        a.process.stdin.flush()
        assert a.process.stdout.readline().startswith("done")
        assert a.stop() == 0
    assert bench.commands.state_of(bench.listener, "stopped")
