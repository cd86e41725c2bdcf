"""Holds the messages of a deliver = changes listener to what it promises: folded by key they are what the query finds, and no version
of a record comes twice in a row."""

import json


def canonical(record):
    """What a version says: without the server's own members, keys in order."""
    return json.dumps({k: v for k, v in record.items() if k not in ("last_updated", "metrics")}, sort_keys=True)


def steps(messages):
    """Per id (text), in the order of the topic: canonical versions, and None for a tombstone. One partition, or keyed by id."""
    found = {}
    for m in sorted(messages, key=lambda m: (m.topic, m.partition, m.offset)):
        if m.type == "record":
            found.setdefault(m.key, []).append(canonical(m.value))
        elif m.type == "batch":
            for record in m.value["records"]:
                found.setdefault(str(record["id"]), []).append(canonical(record))
        elif m.type in ("record.deleted", "record.removed"):
            found.setdefault(m.key, []).append(None)
    return found


def fold(messages):
    """id → version, as a reader of the topic ends up with; checks the steps on the way."""
    end = {}
    for id, versions in steps(messages).items():
        twice = [i for i in range(1, len(versions)) if versions[i] == versions[i - 1]]
        assert not twice, f"{id}: {'a tombstone' if versions[twice[0]] is None else 'a version'} twice: {versions[twice[0] - 1:twice[0] + 1]}"
        assert versions[0] is not None, f"{id}: begins with a tombstone"
        if versions[-1] is not None:
            end[id] = versions[-1]
    return end


def held_by(argilla, dataset, query=None):
    """id → version, as Argilla holds them."""
    found, cursor = {}, None
    while True:
        body = {"query": {"query_text": query}, "fields": ["**"], "sort_by": [{"id": "id", "order": "asc"}]}
        if cursor:
            body["next_page_cfg"] = cursor
        page = argilla.call("POST", f"/api/datasets/{dataset}/records/:search", body, limit=1000).json()
        if not page["records"]:
            return found
        found |= {str(r["id"]): canonical(r) for r in page["records"]}
        cursor = page["next_page_cfg"]


def assert_same(folded, held):
    missing, extra = held.keys() - folded.keys(), folded.keys() - held.keys()
    assert not missing and not extra, f"missing {sorted(missing)[:10]}, too many {sorted(extra)[:10]}"
    wrong = [id for id in held if folded[id] != held[id]]
    assert not wrong, f"{len(wrong)} are of another version, e.g. {wrong[0]}: {folded[wrong[0]]} and not {held[wrong[0]]}"
