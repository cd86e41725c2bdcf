"""Can a published record go back into Argilla as it is? For each task of 1.x: the message's value, sent to `:bulk` unchanged, must
leave the record and what queries find as they were: what consumers do who change a record and write it back.

The records are those of docs/examples-1.x.md, which shows users what they get."""

import json
import re

import pytest
from harness import ROOT, Bridge, Reader, config, name

# Queries that must find records before and after: the index holds more than the record shows.
FINDS = {
    "TextClassification": [
        "status:Validated", "status:Default", "annotated_as:pos", "predicted_as:neg", "predicted:ok", "predicted:ko", "annotated_by:ann",
        "predicted_by:model-1", "score:[0.7 TO 0.9]", "metadata.batch_id:0", "inputs.text:tail", "event_timestamp:[2024-01-01 TO 2024-01-02]",
    ],
    "TokenClassification": [
        "status:Validated", "status:Default", "annotated_as:PER", "predicted_as:PER", "predicted_as:LOC", "annotated_by:ann",
        "predicted_by:model-1", "metadata.batch_id:0", "tokens:Curie", "predicted:ok", "predicted:ko",
    ],
    "Text2Text": ["status:Validated", "status:Default", "annotated_by:ann", "predicted_by:model-1", "metadata.batch_id:0", "text:cat"],
}  # fmt: skip


def examples():
    """By task: the published record of the docs, a JSON block under the task's heading."""
    text = (ROOT / "docs/examples-1.x.md").read_text()
    return {task: json.loads(block) for task, block in re.findall(r"^## (\w+)$.*?^```json\n(.*?)^```$", text, re.M | re.S)}


def to_log(task, example):
    """What someone logged who then gets the example: without the server's fields. A second record has no annotation, and its
    prediction is another."""
    record = {k: v for k, v in example.items() if k not in ("last_updated", "metrics", "annotations", "predictions")}
    other = {**record, "id": 2, "status": "Default"}
    del other["annotation"]
    validated = {**record, "id": 3}
    if task == "TextClassification":
        validated["prediction"] = {"agent": "model-1", "labels": [{"class": "neg", "score": 0.8}, {"class": "pos", "score": 0.2}]}
        other["prediction"] = validated["prediction"]
    elif task == "TokenClassification":
        validated["prediction"] = {"agent": "model-1", "entities": [{"start": 0, "end": 5, "label": "LOC", "score": 0.4}]}
    else:
        other["prediction"] = {"agent": "model-1", "sentences": [{"text": "Another.", "score": 0.5}]}
    return [record, other, validated]


class Logged:
    """A dataset with the records in it, and what can be seen of them."""

    def __init__(self, argilla, task):
        self.argilla, self.task, self.dataset = argilla, task, argilla.create(name(task.lower()), task)
        self.records = to_log(task, examples()[task])
        argilla.bulk(self.dataset, self.records, task)

    def read(self):
        """Each record by GET, without what the server sets by itself."""
        found = [self.argilla.record(self.dataset, r["id"]) for r in self.records]
        return [{k: v for k, v in record.items() if k not in ("last_updated", "metrics")} for record in found]

    def search(self):
        """All records as a search shows them, with what the index knows besides: predicted_as and the like."""
        found = self.argilla.call("POST", f"/api/datasets/{self.dataset}/{self.task}:search", {"query": {}}).json()["records"]
        return {record["id"]: {k: v for k, v in record.items() if k not in ("last_updated", "metrics")} for record in found}

    def find(self, query):
        """The ids that a query finds (by the scan, which is cheap: a search brings nine aggregations)."""
        body = {"query": {"query_text": query}, "fields": ["id"], "sort_by": [{"id": "id", "order": "asc"}]}
        return [r["id"] for r in self.argilla.call("POST", f"/api/datasets/{self.dataset}/records/:search", body).json()["records"]]

    def seen(self):
        return {"by id": self.read(), "by search": self.search(), **{query: self.find(query) for query in FINDS[self.task]}}

    def publish(self, kafka, argilla_url, dir):
        topic = name("topic")
        text = config(kafka, argilla_url, [f'dataset = "{self.dataset}"; topic = "{topic}"; publish = "records";'])
        with Bridge(dir, text) as bridge, Reader(kafka, topic, topic + ".runs") as reader:
            reader.until(lambda r: r.of("run"))
            assert bridge.stop() == 0
            reader.to_end()
        return reader.of("record")

    def send_back(self, messages):
        values = b", ".join(m.raw for m in messages)
        answer = self.argilla.session.post(
            f"{self.argilla.url}/api/datasets/{self.dataset}/{self.task}:bulk", params={"workspace": self.argilla.workspace},
            data=b'{"records": [' + values + b"]}", headers={"content-type": "application/json"}, timeout=60,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        assert answer.json()["processed"] == len(messages) and answer.json()["failed"] == 0


@pytest.mark.parametrize("task", FINDS)
def test_published_record_is_the_docs_example_and_goes_back_as_it_is(kafka, argilla_url, argilla, task, tmp_path):
    logged = Logged(argilla, task)
    before = logged.seen()
    assert all(before.values()), [query for query, found in before.items() if not found]
    messages = logged.publish(kafka, argilla_url, tmp_path)
    assert len(messages) == 3

    example, value = examples()[task], messages[[m.key for m in messages].index(str(logged.records[0]["id"]))].value
    assert sorted(value) == sorted(example)
    server_sets = ("last_updated", "metrics")
    assert {k: v for k, v in value.items() if k not in server_sets} == {k: v for k, v in example.items() if k not in server_sets}

    logged.send_back(messages)
    assert logged.seen() == before
    again = logged.publish(kafka, argilla_url, tmp_path / "again")
    assert [{**m.value, "last_updated": 0} for m in again] == [{**m.value, "last_updated": 0} for m in messages]
