"""When Argilla answers badly, late or not at all: is it told as what it is, once? Does the listener come back by itself, nothing
lost and nothing doubled, while the others go on?"""

import itertools
from types import SimpleNamespace

import pytest
from faulty_argilla import Cut, Drop, FaultyArgilla, Hang, Status, Text, Trickle, in_seconds
from harness import Bridge, Reader, config, eventually, name, text_records

KEY = "argilla.apikey"
ONCE = 'condition = "previous == null";'
TIMEOUT_S = 1.5
# How 1.x says on a scan or a metric that it can't parse the query.
LUCENE_500 = """{"detail": {"code": "argilla.api.errors::GenericServerError", "params": {
    "type": "opensearchpy.exceptions.RequestError", "message": "RequestError(400, 'search_phase_execution_exception')"}}}"""

# On the count: what comes, how often, the class in the log, what the log says of it.
PROBE_FAULTS = {
    "unprocessable": (Status(422), 2, "bad_input", "HTTP 422"),
    "too-many": (Status(429, retry_after=3), 1, "retry", "HTTP 429"),
    "too-many-date": (Status(429, retry_after=in_seconds(3)), 1, "retry", "HTTP 429"),
    "unavailable": (Status(503), 4, "retry", "HTTP 503"),
    "internal": (Status(500), 1, "retry", "HTTP 500"),
    "lucene-500": (Status(500, LUCENE_500), 1, "bad_input", "HTTP 500"),
    "not-json": (Text("<html>Sign in</html>"), 2, "retry", "not JSON"),
    "no-total": (Text("{}"), 1, "retry", "no total"),
    "moved": (Status(307, location="https://elsewhere.example/"), 2, "bad_input", "HTTP 307"),
    "trickle": (Trickle(60), 1, "retry", "timed out"),
    "cut": (Cut(), 1, "retry", "count"),
    "unauthorized": (Status(401, f"not the key: {KEY}"), 2, "auth", "HTTP 401"),
    "forbidden": (Status(403, KEY), 2, "auth", "HTTP 403"),
}
# On the third page of five, when two are with subscribers already.
RUN_FAULTS = {
    "run-unavailable": (Status(503), "retry", "HTTP 503"),
    "run-too-many": (Status(429, retry_after=2), "retry", "HTTP 429"),
    "run-cut": (Cut(), "retry", "records/:search"),
    "run-not-json": (Text("<html>504</html>"), "retry", "not JSON"),
    "run-hang": (Hang(), "retry", "timed out"),
    "run-unauthorized": (Status(401), "auth", "HTTP 401"),
}
# What is dealt with on the spot and is no failure.
SILENT = ["run-dropped", "large-pages"]


def listener(topic, dataset, more=ONCE, interval_s=0.5):
    return f'''name = "{dataset}"; dataset = "{dataset}"; topic = "{topic}"; page_size = 10; batch_records = 10;
        execution_interval_in_seconds = {interval_s}; {more}'''


def told(bridge, dataset):
    return [e for e in list(bridge.events) if e["event"] in ("listener failing", "listener paused") and e["listener"] == dataset]


def gaps(times):
    return [b - a for a, b in itertools.pairwise(times)]


def of(reader, dataset, type):
    return [m for m in reader.of(type) if m.headers["ce_argillalistener"] == dataset]


def ids(reader, dataset):
    return sorted(record["id"] for m in of(reader, dataset, "batch") for record in m.value["records"])


@pytest.fixture(scope="module")
def scene(kafka, tmp_path_factory):
    """One bridge, each listener with a fault of its own, and a well one beside them; until all have come through."""
    topic, unfit = name("faults"), "x" * 70000
    with FaultyArgilla() as server:
        for dataset, (action, times, *_) in PROBE_FAULTS.items():
            server.add(dataset, text_records(50))
            server.fault(dataset, "count", action, times=times)
        for dataset, (action, *_) in RUN_FAULTS.items():
            server.add(dataset, text_records(50))
            server.fault(dataset, "scan", action, after=2)
        server.add("run-dropped", text_records(50))
        server.fault("run-dropped", "scan", Drop(only_reused=True), after=2)
        server.add("well", text_records(5))
        server.add("large-pages", text_records(50, metadata={"text": "x" * 10000}))
        server.add("large-record", text_records(30) + text_records(1, start=99, metadata={"text": unfit}))
        listeners = [listener(topic, d) for d in [*PROBE_FAULTS, *RUN_FAULTS, *SILENT, "missing"]]
        listeners += [listener(topic, "large-record"), listener(topic, "well", interval_s=0.25, more='condition = "true";')]
        text = config(kafka, server.url, listeners, argilla=f"timeout_ms = {int(TIMEOUT_S * 1000)}; auth_retry_s = 2; max_page_bytes = 65536;")
        with Bridge(tmp_path_factory.mktemp("faults"), text) as bridge, Reader(kafka, topic, topic + ".runs") as reader:
            eventually(lambda: len(server.asked("missing")) >= 4, 30, "4 looks at the missing dataset")
            server.add("missing", text_records(50))
            fail_once = [*PROBE_FAULTS, *RUN_FAULTS, "missing"]
            for dataset in fail_once:
                bridge.await_event("listener well again", listener=dataset, timeout_s=30)
            for dataset in [*fail_once, *SILENT, "large-record"]:
                reader.until(lambda r, d=dataset: of(r, d, "run"), 30, f"the run of {dataset}")
            # a poll more of each: what would come twice has come by then
            for dataset in fail_once:
                n = len(server.asked(dataset, "count"))
                eventually(lambda d=dataset, n=n: len(server.asked(d, "count")) >= n + 2, 30, f"two more polls of {dataset}")
            assert bridge.stop() == 0
            reader.to_end()
            yield SimpleNamespace(server=server, bridge=bridge, reader=reader)


@pytest.mark.parametrize("dataset", [*PROBE_FAULTS, *RUN_FAULTS])
def test_it_is_told_once_with_its_class_and_the_end_of_it(scene, dataset):
    class_, text = (PROBE_FAULTS.get(dataset) or RUN_FAULTS[dataset])[-2:]
    events = told(scene.bridge, dataset)
    assert [e["class"] for e in events] == [class_]
    assert events[0]["event"] == ("listener paused" if class_ == "auth" else "listener failing")
    assert events[0]["level"] == "warn"
    assert text in events[0]["error"] or dataset in events[0]["error"]
    assert text == "count" or text in events[0]["error"]
    assert len(scene.bridge.seen("listener well again", listener=dataset)) == 1


@pytest.mark.parametrize("dataset", [*PROBE_FAULTS, *RUN_FAULTS, *SILENT, "missing"])
def test_all_records_arrive_once_in_one_run(scene, dataset):
    assert ids(scene.reader, dataset) == list(range(50))
    (run,) = of(scene.reader, dataset, "run")
    assert run.value["status"] == "completed" and run.value["run"] == 1 and run.value["n_records"] == 50
    batches = [m.value["batch"] for m in of(scene.reader, dataset, "batch")]
    assert [b["index"] for b in batches] == list(range(run.value["n_batches"]))
    assert [b["last"] for b in batches] == [False] * (len(batches) - 1) + [True]


@pytest.mark.parametrize("dataset", SILENT)
def test_what_is_mended_on_the_spot_is_no_failure(scene, dataset):
    assert told(scene.bridge, dataset) == []


def test_waits_grow_from_failure_to_failure(scene):
    spoiled = [r.at for r in scene.server.asked("unavailable", "count")][:5]
    for k, gap in enumerate(gaps(spoiled)):
        assert 0.25 * 2**k - 0.01 <= gap <= 0.5 * 2**k + 1.5


def test_a_missing_dataset_is_the_listeners_fault_told_once_and_found_when_made(scene):
    (event,) = told(scene.bridge, "missing")
    assert event["class"] == "bad_input" and "HTTP 404" in event["error"] and "EntityNotFoundError" in event["error"]
    looks = scene.server.times("missing", "dataset")[:4]
    for k, gap in enumerate(gaps(looks)):
        assert gap >= 0.25 * 2**k - 0.01


@pytest.mark.parametrize("dataset", ["too-many", "too-many-date"])
def test_no_request_before_retry_after_has_passed(scene, dataset):
    spoiled, after = [(r.spoiled, r.at) for r in scene.server.asked(dataset)][1:3]  # the first found the dataset
    assert spoiled[0] and after[1] - spoiled[1] >= 2.99


def test_retry_after_holds_in_mid_run(scene):
    asked = scene.server.asked("run-too-many")
    (at,) = [i for i, r in enumerate(asked) if r.spoiled]
    assert asked[at + 1].at - asked[at].at >= 1.99


@pytest.mark.parametrize("dataset", ["unauthorized", "forbidden"])
def test_a_refused_key_pauses_the_listener(scene, dataset):
    for gap in gaps(scene.server.times(dataset)[1:4:2]):
        assert gap >= 1.99
    spoiled = [r.at for r in scene.server.asked(dataset) if r.spoiled]
    assert len(spoiled) == 2 and spoiled[1] - spoiled[0] >= 1.99


def test_a_run_goes_on_behind_what_is_published(scene):
    """Pages one and two were committed; after the fault the scan begins behind them, not at the start."""
    scans = scene.server.asked("run-unavailable", "scan")
    starts = [r for r in scans if "next_page_cfg" not in r.body]
    assert len(starts) == 1


def test_a_page_over_the_limit_is_asked_for_in_halves(scene):
    limits = [r.limit for r in scene.server.asked("large-pages", "scan")]
    assert limits[:2] == [10, 5] and set(limits[2:]) == {5}


def test_a_record_over_the_page_limit_fails_its_run_and_says_so(scene):
    event = told(scene.bridge, "large-record")[0]
    assert event["class"] == "bad_input" and "over 65536 bytes" in event["error"]
    run = of(scene.reader, "large-record", "run")[0]
    assert run.value["status"] == "failed" and "over 65536 bytes" in run.value["error"]


def test_the_well_listener_never_waited(scene):
    times = scene.server.times("well", "count")
    assert len(times) >= 20 and max(gaps(times)) < 2
    assert told(scene.bridge, "well") == []


def test_one_listeners_trouble_is_not_taken_for_the_servers(scene):
    assert scene.bridge.seen("argilla down") == [] and scene.bridge.seen("argilla up") == []


def test_each_request_carries_the_key(scene):
    assert {r.key for r in scene.server.requests} == {KEY}


def test_datasets_that_hang_delay_nobody_else(kafka, tmp_path):
    """Four hang, and only two connections may be in use: what is without progress for 2 s must not count."""
    topic, hanging = name("hang"), [f"hang-{i}" for i in range(4)]
    with FaultyArgilla() as server:
        for dataset in hanging:
            server.add(dataset, text_records(5))
            server.fault(dataset, "count", Hang(), times=None)
        server.add("well", text_records(5))
        listeners = [listener(topic, d) for d in [*hanging, "well"]]
        text = config(kafka, server.url, listeners, argilla="timeout_ms = 60000; max_connections = 2;")
        with Bridge(tmp_path, text) as bridge:
            eventually(lambda: all(server.asked(d, "count") for d in hanging), 30, "all four hang")
            n = len(server.asked("well", "count"))
            eventually(lambda: len(server.asked("well", "count")) >= n + 10, 30, "ten polls of the well one")
            since = server.times("well", "count")[n:]
            assert max(gaps(since)) < 1.5
            assert all(len(server.asked(d, "count")) == 1 for d in hanging)
            assert bridge.stop(10) == 0


def test_a_dataset_that_hangs_while_others_are_asked_seldom_is_not_a_server_that_is_down(kafka, tmp_path):
    """The others were last asked more than a second before the time-out, and were answered meanwhile."""
    topic = name("seldom")
    with FaultyArgilla() as server:
        for dataset in ("hangs", "well"):
            server.add(dataset, text_records(5))
        server.fault("hangs", "count", Hang(), times=None)
        listeners = [listener(topic, "hangs"), listener(topic, "well", interval_s=3.7)]
        with Bridge(tmp_path, config(kafka, server.url, listeners, argilla="timeout_ms = 6000;")) as bridge:
            bridge.await_event("listener failing", listener="hangs")
            assert len(server.asked("well", "count")) >= 2
            assert bridge.seen("argilla down") == []
            assert bridge.stop(10) == 0


def test_a_server_that_is_away_is_told_once_and_found_again(kafka, tmp_path):
    topic, datasets = name("away"), [f"away-{i}" for i in range(5)]
    with FaultyArgilla() as server:
        for dataset in datasets:
            server.add(dataset, text_records(50))
            server.fault(dataset, "scan", Hang(), after=2, times=1)  # away in mid-run
        text = config(kafka, server.url, [listener(topic, d) for d in datasets], level="info")
        with Bridge(tmp_path, text) as bridge, Reader(kafka, topic, topic + ".runs") as reader:
            eventually(lambda: all(len(server.asked(d, "scan")) >= 3 for d in datasets), 30, "all in mid-run")
            server.down()
            (down,) = bridge.await_event("argilla down")
            assert server.url in down["url"]
            server.up()
            bridge.await_event("argilla up")
            reader.until(lambda r: all(of(r, d, "run") for d in datasets))
            assert bridge.stop() == 0
            reader.to_end()
        for dataset in datasets:
            assert ids(reader, dataset) == list(range(50))
            assert len(of(reader, dataset, "run")) == 1
        assert len(bridge.seen("argilla down")) == len(bridge.seen("argilla up")) == 1
        assert len([e for e in bridge.events if e["level"] in ("warn", "error")]) <= 1 + len(datasets)


def test_a_closed_idle_connection_is_no_error(kafka, tmp_path):
    """The server closes connections before the next poll, and some at the very moment of their reuse."""
    topic = name("idle")
    with FaultyArgilla(idle_s=0.3) as server:
        for dataset in ("closed", "raced"):
            server.add(dataset, text_records(5))
        server.fault("raced", "scan", Drop(only_reused=True), times=None)
        text = config(kafka, server.url, [listener(topic, "closed", "", 0.7), listener(topic, "raced", "", 0.7)])
        with Bridge(tmp_path, text) as bridge, Reader(kafka, topic, topic + ".runs") as reader:
            reader.until(lambda r: len(of(r, "closed", "run")) >= 4 and len(of(r, "raced", "run")) >= 4)
            assert bridge.stop() == 0
        assert server.n_dropped >= 3
        assert [e for e in bridge.events if e["level"] in ("warn", "error")] == []


def test_a_query_that_the_server_cant_parse(kafka, argilla_url, argilla, tmp_path):
    """On a real server: 400 on the count, and 500 on the scan, where there is no condition."""
    dataset, topic = argilla.create(name("lucene")), name("topic")
    argilla.bulk(dataset, text_records(10))
    bad = f'dataset = "{dataset}"; topic = "{topic}"; execution_interval_in_seconds = 0.5; query = "text:(oh no";'
    well = f'name = "well"; dataset = "{dataset}"; topic = "{topic}"; execution_interval_in_seconds = 0.5;'
    text = config(kafka, argilla_url, [f'name = "counted"; {bad} condition = "search.total > 0"', f'name = "scanned"; {bad}', well], argilla="timeout_ms = 120000;")
    with Bridge(tmp_path, text) as bridge:
        bridge.await_event("listener failing", listener="counted")
        bridge.await_event("listener failing", listener="scanned")
        bridge.await_event("run", n=6, listener="well")
        assert bridge.stop() == 0
    (counted,), (scanned,) = told(bridge, "counted"), told(bridge, "scanned")
    assert counted["class"] == "bad_input" and "HTTP 400" in counted["error"]
    assert scanned["class"] == "bad_input" and "HTTP 500" in scanned["error"] and "RequestError(400" in scanned["error"]
