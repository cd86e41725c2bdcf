"""Does a reload change what has changed, whole or not at all, without a beat missed or a record lost by the others?"""

import os
import signal
import socket
from pathlib import Path

import pytest
from faulty_argilla import FaultyArgilla, Slow
from harness import BINARY, Bridge, Reader, config, eventually, name, text_records
from ledger import Ledger


@pytest.fixture
def server():
    with FaultyArgilla() as server:
        yield server


def listener(label, topic, more="", interval=0.3):
    return f'''name = "{label}"; dataset = "d"; topic = "{topic}"; page_size = 10; query_records = false;
        execution_interval_in_seconds = {interval}; {more}'''


def scan(label, topic, more="", interval=0.3, dataset="d"):
    return f'''name = "{label}"; dataset = "{dataset}"; topic = "{topic}"; page_size = 10; execution_interval_in_seconds = {interval}; {more}'''


def reload(bridge, text, event="reloaded"):
    n = len(bridge.seen(event))
    bridge.path.write_text(text)
    bridge.signal(signal.SIGHUP)
    return bridge.await_event(event, n=n + 1)[-1]


def rss_kib(pid):
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])


def test_a_reload_adds_changes_and_removes_listeners_and_the_others_go_on(kafka, server, tmp_path):
    topic, group = name("reload"), name("group")
    server.add("d", text_records(30))

    def text(*listeners):
        return config(kafka, server.url, listeners, group=group)

    same, gone = listener("same", topic), listener("gone", topic)
    first = listener("other", topic, "query_params: { n = 1; };")
    then = listener("other", topic, "query_params: { n = 2; };")
    with Bridge(tmp_path, text(same, gone, first)) as bridge, Reader(kafka, topic + ".runs") as reader:
        reader.until(lambda r: {m.key for m in r.of("run")} == {"same", "gone", "other"})
        said = reload(bridge, text(same, then, listener("new", topic)))
        assert {k: said[k] for k in ("n_same", "n_changed", "n_added", "n_removed")} == {"n_same": 1, "n_changed": 1, "n_added": 1, "n_removed": 1}
        bridge.await_event("listener removed, its state is kept (`forget` drops it)", listener="gone")
        reader.to_end()
        n_gone = len([m for m in reader.of("run") if m.key == "gone"])
        reader.until(lambda r: any(m.value["query_params"] == {"n": 2} for m in r.of("run")))
        reader.until(lambda r: len([m for m in r.of("run") if m.key == "new"]) > 3)
        assert bridge.stop() == 0
        reader.to_end()
    runs = {label: [m for m in reader.of("run") if m.key == label] for label in ("same", "gone", "other", "new")}
    assert len(runs["gone"]) <= n_gone + 1  # one may have been on its way
    for label, messages in runs.items():
        assert [m.value["run"] for m in messages] == list(range(1, len(messages) + 1)), label
    assert [m.value["query_params"]["n"] for m in runs["other"]] == sorted(m.value["query_params"]["n"] for m in runs["other"])


def test_a_listener_that_comes_back_goes_on_from_its_state(kafka, server, tmp_path):
    topic, group = name("reload"), name("group")
    server.add("d", text_records(10))
    both = config(kafka, server.url, [listener("a", topic), listener("b", topic)], group=group)
    with Bridge(tmp_path, both) as bridge, Reader(kafka, topic + ".runs") as reader:
        reader.until(lambda r: {m.key for m in r.of("run")} == {"a", "b"})
        reload(bridge, config(kafka, server.url, [listener("b", topic)], group=group))
        bridge.await_event("listener removed, its state is kept (`forget` drops it)", listener="a")
        reload(bridge, both)
        reader.to_end()
        last = max(m.value["run"] for m in reader.of("run") if m.key == "a")
        reader.until(lambda r: any(m.key == "a" and m.value["run"] > last + 1 for m in r.of("run")))
        assert bridge.stop() == 0
        reader.to_end()
    numbers = [m.value["run"] for m in reader.of("run") if m.key == "a"]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("wrong, why", [
    ('listeners: ( { dataset = "d"; condition = "search.total =="; } );', "syntax error"),
    ('listeners: ( { dataset = "d"; quary = "x"; } );', "unknown name `quary`"),
    ("listeners: ( {", "syntax error"),
    ("", "listeners"),
])
def test_a_file_with_a_mistake_changes_nothing(kafka, server, tmp_path, wrong, why):
    topic = name("reload")
    server.add("d", text_records(10))
    good = config(kafka, server.url, [listener("a", topic)])
    with Bridge(tmp_path, good) as bridge:
        bridge.await_event("run", n=2)
        said = reload(bridge, good[: good.index("listeners:")] + wrong, "reload refused, the old configuration stays")
        assert said["level"] == "error"
        bridge.await_event("mistake in the configuration")
        assert any(why in e["error"] for e in bridge.seen("mistake in the configuration")), bridge.tail()
        bridge.await_event("run", n=len(bridge.seen("run")) + 3)
        assert reload(bridge, good)["n_same"] == 1
        assert bridge.stop() == 0


def test_what_needs_a_restart_is_named_and_nothing_is_changed(kafka, server, tmp_path):
    topic, group = name("reload"), name("group")
    server.add("d", text_records(10))
    good = config(kafka, server.url, [listener("a", topic)], group=group)
    with Bridge(tmp_path, good) as bridge:
        bridge.await_event("run", n=1)
        for text, what in (
            (good.replace("argilla: {", "argilla: { timeout_ms = 12345;"), "argilla.timeout_ms"),
            (good.replace("bridge: {", "bridge: { workers = 3;"), "bridge.workers"),
            (good.replace("kafka: {", "kafka: { producer: { linger_ms = 7; };"), "kafka.producer"),
        ):
            n = len(bridge.seen("run"))
            said = reload(bridge, text.replace('"a"', '"b"'), "reload refused, the old configuration stays")
            assert said["error"] == f"{what} has changed: that takes a restart"
            bridge.await_event("run", n=n + 2, listener="a")
        assert not bridge.seen("run", listener="b")
        assert bridge.stop() == 0


def test_untouched_listeners_keep_their_beat(kafka, server, tmp_path):
    """Forty of them, and forty reloads of another one: their polls stay a period apart."""
    topic, group = name("reload"), name("group")
    server.add("d", text_records(10))
    steady = [listener(f"l{i}", topic, interval=1) for i in range(40)]

    def text(i):
        return config(kafka, server.url, [*steady, listener("moving", topic, f"query_params: {{ i = {i}; }};")], group=group)

    with Bridge(tmp_path, text(0)) as bridge, Reader(kafka, topic + ".runs") as reader:
        reader.until(lambda r: len({m.key for m in r.of("run")}) == 41)
        for i in range(1, 41):
            reload(bridge, text(i))
            reader.poll()
        reader.until(lambda r: any(m.value["query_params"] == {"i": 40} for m in r.of("run")))
        assert bridge.stop() == 0
        reader.to_end()
    Ledger([m for m in reader.messages if m.key != "moving"]).check()  # its params are the file's each time
    for label in (f"l{i}" for i in range(40)):
        starts = [m.value["started_at"] for m in reader.of("run") if m.key == label]
        gaps = [seconds(b) - seconds(a) for a, b in zip(starts, starts[1:])]
        assert all(gap < 1.5 for gap in gaps), f"{label}: {gaps}"


def seconds(stamp):
    hours, minutes, rest = stamp.split("T")[1].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def test_a_hundred_reloads_under_load_lose_and_double_nothing_and_leak_nothing(kafka, server, tmp_path):
    """Each changes one listener's way of publishing or its expressions, while all of them scan."""
    topic, group = name("reload"), name("group")
    server.add("d", text_records(60))
    server.add("e", text_records(60))
    watched = "asan" in str(BINARY) or "tsan" in str(BINARY)

    def text(i):
        moving = i % 6
        return config(kafka, server.url, [
            scan(f"l{k}", topic, f'''batch_records = {5 + i % 7 if k == moving else 10}; condition = "search.total > {-i if k == moving else -1}";
                query_params: {{ n = 0; }}; update_query_params = "ctx.query_params[\\"n\\"] += 1";''', dataset="de"[k % 2])
            for k in range(6)
        ], group=group)

    sizes = []
    with Bridge(tmp_path, text(0)) as bridge, Reader(kafka, topic, topic + ".runs") as reader:
        reader.until(lambda r: len({m.key for m in r.of("run")}) == 6)
        for i in range(1, 101):
            reload(bridge, text(i))
            reader.until(lambda r: len(r.of("run")) > 3 * i)
            sizes.append(rss_kib(bridge.process.pid))
        assert bridge.stop(60) == 0
        reader.to_end()
    Ledger(reader.messages).check()
    assert watched or max(sizes[60:]) < 1.08 * max(sizes[20:40]), sizes


def test_a_run_that_takes_long_goes_on_under_the_changed_configuration(kafka, server, tmp_path):
    """The dataset is slow; the listener is changed in mid-run: every record once, in one run."""
    topic, group = name("reload"), name("group")
    server.add("d", text_records(100))
    server.fault("d", "scan", Slow(0.1), times=None)
    with Bridge(tmp_path, config(kafka, server.url, [scan("a", topic, interval=60)], group=group)) as bridge, Reader(kafka, topic, topic + ".runs") as reader:
        reader.until(lambda r: len(r.of("batch")) >= 2)
        reload(bridge, config(kafka, server.url, [scan("a", topic, "batch_records = 3;", interval=60)], group=group))
        reader.until(lambda r: r.of("run"))
        assert bridge.stop() == 0
        reader.to_end()
    run = Ledger(reader.messages).check().complete("a")[0]
    assert sorted(run.ids) == list(range(100))
    assert len(run.batches[-1].value["records"]) <= 3 < len(run.batches[0].value["records"])


def test_state_of_a_listener_that_is_gone_from_the_file_is_told_at_the_start(kafka, server, tmp_path):
    """Also when no other listener has its partition."""
    topic, group = name("reload"), name("group")
    server.add("d", text_records(10))
    every = [listener(f"l{i}", topic) for i in range(12)]
    with Bridge(tmp_path / "a", config(kafka, server.url, every, group=group)) as bridge:
        eventually(lambda: len({e["listener"] for e in bridge.seen("run")}) == 12)
        assert bridge.stop() == 0
    told = "state of listeners that are not in the config (`forget` drops it)"
    with Bridge(tmp_path / "b", config(kafka, server.url, every[:1], group=group)) as bridge:
        eventually(lambda: {n for e in bridge.seen(told) for n in e["listeners"].split(", ")} == {f"l{i}" for i in range(1, 12)}, 30)
        assert bridge.stop() == 0


def test_the_supervisor_s_watchdog_is_fed_while_the_threads_come_round(kafka, server, tmp_path):
    server.add("d", text_records(10))
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30)
        env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "400000"}
        with Bridge(tmp_path, config(kafka, server.url, [listener("a", name("reload"))]), env=env) as bridge:
            assert notify.recv(4096) == b"READY=1"
            assert [notify.recv(4096) for _ in range(5)] == 5 * [b"WATCHDOG=1"]
            assert bridge.stop() == 0


def test_the_supervisor_is_told_of_start_reload_and_stop(kafka, server, tmp_path):
    server.add("d", text_records(10))
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(30)
        bridge = Bridge(tmp_path, config(kafka, server.url, [listener("a", name("reload"))]), env={"NOTIFY_SOCKET": path})
        with bridge:
            assert notify.recv(4096) == b"READY=1"
            bridge.await_event("run")
            bridge.signal(signal.SIGHUP)
            assert notify.recv(4096).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
            assert notify.recv(4096) == b"READY=1"
            os.kill(bridge.process.pid, signal.SIGTERM)
            assert notify.recv(4096) == b"STOPPING=1"
            assert bridge.stop() == 0
