"""What do subscribers get: how are records cut into messages, what do they carry, and when does a listener fire?

That each message fits schemas/ is checked with every Reader's close, as are ce_ids that stand for two messages."""

import json
import threading

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from harness import Bridge, Reader, config, eventually, name, text_records

# Each as JSON, since a test's own int or str could hide a change of type.
ODD_IDS = [
    '"a\\"b"', '"r/1?x=1&y#z"', '"\\u00e9\\u00fc"', '"\\u65e5\\u672c"', '"\\ud83d\\ude00"', '"back\\\\slash"', '"tab\\there"', '" space "',
    '"line\\nbreak"', '"nul\\u0000a"', '"nul\\u0000b"', '"007"', '"null"', "7", "-5", "9007199254740993", "9223372036854775807", "18446744073709551617",
]  # fmt: skip


def listener(dataset, topic, more="", listener_name=None, interval_s=600):
    """One that fires once, at the start, unless told otherwise."""
    title = f'name = "{listener_name}"; ' if listener_name else ""
    return f'{title}dataset = "{dataset}"; topic = "{topic}"; execution_interval_in_seconds = {interval_s}; {more}'


def published(kafka, tmp_path, text, topics, n_runs=1):
    """Runs the bridge until there are n_runs run messages, stops it; all of the topics' messages, and the bridge."""
    with Bridge(tmp_path, text) as bridge, Reader(kafka, *topics, *(t + ".runs" for t in topics)) as reader:
        reader.until(lambda r: len(r.of("run")) >= n_runs, what=f"{n_runs} runs")
        assert bridge.stop() == 0
        reader.to_end()
    return reader, bridge


def ids(messages):
    return [r["id"] for m in messages for r in m.value["records"]]


def the(messages):
    """The only one."""
    assert len(messages) == 1, messages
    return messages[0]


def assert_in_order(batches):
    """Indexes from 0 without gaps, and only the last one is the last."""
    assert [b.value["batch"]["index"] for b in batches] == list(range(len(batches)))
    assert [b.value["batch"]["last"] for b in batches] == [False] * (len(batches) - 1) + [True]


def scan(argilla, dataset, limit=500):
    """A page as the bridge asks for it: its text."""
    body = {"query": {"query_text": None}, "fields": ["**"], "sort_by": [{"id": "id", "order": "asc"}]}
    return argilla.call("POST", f"/api/datasets/{dataset}/records/:search", body, limit=limit).content.decode()


def cut_records(page):
    """The records' texts, out of the page's text, as they stand there."""
    at, decoder, found = page.index('"records":[') + len('"records":['), json.JSONDecoder(), []
    while page[at] != "]":
        end = decoder.raw_decode(page, at)[1]
        found.append(page[at:end])
        at = end + (page[end] == ",")
    return found


@pytest.fixture(scope="module")
def reviews(argilla):
    """25 records, of which one has more bytes than most limits here."""
    dataset, records = argilla.create(name("reviews")), text_records(25)
    records[7]["inputs"]["text"] = "long " * 1000
    argilla.bulk(dataset, records)
    return dataset


@pytest.fixture(scope="module")
def long_reviews(argilla):
    """3000 records: time enough to write or to die while they are read."""
    dataset = argilla.create(name("long-reviews"))
    argilla.bulk(dataset, text_records(3000), chunk=1500)
    return dataset


@pytest.fixture(scope="module")
def odd_ids(argilla):
    dataset, record = argilla.create(name("odd-ids")), json.dumps(text_records(1)[0])
    records = ", ".join(record.replace('"id": 0', f'"id": {id}') for id in ODD_IDS)
    argilla.session.post(
        f"{argilla.url}/api/datasets/{dataset}/TextClassification:bulk", params={"workspace": argilla.workspace},
        data=f'{{"records": [{records}]}}'.encode(), headers={"content-type": "application/json"},
    ).raise_for_status()  # fmt: skip
    return dataset


@pytest.fixture
def topics(kafka):
    """Makes topics: topics(name, config={...}, partitions=1)."""
    admin = AdminClient({"bootstrap.servers": kafka})

    def make(topic, partitions=1, **settings):
        new = NewTopic(topic, partitions, config={k.replace("_", "."): v for k, v in settings.items()})
        admin.create_topics([new])[topic].result(30)
        eventually(lambda: topic in admin.list_topics(timeout=10).topics, 30, f"topic {topic}")
        return topic

    return make


def topic_settings(kafka, topic):
    admin, resource = AdminClient({"bootstrap.servers": kafka}), ConfigResource(ResourceType.TOPIC, topic)
    entries = admin.describe_configs([resource])[resource].result(30)
    return {k: e.value for k, e in entries.items()}


# How records are cut into batches


def test_batches_are_cut_by_count(kafka, argilla_url, reviews, tmp_path):
    """In one page, and with pages that are smaller than a batch."""
    one, small = name("one-page"), name("small-pages")
    text = config(kafka, argilla_url, [
        listener(reviews, one, "batch_records = 10;", "one"), listener(reviews, small, "batch_records = 10; page_size = 4;", "small"),
    ])  # fmt: skip
    reader, _ = published(kafka, tmp_path, text, [one, small], n_runs=2)
    for title, sizes in {"one": [10, 10, 5], "small": [4, 4, 4, 4, 4, 4, 1]}.items():
        batches = reader.of("batch", ce_argillalistener=title)
        assert_in_order(batches)
        assert [len(b.value["records"]) for b in batches] == sizes
        assert ids(batches) == sorted(range(25), key=str)
        run = the(reader.of("run", ce_argillalistener=title)).value
        assert (run["n_matched"], run["n_records"], run["n_batches"], run["n_oversize"]) == (25, 25, len(sizes), 0)


def test_batches_are_cut_by_bytes(kafka, argilla_url, argilla, reviews, tmp_path):
    """Each is as large as fits; only a record that alone is more than batch_bytes is in a larger one, alone."""
    topic, limit = name("topic"), 3000
    reader, _ = published(kafka, tmp_path, config(kafka, argilla_url, [listener(reviews, topic, f"batch_bytes = {limit};")]), [topic])
    batches, records = reader.of("batch"), cut_records(scan(argilla, reviews))
    assert_in_order(batches)
    assert ids(batches) == [json.loads(r)["id"] for r in records]
    assert [len(b.value["records"]) for b in batches if len(b.raw) > limit] == [1]
    assert any(len(b.value["records"]) > 1 for b in batches)
    for before, after in zip(batches, batches[1:], strict=False):
        n = sum(len(b.value["records"]) for b in batches[: after.value["batch"]["index"]])
        # what envelope_end adds is counted by its limit of 96 bytes, most of which these small numbers don't need
        assert len(before.raw) + len(records[n].encode()) + 1 > limit - 96


def test_key_of_batches_is_the_listener_or_none(kafka, argilla_url, reviews, tmp_path):
    keyed, spread, more = name("keyed"), name("spread"), "batch_records = 5; topic_partitions = 3;"
    text = config(kafka, argilla_url, [
        listener(reviews, keyed, more, "a"), listener(reviews, spread, more + 'batch_key = "none";', "b"),
    ])  # fmt: skip
    reader, _ = published(kafka, tmp_path, text, [keyed, spread], n_runs=2)
    batches = reader.of("batch", ce_argillalistener="a")
    assert {b.key for b in batches} == {"a"} and len({b.partition for b in batches}) == 1
    assert_in_order(batches)
    batches = reader.of("batch", ce_argillalistener="b")
    assert {b.key for b in batches} == {None}
    assert_in_order(sorted(batches, key=lambda b: b.value["batch"]["index"]))
    assert {r.key for r in reader.of("run")} == {"a", "b"}


# One message a record


def test_records_go_out_byte_for_byte(kafka, argilla_url, argilla, odd_ids, tmp_path):
    """Also what a query for words has found: the server must not be made to add which words those were."""
    every, found = name("every"), name("found")
    text = config(kafka, argilla_url, [
        listener(odd_ids, every, 'publish = "records";', "every"),
        listener(odd_ids, found, 'publish = "records"; query = "record AND inputs.text:bad";', "found"),
    ])  # fmt: skip
    reader, _ = published(kafka, tmp_path, text, [every, found], n_runs=2)
    scanned = {str(json.loads(text)["id"]): text for text in cut_records(scan(argilla, odd_ids))}
    assert sorted(scanned) == sorted(str(json.loads(id)) for id in ODD_IDS)
    for title in ("every", "found"):
        assert {m.key: m.raw.decode() for m in reader.of("record", ce_argillalistener=title)} == scanned
        assert the(reader.of("run", ce_argillalistener=title)).value["n_records"] == len(ODD_IDS)


def test_ids_keep_their_type_and_every_digit(kafka, argilla_url, odd_ids, tmp_path):
    """In records, in batches across pages whose cursors hold such ids, and in oversize_ids."""
    single, paged, none = name("single"), name("paged"), name("none")
    text = config(kafka, argilla_url, [
        listener(odd_ids, single, 'publish = "records"; page_size = 1;', "single"),
        listener(odd_ids, paged, "page_size = 2;", "paged"),
        listener(odd_ids, none, 'project = "{id: 1, pad: (\\"x\\" * 5000)}"; max_message_bytes = 3000;', "none"),
    ])  # fmt: skip
    reader, _ = published(kafka, tmp_path, text, [single, paged, none], n_runs=3)
    expected = sorted((json.loads(id) for id in ODD_IDS), key=str)
    assert sorted((m.value["id"] for m in reader.of("record")), key=str) == expected
    assert sorted(ids(reader.of("batch", ce_argillalistener="paged")), key=str) == expected
    assert sorted(the(reader.of("run", ce_argillalistener="none")).value["oversize_ids"], key=str) == expected


def test_too_large_records_are_named_and_the_others_sent(kafka, argilla_url, reviews, topics, tmp_path):
    """Too large for max_message_bytes, as records or in batches, or for what the topic takes."""
    limit = "max_message_bytes = 3000;"
    small = topics(name("small"), max_message_bytes="5000")
    a, b = name("a"), name("b")
    text = config(kafka, argilla_url, [
        listener(reviews, a, limit, "a"), listener(reviews, b, limit + 'publish = "records";', "b"), listener(reviews, small, "", "c"),
    ])  # fmt: skip
    reader, bridge = published(kafka, tmp_path, text, [a, b, small], n_runs=3)
    expected = sorted(set(range(25)) - {7}, key=str)
    assert ids(reader.of("batch", ce_argillalistener="a")) == expected
    assert ids(reader.of("batch", ce_argillalistener="c")) == expected
    assert [m.value["id"] for m in reader.of("record", ce_argillalistener="b")] == expected
    for title in "abc":
        run = the(reader.of("run", ce_argillalistener=title)).value
        assert (run["status"], run["n_matched"], run["n_records"], run["n_oversize"]) == ("completed", 25, 24, 1)
        assert run["oversize_ids"] == [7]
        line = bridge.seen("record too large, not sent", listener=title)
        assert [(e["id"], e["level"]) for e in line] == [("7", "warn")]
    assert all(len(m.raw) <= 3000 for m in reader.messages if m.topic in (a, b))


def test_project_shapes_what_is_sent(kafka, argilla_url, reviews, tmp_path):
    batches, records, project = name("batches"), name("records"), 'project = "{id, batch: .metadata.batch_id}";'
    text = config(kafka, argilla_url, [
        listener(reviews, batches, project, "batches"), listener(reviews, records, project + 'publish = "records";', "records"),
    ])  # fmt: skip
    reader, _ = published(kafka, tmp_path, text, [batches, records], n_runs=2)
    expected = [{"id": i, "batch": 0} for i in sorted(range(25), key=str)]
    assert the(reader.of("batch")).value["records"] == expected
    assert [m.value for m in reader.of("record")] == expected
    assert [m.key for m in reader.of("record")] == [str(r["id"]) for r in expected]


# When it fires, and what is sent then


def test_previous_makes_it_fire_on_change_only(kafka, argilla_url, argilla, tmp_path):
    """Null before the first run: null.search.total is null, and no total equals that."""
    dataset, topic = argilla.create(name("growing")), name("topic")
    argilla.bulk(dataset, text_records(3))
    more = 'condition = "search.total != previous.search.total"; update_query_params = "ctx.query_params.seen = (previous.run // 0)"; query_params: { seen = 0; };'
    text = config(kafka, argilla_url, [listener(dataset, topic, more, "growth", interval_s=0.2)])
    with Bridge(tmp_path, text) as bridge, Reader(kafka, topic, topic + ".runs") as reader:
        for n_runs in (1, 2):
            reader.until(lambda r, n=n_runs: len(r.of("run")) == n)
            quiet = len(bridge.seen("poll", fired="false"))
            bridge.await_event("poll", n=quiet + 3, fired="false")
            if n_runs == 1:
                argilla.bulk(dataset, text_records(2, start=3))
        assert bridge.stop() == 0
    with Bridge(tmp_path, text) as bridge, Reader(kafka, topic, topic + ".runs") as reader:  # it is durable
        bridge.await_event("poll", n=2, fired="false")
        assert bridge.stop() == 0
        reader.to_end()
    runs = [m.value for m in reader.of("run")]
    assert [r["search"]["total"] for r in runs] == [3, 5]
    assert [r["next_query_params"]["seen"] for r in runs] == [0, 1]
    assert [len(b.value["records"]) for b in reader.of("batch")] == [3, 5]


def test_runs_without_records_are_their_run_message_only(kafka, argilla_url, reviews, tmp_path):
    """query_records = false, or nothing matched."""
    topic, none = name("topic"), name("none")
    text = config(kafka, argilla_url, [
        listener(reviews, topic, 'query_records = false; condition = "search.total == 25";', "counts"),
        listener(reviews, none, 'query = "metadata.batch_id:77"; metrics = ["status_distribution"];', "finds-none"),
    ])  # fmt: skip
    reader, _ = published(kafka, tmp_path, text, [topic, none], n_runs=2)
    assert [m.type for m in reader.messages] == ["run", "run"]
    for title, total in {"counts": 25, "finds-none": 0}.items():
        run = the(reader.of("run", ce_argillalistener=title)).value
        assert (run["search"]["total"], run["n_matched"], run["n_records"], run["n_batches"]) == (total, 0, 0, 0)
        assert (run["status"], run["oversize_ids"]) == ("completed", [])
    assert topic not in AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics


def test_metrics_are_in_each_message(kafka, argilla_url, argilla, reviews, tmp_path):
    topic = name("topic")
    more = 'metrics = ["F1", "status_distribution"]; condition = "metrics.F1.f1_macro < 1 and metrics.status_distribution.Validated == 7"; batch_records = 20;'
    reader, _ = published(kafka, tmp_path, config(kafka, argilla_url, [listener(reviews, topic, more)]), [topic])
    expected = {
        metric: argilla.call("POST", f"/api/datasets/TextClassification/{reviews}/metrics/{metric}:summary", {}).json()
        for metric in ("F1", "status_distribution")
    }
    assert [m.value["metrics"] for m in reader.of("batch") + reader.of("run")] == [expected] * 3


# Pages


def test_page_that_is_too_large_is_asked_for_in_halves(kafka, argilla_url, argilla, tmp_path):
    dataset, topic = argilla.create(name("heavy")), name("topic")
    records = text_records(60)
    for record in records:
        record["inputs"]["text"] += " heavy" * 600
    argilla.bulk(dataset, records)
    assert len(scan(argilla, dataset, limit=25)) > 65536
    text = config(kafka, argilla_url, [listener(dataset, topic, "page_size = 50;")], argilla="max_page_bytes = 65536;")
    reader, _ = published(kafka, tmp_path, text, [topic])
    assert ids(reader.of("batch")) == sorted(range(60), key=str)
    assert_in_order(reader.of("batch"))
    assert the(reader.of("run")).value["n_records"] == 60


def test_scan_ends_while_every_record_is_written_back(kafka, argilla_url, argilla, long_reviews, tmp_path):
    """A scan in the order of writing would never end: each record that is written comes again. Each must come once."""
    topic, stop, written = name("topic"), threading.Event(), set()

    def write():
        while not stop.is_set():
            for at in range(0, 3000, 500):
                if not stop.is_set():
                    argilla.bulk(long_reviews, text_records(500, start=at))
                    written.add(at)

    writer = threading.Thread(target=write)
    text = config(kafka, argilla_url, [listener(long_reviews, topic, "page_size = 200;")])
    with Bridge(tmp_path, text) as bridge, Reader(kafka, topic, topic + ".runs") as reader:
        writer.start()
        try:
            reader.until(lambda r: r.of("run"), timeout_s=120)
        finally:
            stop.set()
            writer.join()
        assert bridge.stop() == 0
    run = the(reader.of("run")).value
    assert (run["status"], run["n_records"]) == ("completed", 3000)
    assert sorted(ids(reader.of("batch"))) == list(range(3000))
    assert len(written) == 6, "the run was over before all was written once"


# Topics


def test_topics_are_made_as_the_config_says(kafka, argilla_url, reviews, tmp_path):
    topic, plain = name("topic"), name("plain")
    text = config(kafka, argilla_url, [
        listener(reviews, topic, 'publish = "records"; topic_partitions = 3; topic_cleanup_policy = "compact";', "a"),
        listener(reviews, plain, "", "b"),
    ], bridge="topic_partitions = 2;")  # fmt: skip
    reader, _ = published(kafka, tmp_path, text, [topic, plain], n_runs=2)
    known = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=10).topics
    assert {t: (len(known[t].partitions), topic_settings(kafka, t)["cleanup.policy"]) for t in (topic, plain)} == {
        topic: (3, "compact"), plain: (2, "delete"),
    }  # fmt: skip
    assert topic_settings(kafka, topic + ".runs")["cleanup.policy"] == "delete"
    assert {m.partition for m in reader.of("record")} == {0, 1, 2}


def test_missing_topic_is_its_listeners_error_only(kafka, argilla_url, reviews, topics, tmp_path):
    group, missing, there = name("group"), name("missing"), topics(name("there"))
    topics(there + ".runs")
    topics(group + ".state", partitions=8, cleanup_policy="compact")
    text = config(kafka, argilla_url, [
        listener(reviews, missing, "", "lacks", interval_s=0.5), listener(reviews, there, "", "has", interval_s=0.5),
    ], group=group, bridge="create_topics = false;")  # fmt: skip
    with Bridge(tmp_path, text) as bridge, Reader(kafka, missing, missing + ".runs", there, there + ".runs") as reader:
        line = bridge.await_event("listener failing", listener="lacks")[0]
        assert f"topic {missing} does not exist (and bridge.create_topics is false)" in line["error"]
        n = len(reader.poll().of("run"))
        reader.until(lambda r: len(r.of("run")) >= n + 2)
        assert {m.topic for m in reader.messages} == {there, there + ".runs"}
        topics(missing)
        topics(missing + ".runs")
        reader.until(lambda r: r.of("run", ce_argillalistener="lacks"))
        bridge.await_event("listener well again", listener="lacks")
        assert len(bridge.seen("listener failing", listener="lacks")) <= 2  # told when it changes, not at each poll
        assert not bridge.seen("listener failing", listener="has")
        assert bridge.stop() == 0


# Identity


def test_ce_ids_stay_the_same_over_a_kill_and_are_new_after_a_reset(kafka, argilla_url, long_reviews, tmp_path):
    """Whoever goes on with a run gives its messages the ids that they would have had."""
    topic = name("topic")
    text = config(kafka, argilla_url, [listener(long_reviews, topic, 'query = "metadata.batch_id:[0 TO 4]"; page_size = 10;', "ids")])
    with Reader(kafka, topic, topic + ".runs") as reader:
        with Bridge(tmp_path, text) as bridge:
            reader.until(lambda r: len(r.of("batch")) >= 3)
            bridge.kill()
        assert not reader.of("run")
        with Bridge(tmp_path, text) as bridge:
            reader.until(lambda r: r.of("run"))
            assert bridge.stop() == 0
        first = [f"ids.1.1.batch.{i}" for i in range(50)]
        assert [m.headers["ce_id"] for m in reader.of("batch")] == first
        assert the(reader.of("run")).headers["ce_id"] == "ids.1.1.run.end"
        assert Bridge(tmp_path, text).command("reset", "ids").returncode == 0
        with Bridge(tmp_path, text) as bridge:
            reader.until(lambda r: len(r.of("run")) == 2)
            assert bridge.stop() == 0
        reader.to_end()
    found = [m.headers["ce_id"] for m in reader.of("batch")]
    assert len(set(found)) == len(found) == 100
    assert reader.of("run")[1].headers["ce_id"] == "ids.2.2.run.end"
