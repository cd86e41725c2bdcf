"""Does a record that a person annotated reach a subscriber, once, and do params move on from run to run?"""

from harness import Bridge, Reader, config, name, text_records


def test_batches_arrive_once_and_params_move_on(kafka, argilla_url, argilla, tmp_path):
    dataset, topic = argilla.create(name("reviews")), name("topic")
    argilla.bulk(dataset, text_records(300))
    text = config(kafka, argilla_url, [f'''
        name = "batches"; dataset = "{dataset}"; topic = "{topic}"; execution_interval_in_seconds = 0.5;
        query = "metadata.batch_id:{{batch_id}}"; query_params: {{ batch_id = 0; }}; condition = "search.total == 100";
        update_query_params = "ctx.query_params[\\"batch_id\\"] += 1"'''])
    with Bridge(tmp_path, text) as bridge, Reader(kafka, topic, topic + ".runs") as reader:
        reader.until(lambda r: len(r.of("run")) >= 3)
        bridge.await_event("poll", fired="false")
        assert bridge.stop() == 0
        reader.to_end()
    runs = reader.of("run")
    assert [r.value["query_params"]["batch_id"] for r in runs] == [0, 1, 2]
    assert [r.value["n_records"] for r in runs] == [100, 100, 100]
    ids = [record["id"] for m in reader.of("batch") for record in m.value["records"]]
    assert sorted(ids) == list(range(300))
