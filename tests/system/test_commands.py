"""The command line: does each command do what it says, refuse what it must, write nothing that it shouldn't, and end in time?"""

import os
import pty
import select
import signal
import subprocess
import time

import harness
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from faulty_argilla import FaultyArgilla, Hang, Slow
from harness import BINARY, Bridge, Reader, config, eventually, name, text_records

OK, FAILED, USAGE, CONFIG, REFUSED = 0, 1, 2, 3, 4


@pytest.fixture
def server():
    with FaultyArgilla() as server:
        yield server


class Bench:
    """A dataset of 50 records in batches of 10, a listener that counts through them, and a bridge not yet started."""

    def __init__(self, dir, kafka, server, more="", **config_words):
        self.kafka, self.topic, self.group = kafka, name("topic"), name("group")
        server.add("reviews", text_records(50, batch=10), metrics={"F1": {"f1_macro": 0.5}})
        self.listener = f'''name = "reviews"; dataset = "reviews"; topic = "{self.topic}"; execution_interval_in_seconds = 0.3;
            query = "metadata.batch_id:{{batch_id}}"; query_params: {{ batch_id = 0; }}; metrics = [ "F1" ];
            condition = "search.total == 10 and metrics.F1.f1_macro > 0.4";
            update_query_params = "ctx.query_params[\\"batch_id\\"] += 1"; {more}'''
        config_words = {"group": self.group, "bridge": "state_partitions = 2;", "level": "info", **config_words}
        self.bridge = Bridge(dir, config(kafka, server.url, [self.listener], **config_words))

    def __call__(self, *words, **more):
        done = self.bridge.command(*words, **more)
        assert self.bridge.env["ARGILLA_API_KEY"] not in done.stdout + done.stderr
        return done

    def runs(self):
        with Reader(self.kafka, self.topic + ".runs") as reader:
            reader.to_end()
            return [m.value for m in reader.of("run")]

    def ends(self):
        """Of each of its topics that exist, the partitions' ends: what any write would move."""
        admin = AdminClient({"bootstrap.servers": self.kafka})
        topics = admin.list_topics(timeout=10).topics
        mine = [t for t in topics if t.startswith((self.topic, self.group))]
        consumer = Consumer({"bootstrap.servers": self.kafka, "group.id": name("ends")})
        try:
            return {
                (t, p): consumer.get_watermark_offsets(TopicPartition(t, p), timeout=10)[1]
                for t in mine for p in topics[t].partitions
            }
        finally:
            consumer.close()

    def group_is_empty(self):
        admin = AdminClient({"bootstrap.servers": self.kafka})
        described = admin.describe_consumer_groups([self.group])[self.group].result(10)
        return not described.members


@pytest.fixture
def bench(kafka, server, tmp_path):
    return Bench(tmp_path, kafka, server)


def run(*words):
    return subprocess.run([*harness.WRAPPER, str(BINARY), *words], capture_output=True, text=True, timeout=60, check=False)


# -- usage

COMMANDS = ("run", "check", "explain", "once", "status", "stop", "start", "trigger", "reset", "forget")


def test_help_and_version():
    help = run("--help")
    assert help.returncode == OK and help.stderr == ""
    assert help.stdout.startswith("usage: argilla-bridge ") and all(f"\n  {c} " in help.stdout for c in COMMANDS)
    version = run("--version")
    assert version.returncode == OK and version.stdout.split()[0] == "argilla-bridge" and version.stdout.count(".") == 2
    assert run("-h").stdout == help.stdout and run("-V").stdout == version.stdout


@pytest.mark.parametrize("words, text", [
    ([], "no command"),
    (["fly"], "unknown command fly"),
    (["explain"], "explain needs the name of a listener"),
    (["once"], "once needs the name of a listener"),
    (["check", "more"], "too many words: more"),
    (["once", "reviews", "more"], "too many words: more"),
    (["check", "--wrong"], "--wrong"),
    (["check", "-c"], "requires an argument"),
    (["run", "--force"], "--force"),
])  # fmt: skip
def test_usage_errors(words, text):
    done = run(*words)
    assert done.returncode == USAGE and done.stdout == ""
    assert text in done.stderr and "usage: argilla-bridge " in done.stderr


def test_the_manual_page_names_each_command_and_exit_status():
    page = (harness.ROOT / "deploy/man/argilla-bridge.1").read_text()
    for command in COMMANDS:
        assert f"\n.TP\n.B {command}\n" in page or f'\n.TP\n.BI {command} " ' in page, command
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", harness.ROOT / "deploy/man/argilla-bridge.1"],
        capture_output=True, text=True, timeout=60, check=True,
    )
    assert done.stderr == ""


# -- check

def test_check(bench):
    good = bench("check")
    assert (good.returncode, good.stderr) == (OK, "") and good.stdout == f"{bench.bridge.path}: ok, 1 listener\n"
    bench.bridge.path.write_text(bench.bridge.path.read_text().replace("condition =", "conditoin ="))
    bad = bench("check")
    assert bad.returncode == CONFIG and bad.stdout == ""
    assert "unknown name `conditoin`" in bad.stderr and "did you mean `condition`?" in bad.stderr
    assert bench.ends() == {}  # it asks no server


@pytest.mark.parametrize("command", [["check"], ["run"], ["explain", "reviews"], ["once", "reviews"], ["reset", "reviews"]])
def test_a_config_that_isnt_there(command, tmp_path):
    done = run(*command, "-c", str(tmp_path / "none.cfg"))
    assert done.returncode == CONFIG and "none.cfg" in done.stderr


# -- explain

def explained(text):
    """The lines of explain: {word: rest}."""
    return {line[:14].strip(): line[14:] for line in text.splitlines()}


def test_explain_before_any_state(bench, server):
    done = bench("explain", "reviews")
    assert done.returncode == OK, done.stderr
    lines = explained(done.stdout)
    assert lines["query"] == "metadata.batch_id:0" and lines["total"] == "10"
    assert lines["query_params"] == '{"batch_id":0}' and lines["then"] == 'query_params {"batch_id":1}'
    assert lines["metric"] == 'F1 = {"f1_macro": 0.5}'
    assert lines["condition"].endswith("metrics.F1.f1_macro > 0.4 -> true")
    assert lines["would send"] == f"10 records in batches of up to 500 to {bench.topic}, and 1 run message to {bench.topic}.runs"
    assert '"records":[{"id": 0,' in lines["sample"] and '"query_params":{"batch_id":0}' in lines["sample"]
    assert bench.ends() == {}


def test_explain_after_runs_and_beside_a_service(bench, server):
    with bench.bridge as bridge:
        bridge.await_event("run", n=2)
        server.datasets["reviews"].records = server.datasets["reviews"].records[:15]  # the third batch is gone
        time_of_last = len(bridge.seen("run"))
        polls = len(server.asked("reviews", "count"))
        eventually(lambda: len(server.asked("reviews", "count")) >= polls + 3, 30, "polls that fire nothing")
        n = len(bridge.seen("run"))
        assert n >= time_of_last
        before = bench.ends()
        beside = explained(bench("explain", "reviews").stdout)
        assert bench.ends() == before
        assert bridge.stop() == 0
    before = bench.ends()
    done = bench("explain", "reviews")
    assert done.returncode == OK and bench.ends() == before
    lines = explained(done.stdout)
    assert lines == beside
    assert lines["state"].startswith(f"after run {n}") and lines["query"] == f"metadata.batch_id:{n}"
    assert lines["condition"].endswith("-> false") and lines["would send"].startswith("nothing now; if the condition held: ")


def test_explain_says_what_is_wrong(bench, server):
    unknown = bench("explain", "reveiws")
    assert unknown.returncode == USAGE and "no listener reveiws" in unknown.stderr and "there is reviews" in unknown.stderr
    del server.datasets["reviews"]
    missing = bench("explain", "reviews")
    assert missing.returncode == FAILED and "HTTP 404" in missing.stderr
    server.down()
    assert bench("explain", "reviews").returncode == FAILED
    server.up()


# -- once

def test_once(bench, server):
    for i in range(2):
        done = bench("once", "reviews")
        assert done.returncode == OK and done.stdout == "reviews: done\n", done.stderr
        assert bench.group_is_empty()
    assert [(r["run"], r["query_params"]["batch_id"], r["n_records"]) for r in bench.runs()] == [(1, 0, 10), (2, 1, 10)]
    server.datasets["reviews"].records = [r for r in server.datasets["reviews"].records if r["id"] < 25]
    before = bench.ends()
    held = bench("once", "reviews")
    assert held.returncode == OK and "the condition is false, nothing was sent" in held.stdout and "--force" in held.stdout
    assert bench.ends().items() >= {k: v for k, v in before.items() if k[0].startswith(bench.topic)}.items()
    assert bench("once", "reviews", "--force").returncode == OK
    last = bench.runs()[-1]
    assert (last["run"], last["query_params"]["batch_id"], last["n_records"]) == (3, 2, 5)


def test_once_tells_a_failure(bench, server):
    del server.datasets["reviews"]
    done = bench("once", "reviews")
    assert done.returncode == FAILED and "HTTP 404" in done.stderr
    unknown = bench("once", "reveiws")
    assert unknown.returncode == USAGE and "there is reviews" in unknown.stderr


def all_records(kafka, server, tmp_path):
    """A listener with pages of 10, the last of them slow: progress is told before the end."""
    bench = Bench(tmp_path, kafka, server)
    text = bench.bridge.path.read_text()
    start, end = text.index("query ="), text.index("metrics =")
    bench.bridge.path.write_text(text[:start] + 'page_size = 10; condition = "search.total == 50" } );\n')
    assert end > start
    server.fault("reviews", "scan", Slow(1.5), after=4)
    return bench


def test_progress_in_plain_lines(kafka, server, tmp_path):
    bench = all_records(kafka, server, tmp_path)
    done = bench("once", "reviews")
    assert done.returncode == OK, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("reviews: ")]
    assert lines[0] == "reviews: 10 records" and lines[-1] == "reviews: 50 records" and len(lines) <= 4
    assert "\r" not in done.stderr


def test_progress_as_a_bar_on_a_terminal(kafka, server, tmp_path):
    bench = all_records(kafka, server, tmp_path)
    main, terminal = pty.openpty()
    process = subprocess.Popen(
        [*harness.WRAPPER, str(BINARY), "once", "reviews", "-c", str(bench.bridge.path)],
        env=bench.bridge.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=terminal, text=True,
    )
    os.close(terminal)
    shown = b""
    while True:
        assert select.select([main], [], [], 60)[0], shown
        try:
            data = os.read(main, 4096)
        except OSError:  # a terminal that nobody holds any more
            break
        if not data:
            break
        shown += data
    out, _ = process.communicate(timeout=30)
    os.close(main)
    assert process.returncode == OK and out == "reviews: done\n"
    bars = shown.decode().split("\r")
    assert any(b.startswith("reviews [########      ") and b.endswith(" 10/50") for b in bars), bars
    assert any(b.startswith("reviews [" + "#" * 40 + "] 50/50") for b in bars), bars
    assert shown.endswith(b"\n") and b'"event"' not in shown  # the log would break the bar


# -- reset, forget

def test_reset_starts_over(bench):
    for _ in range(2):
        assert bench("once", "reviews").returncode == OK
    assert "after run 2" in bench("explain", "reviews").stdout
    done = bench("reset", "reviews")
    assert (done.returncode, done.stdout) == (OK, "reviews: starts over\n"), done.stderr
    # previous is null again: this condition could not hold else
    text = bench.bridge.path.read_text()
    bench.bridge.path.write_text(text.replace("search.total == 10 and", "previous == null and"))
    assert bench("once", "reviews").returncode == OK
    assert [(r["run"], r["query_params"]["batch_id"]) for r in bench.runs()] == [(1, 0), (2, 1), (3, 0)]
    assert "the condition is false" in bench("once", "reviews").stdout


def test_ids_are_not_used_again_after_a_reset(bench):
    assert bench("once", "reviews").returncode == OK
    assert bench("reset", "reviews").returncode == OK
    assert bench("once", "reviews").returncode == OK
    with Reader(bench.kafka, bench.topic, bench.topic + ".runs") as reader:
        ids = [m.headers["ce_id"] for m in reader.to_end()]
    assert len(ids) == 4 and len(set(ids)) == 4


def test_forget_drops_the_state(bench):
    assert bench("once", "reviews").returncode == OK
    done = bench("forget", "reviews")
    assert (done.returncode, done.stdout) == (OK, "reviews: forgotten\n"), done.stderr
    assert explained(bench("explain", "reviews").stdout)["state"] == "none yet: the next run is the first"
    again = bench("forget", "reviews")
    assert again.returncode == FAILED and "there is no state of a listener reviews" in again.stderr
    assert bench("reset", "reveiws").returncode == USAGE


def test_forget_works_for_a_listener_that_left_the_config(bench):
    assert bench("once", "reviews").returncode == OK
    bench.bridge.path.write_text(bench.bridge.path.read_text().replace('name = "reviews"', 'name = "others"'))
    assert bench("forget", "reviews").returncode == OK


@pytest.mark.parametrize("command", ["reset", "forget"])
def test_without_a_state_topic_there_is_nothing_to_do(bench, command):
    start = time.monotonic()
    done = bench(command, "reviews")
    assert done.returncode == FAILED and f"{bench.group}.state" in done.stderr and "no listener has run" in done.stderr
    assert time.monotonic() - start < 15


def test_commands_refuse_while_a_service_runs(bench):
    with bench.bridge as bridge:
        bridge.await_event("run", n=2)
        for command in ("once", "reset", "forget"):
            done = bench(command, "reviews")
            assert done.returncode == REFUSED and done.stdout == "", command
            assert f"group {bench.group}" in done.stderr and "stop it first" in done.stderr
        bridge.await_event("run", n=3)
        assert bridge.stop() == 0
    runs = [(r["run"], r["query_params"]["batch_id"]) for r in bench.runs()]
    assert runs == [(i + 1, i) for i in range(len(runs))]
    assert bench("reset", "reviews").returncode == OK


# -- signals

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_orderly_and_quick(bench, number):
    with bench.bridge as bridge:
        bridge.await_event("run", n=2)
        bridge.signal(number)
        assert bridge.process.wait(5) == OK
        bridge._reader.join(5)
        assert bridge.seen("stop")
    assert bench.group_is_empty()


def test_a_stop_in_mid_scan(bench, server):
    server.fault("reviews", "scan", Hang(), after=2, times=None)
    with bench.bridge as bridge:
        eventually(lambda: len(server.asked("reviews", "scan")) >= 3, 30, "a scan that hangs")
        bridge.signal(signal.SIGTERM)
        assert bridge.process.wait(5) == OK
    assert not [e for e in bridge.events if e["level"] in ("warn", "error")]


def test_a_stop_before_kafka_has_ever_answered(server, tmp_path):
    from servers import free_port

    bench = Bench(tmp_path, f"127.0.0.1:{free_port()}", server)
    with bench.bridge as bridge:
        bridge.await_event("kafka down")
        bridge.signal(signal.SIGTERM)
        assert bridge.process.wait(10) == OK


def test_a_second_stop_is_quick_while_kafka_hangs(own_kafka, server, tmp_path):
    bench = Bench(tmp_path, own_kafka.bootstrap, server)
    with bench.bridge as bridge:
        bridge.await_event("run", n=2)
        own_kafka.pause()
        try:
            server.datasets["reviews"].records = text_records(500, batch=10)
            n = len(server.asked("reviews", "scan"))
            eventually(lambda: len(server.asked("reviews", "scan")) > n, 30, "a run that can't commit")
            bridge.signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                bridge.process.wait(1)
            start = time.monotonic()
            bridge.signal(signal.SIGTERM)
            code = bridge.process.wait(20)
            assert time.monotonic() - start < 6 and code in (OK, 5)
        finally:
            own_kafka.cont()
