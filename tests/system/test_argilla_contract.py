"""Does the simulator answer as Argilla 1.29 does? Each test runs against both: what the bridge asks, and what tests do to datasets
beside it. A test that holds for one only is the simulator's mistake (or a change of Argilla's)."""

import json
import re
import sys
from email.utils import parsedate_to_datetime

import pytest
import requests
from harness import ROOT, Argilla, eventually, name

sys.path.append(str(ROOT / "tests/sim"))

from simulator import Sim  # noqa: E402

TASKS = ["TextClassification", "TokenClassification", "Text2Text"]
BY_ID = [{"id": "id", "order": "asc"}]
BY_STAMP = [{"id": "last_updated", "order": "asc"}, *BY_ID]


@pytest.fixture(scope="module")
def simulator(tmp_path_factory):
    with Sim(tmp_path_factory.mktemp("sim")) as sim:
        yield sim


@pytest.fixture(scope="module", params=["simulator", "argilla"])
def server(request):
    """Another client of either."""
    if request.param == "simulator":
        return Argilla(request.getfixturevalue("simulator").url)
    return Argilla(request.getfixturevalue("argilla_url"))


def labels(name, values):
    return {"agent": name, "labels": [{"class": c, "score": s} for c, s in values]}


RECORDS = [
    {"id": "a", "inputs": {"text": "hello Good world"}, "status": "Validated",
     "metadata": {"n": 1, "f": 1.5, "s": "x y", "b": True, "nest": {"p": {"q": 2}}, "l": ["u", "v"]},
     "prediction": labels("m", [("A", 0.8), ("B", 0.2)]), "annotation": labels("ann", [("A", 1.0)])},
    {"id": 10, "inputs": {"text": "two"}, "metadata": {"n": 10}, "event_timestamp": "2024-01-01T01:40:00"},
    {"id": 9, "inputs": {"text": "three", "title": "t"}, "metadata": {"n": 3}},
    {"id": "B", "inputs": {"text": "four"}, "prediction": labels("m", [("B", 0.6), ("A", 0.4)]), "annotation": labels("ann", [("A", 1.0)])},
]  # fmt: skip
IN_ORDER = [10, 9, "B", "a"]  # ids sort as text


@pytest.fixture(scope="module")
def dataset(server):
    """Four records that nobody changes."""
    dataset = server.create(name("contract"))
    server.bulk(dataset, RECORDS)
    yield dataset
    server.delete(dataset)


@pytest.fixture
def scratch(server):
    """Four records to change."""
    dataset = server.create(name("contract"))
    server.bulk(dataset, RECORDS)
    yield dataset
    server.delete(dataset)


def call(server, method, path, body=None, key=None, data=None, **params):
    headers = {} if key is None else {"X-Argilla-Api-Key": key}
    params = {"workspace": server.workspace, **params}
    url = server.url + path
    for _ in range(3):  # after its 500s Argilla closes the connection and doesn't say so
        try:
            return server.session.request(method, url, json=body, data=data, params=params, headers=headers, timeout=60)
        except requests.ConnectionError as e:
            error = e
    raise error


def search(server, dataset, query=None, task="TextClassification", **params):
    return call(server, "POST", f"/api/datasets/{dataset}/{task}:search", {"query": {"query_text": query}}, **{"limit": 0, "from": 1, **params})


def scan(server, dataset, query=None, sort=BY_ID, cursor=None, limit=100):
    body = {"query": {"query_text": query}, "fields": ["**"], "sort_by": sort}
    if cursor is not None:
        body["next_page_cfg"] = cursor
    return call(server, "POST", f"/api/datasets/{dataset}/records/:search", body, limit=limit)


def metric(server, dataset, metric, query=None, task="TextClassification"):
    return call(server, "POST", f"/api/datasets/{task}/{dataset}/metrics/{metric}:summary", {"query_text": query})


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [r["id"] for r in answer.json()["records"]]


def cursor(values, sort=BY_ID):
    return json.dumps({"sort_by": sort, "next_search_params": values})


def error(answer):
    """Its status, code and params."""
    detail = answer.json()["detail"]
    return answer.status_code, detail["code"].removeprefix("argilla.api.errors::"), detail["params"]


def shape(value):
    """Keys and types; of a list, its first element's."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return [shape(v) for v in value[:1]]
    return type(value).__name__


# ---- who, and what is there ----


def test_the_version_needs_no_key(server):
    r = requests.get(server.url + "/api/_info", timeout=30)
    assert r.status_code == 200 and r.json()["version"].startswith("1.29")


def test_each_answer_has_a_date_and_says_that_it_is_json(server, dataset):
    r = search(server, dataset)
    assert parsedate_to_datetime(r.headers["date"]) and r.headers["content-type"] == "application/json"


@pytest.mark.parametrize("key", ["", "wrong"])
def test_an_unknown_key_is_401(server, dataset, key):
    for r in (call(server, "GET", f"/api/datasets/{dataset}", key=key), call(server, "GET", "/api/me", key=key)):
        assert error(r) == (401, "UnauthorizedError", {"detail": "Could not validate credentials"})


@pytest.mark.parametrize("user, role", [("argilla", "owner"), ("annotator", "annotator")])
def test_me(server, user, role):
    me = call(server, "GET", "/api/me", key=f"{user}.apikey").json()
    assert (me["username"], me["role"], me["workspaces"]) == (user, role, ["argilla"])


def test_a_dataset_as_it_is_resolved(server, dataset):
    found = call(server, "GET", f"/api/datasets/{dataset}").json()
    assert (found["name"], found["task"], found["workspace"]) == (dataset, "TextClassification", "argilla")
    assert set(found) == {"tags", "metadata", "name", "task", "workspace", "id", "owner", "created_at", "created_by", "last_updated"}
    assert found["id"] == f"argilla.{dataset}"
    assert dataset in [d["name"] for d in call(server, "GET", "/api/datasets").json()]


@pytest.mark.parametrize("task", TASKS)
def test_datasets_are_made_and_deleted(server, task):
    dataset = name("contract")
    made = call(server, "POST", "/api/datasets", {"name": dataset, "task": task, "workspace": "argilla", "tags": {"t": "1"}, "metadata": {}})
    assert made.status_code == 200 and made.json()["tags"] == {"t": "1"} and made.json()["task"] == task
    again = call(server, "POST", "/api/datasets", {"name": dataset, "task": task, "workspace": "argilla"})
    assert error(again) == (409, "EntityAlreadyExistsError", {"name": dataset, "type": "ServiceDataset", "workspace": "argilla"})
    assert search(server, dataset, task=task).json()["total"] == 0
    assert scan(server, dataset).json()["records"] == []
    refused = call(server, "DELETE", f"/api/datasets/{dataset}", key="annotator.apikey")
    assert error(refused)[:2] == (403, "ForbiddenOperationError")
    for _ in range(2):
        assert call(server, "DELETE", f"/api/datasets/{dataset}").json() is None
    assert error(call(server, "GET", f"/api/datasets/{dataset}")) == (404, "EntityNotFoundError", {"name": dataset, "type": "ServiceDataset"})


def test_a_dataset_that_cant_be(server):
    r = call(server, "POST", "/api/datasets", {"name": "A B", "task": "Text2Text", "workspace": "argilla"})
    assert error(r)[:2] == (422, "ValidationError") and error(r)[2]["errors"][0]["loc"] == ["body", "name"]
    r = call(server, "POST", "/api/datasets", {"name": name("x"), "task": "Nope", "workspace": "argilla"})
    assert error(r)[:2] == (422, "ValidationError") and error(r)[2]["errors"][0]["loc"] == ["body", "task"]
    r = call(server, "POST", "/api/datasets", {"name": name("x"), "task": "Text2Text", "workspace": "argilla"}, key="annotator.apikey")
    assert error(r)[:2] == (403, "ForbiddenOperationError")


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("GET", "/api/datasets/{}", None),
        ("POST", "/api/datasets/{}/TextClassification:search", {}),
        ("POST", "/api/datasets/{}/TextClassification:bulk", {"records": []}),
        ("POST", "/api/datasets/{}/records/:search", {}),
        ("POST", "/api/datasets/TextClassification/{}/metrics/F1:summary", {}),
        ("GET", "/api/datasets/{}/records/a", None),
    ],
)
def test_a_missing_dataset_or_workspace(server, dataset, method, path, body):
    gone = name("gone")
    assert error(call(server, method, path.format(gone), body)) == (404, "EntityNotFoundError", {"name": gone, "type": "ServiceDataset"})
    elsewhere = call(server, method, path.format(dataset), body, workspace="nope")
    assert error(elsewhere) == (404, "EntityNotFoundError", {"name": dataset, "type": "ServiceDataset"})
    r = requests.request(method, server.url + path.format(dataset), json=body, headers=server.session.headers, timeout=30)
    assert error(r) == (400, "MissingInputParamError", {"message": "A workspace must be provided"})


def test_unknown_routes(server, dataset):
    r = call(server, "GET", "/api/nope")
    assert (r.status_code, r.json()) == (404, {"detail": "Not Found"})
    r = call(server, "POST", f"/api/datasets/{dataset}/Nope:search", {})
    assert (r.status_code, r.json()) == (404, {"detail": "Not Found"})
    r = call(server, "PUT", f"/api/datasets/{dataset}", {})
    assert (r.status_code, r.json()) == (405, {"detail": "Method Not Allowed"})


def test_another_task_is_refused(server, dataset):
    for path in (f"{dataset}/TokenClassification:search", f"{dataset}/TokenClassification:bulk", f"TokenClassification/{dataset}/metrics/F1:summary"):
        r = call(server, "POST", f"/api/datasets/{path}", {"records": []})
        assert error(r) == (400, "WrongTaskError", {"message": "Provided task TokenClassification cannot be applied to dataset"})


# ---- queries ----

QUERIES = {
    "": 4, "*": 4, "*:*": 4, "hello": 1, "HELLO": 1, "good hello": 1, "hello three": 0, "hello OR three": 2, "text:hello": 1,
    "inputs.text:three": 1, "inputs.title:t": 1, "hel*": 1, 'text:"hello good"': 1, 'text:"good hello"': 0,
    "metadata.n:1": 1, "metadata.n:[1 TO 5]": 2, "metadata.n:{1 TO 10]": 2, "metadata.n:{1 TO 10}": 1, "metadata.n:[1 TO 10}": 2,
    "metadata.n:>3": 1, "metadata.n:>=3": 2, "metadata.n:<3": 1, "metadata.n:[3 TO *]": 2, "metadata.n:*": 3,
    "metadata.s:x": 0, 'metadata.s:"x y"': 1, "metadata.s:x*": 1, "metadata.b:true": 1, "metadata.nest.p.q:2": 1,
    "metadata.l:u": 1, "metadata.f:1.5": 1, "metadata.none:1": 0, "nope:1": 0,
    "status:Validated": 1, "status:validated": 0, 'status:"Validated"': 1, "status:Val*": 1, "NOT status:Validated": 3,
    "-status:Validated": 3, "!id:a": 3, "+id:a": 1, "status:Validated OR status:Default": 4, "status:(Validated OR Default)": 4,
    "status:Validated && id:a": 1, "status:Validated || id:9": 2, "status:Default AND NOT metadata.n:10": 2,
    "(status:Default AND metadata.n:10) OR id:a": 2, "id:a": 1, "id:10": 1, "id:(a OR 10)": 2, "id:[1 TO 5]": 1, "id:a id:B": 0,
    "predicted:ok": 1, "predicted:ko": 1, "predicted_as:A": 1, "annotated_as:A": 2, "annotated_by:ann": 2, "predicted_by:m": 2,
    "score:[0.5 TO 0.6]": 1, "score:[0.5 TO 0.7}": 1, "_exists_:annotated_by": 2,
    "last_updated:[2020-01-01 TO 2099-12-31]": 4, "last_updated:[* TO 2020-01-01T00:00:00]": 0,
    "event_timestamp:[2024-01-01T01:40:00 TO *]": 1, "event_timestamp:{2024-01-01T01:40:00 TO *]": 0, "event_timestamp:[* TO 2024-01-01]": 1,
}  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_count_and_scan_agree_on_a_query(server, dataset, query):
    r = search(server, dataset, query)
    assert r.status_code == 200 and r.json() == {"total": QUERIES[query], "records": []}
    found = ids(scan(server, dataset, query))
    assert len(found) == QUERIES[query] and found == [i for i in IN_ORDER if i in found]


@pytest.mark.parametrize("query", ["status:(", "[", "{", "status:", "AND", "&&", "a:b:c", "a/b", "status:(Validated", 'text:"open'])
def test_a_query_that_cant_be_parsed(server, dataset, query):
    message = f"Failed to parse query [{query}]"
    for r in (search(server, dataset, query), metric(server, dataset, "status_distribution", query)):
        assert error(r) == (400, "InvalidTextSearchError", {"message": message})
    for r in (scan(server, dataset, query), metric(server, dataset, "F1", query)):
        status, code, params = error(r)
        assert (status, code, params["type"]) == (500, "GenericServerError", "opensearchpy.exceptions.RequestError")
        assert params["message"] == f"RequestError(400, 'search_phase_execution_exception', '{message}')"


def test_a_date_that_is_none(server, dataset):
    query = "last_updated:[notadate TO *]"
    status, code, params = error(search(server, dataset, query))
    assert (status, code) == (400, "InvalidTextSearchError") and params["message"].startswith("failed to parse date field [notadate]")
    status, code, params = error(scan(server, dataset, query))
    assert (status, code) == (500, "GenericServerError") and params["message"].startswith("RequestError(400")


@pytest.mark.parametrize("body", [None, {}, {"query": {}}, {"query": {"query_text": None}}, {"quer": {"query_text": "id:a"}}])
def test_no_query_is_everything(server, dataset, body):
    r = call(server, "POST", f"/api/datasets/{dataset}/TextClassification:search", body, limit=0, **{"from": 1})
    assert r.json() == {"total": 4, "records": []}
    assert len(ids(call(server, "POST", f"/api/datasets/{dataset}/records/:search", body))) == 4


def test_a_query_of_null(server, dataset):
    r = call(server, "POST", f"/api/datasets/{dataset}/TextClassification:search", {"query": None})
    assert error(r)[:2] == (422, "ValidationError") and error(r)[2]["errors"][0]["loc"] == ["body", "query"]
    assert len(ids(call(server, "POST", f"/api/datasets/{dataset}/records/:search", {"query": None}))) == 4


def test_malformed_json(server, dataset):
    for path in ("TextClassification:search", "TextClassification:bulk", "records/:search"):
        r = call(server, "POST", f"/api/datasets/{dataset}/{path}", data='{"records":[')
        assert error(r)[:2] == (422, "ValidationError") and error(r)[2]["errors"][0]["type"] == "json_invalid"


@pytest.mark.parametrize("params, status, code", [
    ({"limit": 1001}, 422, "ValidationError"), ({"from": 10001}, 422, "ValidationError"), ({"limit": "x"}, 422, "ValidationError"),
    ({"limit": 1, "from": 10000}, 400, "InvalidTextSearchError"),
])  # fmt: skip
def test_limits_of_a_search(server, dataset, params, status, code):
    assert error(search(server, dataset, **params))[:2] == (status, code)


def test_a_searchs_records(server, dataset):
    r = search(server, dataset, "id:(a OR 10)", limit=10, **{"from": 0}).json()
    assert r["total"] == 2 and "aggregations" in r
    records = {x["id"]: x for x in r["records"]}
    assert list(records["a"]["annotation"]["labels"][0].items()) == [("class", "A"), ("score", 1.0)]
    a, ten = (set(records[i]) for i in ("a", 10))
    always = {"id", "metadata", "status", "metrics", "last_updated", "inputs", "multi_label"}
    assert a == always | {"prediction", "annotation", "predictions", "annotations"} and ten == always | {"event_timestamp"}
    assert ids(search(server, dataset, limit=10, **{"from": 2})) != []


# ---- the scan ----


def test_a_scanned_record(server, dataset):
    a = scan(server, dataset, "id:a").json()["records"][0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", a.pop("last_updated"))
    assert a == {
        "id": "a", "inputs": {"text": "hello Good world"}, "text": "hello Good world", "status": "Validated", "multi_label": False,
        "metadata": {"n": 1, "f": 1.5, "s": "x y", "b": True, "nest.p.q": 2, "l": ["u", "v"]}, "metrics": {"text_length": 16},
        "prediction": {"agent": "m", "labels": [{"score": 0.8, "class_label": "A"}, {"score": 0.2, "class_label": "B"}]},
        "predictions": {"m": {"labels": [{"score": 0.8, "class_label": "A"}, {"score": 0.2, "class_label": "B"}]}},
        "annotation": {"agent": "ann", "labels": [{"score": 1.0, "class_label": "A"}]},
        "annotations": {"ann": {"labels": [{"score": 1.0, "class_label": "A"}]}},
    }  # fmt: skip
    nine = scan(server, dataset, "id:9").json()["records"][0]
    assert nine["text"] == "three\nt" and nine["metrics"] == {"text_length": 7} and nine["inputs"] == {"text": "three", "title": "t"}
    assert set(nine) == {"id", "inputs", "text", "status", "multi_label", "metadata", "metrics", "last_updated"}


def test_a_scan_page_by_page(server, dataset):
    seen, at = [], None
    for n in (3, 1, 0):
        r = scan(server, dataset, cursor=at, limit=3).json()
        assert list(r) == ["records", "next_idx", "next_page_cfg"] and r["next_idx"] is None and len(r["records"]) == n
        at = r["next_page_cfg"]
        seen += [x["id"] for x in r["records"]]
    assert seen == IN_ORDER
    assert json.loads(at) == {"shuffle": False, "sort_by": BY_ID, "next_search_params": ["a"]}  # of the empty page too


def test_a_cursor_made_by_hand(server, dataset):
    assert ids(scan(server, dataset, cursor=cursor(["9"]))) == ["B", "a"]
    assert ids(scan(server, dataset, cursor=cursor([9]))) == ["B", "a"]
    assert ids(scan(server, dataset, cursor=cursor(["A"]))) == ["B", "a"]  # no such record
    assert ids(scan(server, dataset, cursor=cursor(["zzz"]))) == []
    stamp = scan(server, dataset, "id:a").json()["records"][0]["last_updated"]
    assert ids(scan(server, dataset, sort=BY_STAMP, cursor=cursor([stamp, "9"], BY_STAMP))) == ["B", "a"]
    assert ids(scan(server, dataset, sort=BY_STAMP, cursor=cursor(["2020-01-01T00:00:00.123456", "zzz"], BY_STAMP))) == IN_ORDER


@pytest.mark.parametrize("garbage", ["garbage", "[1]", "{"])
def test_garbage_for_a_cursor_is_ignored(server, dataset, garbage):
    assert ids(scan(server, dataset, cursor=garbage)) == IN_ORDER


def test_a_cursor_that_is_no_text(server, dataset):
    assert error(scan(server, dataset, cursor={"a": 1}))[:2] == (422, "ValidationError")


def test_limits_of_a_scan(server, dataset):
    assert error(scan(server, dataset, limit=1001))[:2] == (422, "ValidationError")
    assert ids(scan(server, dataset, limit=0)) == IN_ORDER


def test_sorting_by_something_unknown(server, dataset):
    r = scan(server, dataset, sort=[{"id": "nope", "order": "asc"}])
    assert error(r)[:2] == (400, "BadRequestError") and error(r)[2]["message"].startswith("Wrong sort id nope.")


def test_the_order_of_last_updated(server, scratch):
    server.bulk(scratch, [{"id": 9, "inputs": {"text": "later"}}])
    assert ids(scan(server, scratch, sort=BY_STAMP)) == [10, "B", "a", 9]
    r = scan(server, scratch, sort=BY_STAMP, limit=3).json()
    params = json.loads(r["next_page_cfg"])["next_search_params"]
    assert params[0] > 10**18 and params[1] == "a"  # nanoseconds: no double holds them
    assert ids(scan(server, scratch, sort=BY_STAMP, cursor=r["next_page_cfg"])) == [9]
    old, new = (scan(server, scratch, f"id:{i}").json()["records"][0]["last_updated"] for i in ("a", 9))
    for query, found in [(f"[{old} TO *]", 4), (f"{{{old} TO *]", 1), (f"[{new} TO {new}]", 1), (f"[* TO {new}}}", 3)]:
        assert search(server, scratch, f"last_updated:{query}").json()["total"] == found, query


# ---- metrics ----


def test_f1(server, dataset):
    assert metric(server, dataset, "F1").json() == pytest.approx({
        "precision_macro": 0.5, "recall_macro": 0.25, "f1_macro": 1 / 3, "precision_micro": 0.5, "recall_micro": 0.5, "f1_micro": 0.5,
        "A_precision": 1.0, "A_recall": 0.5, "A_f1": 2 / 3, "A_support": 2, "B_precision": 0.0, "B_recall": 0.0, "B_f1": 0.0, "B_support": 0,
    })  # fmt: skip
    assert metric(server, dataset, "F1", "id:a").json()["f1_macro"] == 1.0
    assert metric(server, dataset, "F1", "id:9").json() == {}


def test_distributions(server, dataset):
    assert metric(server, dataset, "status_distribution").json() == {"Default": 3, "Validated": 1}
    assert metric(server, dataset, "status_distribution", "id:a").json() == {"Validated": 1}
    assert metric(server, dataset, "error_distribution").json() == {"unknown": 2, "ok": 1, "ko": 1}
    assert metric(server, dataset, "predicted_by").json() == {"m": 2}
    assert metric(server, dataset, "annotated_as").json() == {"A": 2}


def test_a_metric_that_isnt_there_or_has_no_body(server, dataset):
    assert error(metric(server, dataset, "Nope")) == (404, "EntityNotFoundError", {"name": "Nope", "type": "ServiceBaseMetric"})
    r = call(server, "POST", f"/api/datasets/TextClassification/{dataset}/metrics/F1:summary")
    assert error(r)[:2] == (422, "ValidationError")


# ---- writing ----


def write(server, dataset, *records, task="TextClassification"):
    return call(server, "POST", f"/api/datasets/{dataset}/{task}:bulk", {"records": list(records)})


def one(server, dataset, id):
    (record,) = scan(server, dataset, f"id:{id}").json()["records"]
    return record


def test_what_a_bulk_leaves_out(server, scratch):
    before = one(server, scratch, "a")
    assert write(server, scratch, {"id": "a", "inputs": {"title": "t"}, "metadata": {"n": 2, "new": "x"}}).json() == {
        "dataset": scratch, "processed": 1, "failed": 0}  # fmt: skip
    after = one(server, scratch, "a")
    assert after["status"] == "Default" and after["last_updated"] > before["last_updated"]
    assert after["inputs"] == {"text": "hello Good world", "title": "t"}
    assert after["metadata"] == {**before["metadata"], "n": 2, "new": "x"}
    for kept in ("prediction", "predictions", "annotation", "annotations"):
        assert after[kept] == before[kept]
    for query in ("annotated_as:A AND id:a", "annotated_by:ann AND id:a", "predicted_by:m AND id:a", "predicted:ok", "score:[0.7 TO 0.9]"):
        assert search(server, scratch, query).json()["total"] == 0, query
    assert search(server, scratch, "metadata.new:x").json()["total"] == 1


def test_a_record_goes_back_as_the_scan_gave_it(server, scratch):
    before = one(server, scratch, "a")
    assert write(server, scratch, before).status_code == 200
    after = one(server, scratch, "a")
    assert {**after, "last_updated": None} == {**before, "last_updated": None}
    assert search(server, scratch, "annotated_as:A AND status:Validated").json()["total"] == 1


def test_ids(server, scratch):
    big = 123456789012345678901234567890
    answer = write(server, scratch, {"id": "9", "inputs": {"text": "nine"}}, {"inputs": {"text": "no id"}}, {"inputs": {"text": "no id"}},
                   {"id": big, "inputs": {"text": "big"}}, {"id": big, "inputs": {"text": "bigger"}})  # fmt: skip
    assert answer.json()["processed"] == 5 and search(server, scratch).json()["total"] == 4 + 2 + 1
    assert one(server, scratch, 9)["id"] == "9" and one(server, scratch, 9)["inputs"]["title"] == "t"
    assert one(server, scratch, big)["id"] == big and one(server, scratch, big)["text"] == "bigger"


def test_all_of_a_bulk_share_a_stamp(server, scratch):
    write(server, scratch, *({"id": f"s{i}", "inputs": {"text": "x"}} for i in range(5)))
    assert len({r["last_updated"] for r in scan(server, scratch, "id:s*").json()["records"]}) == 1


def test_a_bulk_moves_the_datasets_stamp(server, scratch):
    def stamp():
        return call(server, "GET", f"/api/datasets/{scratch}").json()["last_updated"]

    first = stamp()
    assert write(server, scratch).json() == {"dataset": scratch, "processed": 0, "failed": 0}
    second = stamp()
    call(server, "PATCH", f"/api/datasets/{scratch}/records/a", {"metadata": {"p": 1}})
    assert first < second == stamp()


BASE = {"id": "b", "inputs": {"text": "x"}}
BAD = {
    "no-inputs": ({"id": "b"}, 422, "ValidationError"),
    "inputs-text": ({"id": "b", "inputs": "x"}, 422, "ValidationError"),
    "inputs-empty": ({"id": "b", "inputs": {}}, 500, "GenericServerError"),
    "status": ({**BASE, "status": "Nope"}, 422, "ValidationError"),
    "float-id": ({**BASE, "id": 1.5}, 422, "ValidationError"),
    "object-id": ({**BASE, "id": {}}, 422, "ValidationError"),
    "empty-id": ({**BASE, "id": ""}, 500, "GenericServerError"),
    "no-agent": ({**BASE, "annotation": {"labels": [{"class": "A"}]}}, 422, "ValidationError"),
    "agent-long": ({**BASE, "annotation": labels("x" * 65, [("A", 1.0)])}, 422, "ValidationError"),
    "label-empty": ({**BASE, "annotation": labels("m", [("", 1.0)])}, 422, "ValidationError"),
    "label-long": ({**BASE, "annotation": labels("m", [("x" * 129, 1.0)])}, 422, "ValidationError"),
    "score": ({**BASE, "prediction": labels("m", [("A", 2)])}, 422, "ValidationError"),
    "score-sum": ({**BASE, "prediction": labels("m", [("A", 0.9), ("B", 0.9)])}, 500, "GenericServerError"),
    "two-labels": ({**BASE, "annotation": labels("m", [("A", 1.0), ("B", 1.0)])}, 500, "GenericServerError"),
    "validated": ({**BASE, "status": "Validated"}, 500, "GenericServerError"),
    "timestamp": ({**BASE, "event_timestamp": "notadate"}, 422, "ValidationError"),
    "multi-label": ({**BASE, "multi_label": True}, 400, "BadRequestError"),
    "metadata": ({**BASE, "metadata": {f"m{i}": 1 for i in range(51)}}, 400, "MetadataLimitExceededError"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_record_that_is_refused(server, dataset, case):
    record, status, code = BAD[case]
    assert error(write(server, dataset, record))[:2] == (status, code)
    assert search(server, dataset).json()["total"] == 4


def test_long_metadata_keeps_its_end(server, scratch):
    write(server, scratch, {**BASE, "metadata": {"long": "x" * 100 + "y" * 100}, "nobody": 1})
    assert one(server, scratch, "b")["metadata"]["long"] == "x" * 28 + "y" * 100


def test_a_record_by_its_id(server, dataset):
    a = call(server, "GET", f"/api/datasets/{dataset}/records/a").json()
    assert a["annotation"] == {"agent": "ann", "labels": [{"class": "A", "score": 1.0}]} and a["status"] == "Validated"
    assert a["annotations"] == {"ann": {"agent": None, "labels": [{"class": "A", "score": 1.0}]}}
    nine = call(server, "GET", f"/api/datasets/{dataset}/records/9").json()
    assert shape(nine) == {
        "id": "int", "metadata": {"n": "int"}, "event_timestamp": "NoneType", "status": "str", "prediction": "NoneType", "annotation": "NoneType",
        "vectors": "NoneType", "predictions": "NoneType", "annotations": "NoneType", "metrics": {"text_length": "int"},
        "search_keywords": "NoneType", "last_updated": "str", "inputs": {"text": "str", "title": "str"}, "multi_label": "bool", "explanation": "NoneType",
    }  # fmt: skip
    r = call(server, "GET", f"/api/datasets/{dataset}/records/zz")
    assert error(r) == (404, "RecordNotFound", {"dataset": f"argilla.{dataset}", "id": "zz", "name": f"argilla.{dataset}.zz", "type": "Record"})
    assert call(server, "GET", f"/api/datasets/{dataset}/records/a%2Fb").status_code == 404


def test_a_patch_merges_metadata_and_nothing_else(server, scratch):
    before = one(server, scratch, "a")
    r = call(server, "PATCH", f"/api/datasets/{scratch}/records/a", {"metadata": {"patched": 1}, "status": "Discarded"})
    assert r.status_code == 200 and r.json()["id"] == "a" and r.json()["status"] == "Discarded"
    eventually(lambda: search(server, scratch, "metadata.patched:1").json()["total"] == 1, 10, "the patched record")
    assert one(server, scratch, "a") == {**before, "metadata": {**before["metadata"], "patched": 1}}
    assert search(server, scratch, "annotated_as:A AND id:a").json()["total"] == 1
    assert error(call(server, "PATCH", f"/api/datasets/{scratch}/records/zz", {"metadata": {}}))[:2] == (404, "RecordNotFound")
    assert error(call(server, "PATCH", f"/api/datasets/{scratch}/records/a", {"status": "Nope"}))[:2] == (422, "ValidationError")


def test_discarding(server, scratch):
    before = one(server, scratch, "a")
    r = call(server, "DELETE", f"/api/datasets/{scratch}/data", {"ids": ["a", "nope"]}, key="annotator.apikey", mark_as_discarded="true")
    assert r.json() == {"matched": 1, "processed": 1}
    eventually(lambda: search(server, scratch, "status:Discarded").json()["total"] == 1, 10, "the discarded record")
    after = one(server, scratch, "a")
    assert after["status"] == "Discarded" and after["last_updated"] == before["last_updated"] and after["annotation"] == before["annotation"]
    assert search(server, scratch, "annotated_as:A").json()["total"] == 1
    assert write(server, scratch, before).status_code == 200
    assert search(server, scratch, "annotated_as:A").json()["total"] == 2


def test_deleting(server, scratch):
    path = f"/api/datasets/{scratch}/data"
    assert error(call(server, "DELETE", path, {"ids": ["a"]}, key="annotator.apikey"))[:2] == (403, "ForbiddenOperationError")
    assert error(call(server, "DELETE", path, {"query_text": "status:("})) == (
        400, "InvalidTextSearchError", {"message": "Failed to parse query [status:(]"})  # fmt: skip
    assert call(server, "DELETE", path, {"query_text": "id:nothinglikeit"}).json() == {"matched": 0, "processed": 0}
    assert call(server, "DELETE", path, {"ids": [9]}).json() == {"matched": 1, "processed": 1}
    eventually(lambda: ids(scan(server, scratch)) == [10, "B", "a"], 10, "one less")
    assert call(server, "DELETE", path, {"query_text": "id:B"}).json() == {"matched": 1, "processed": 1}
    eventually(lambda: ids(scan(server, scratch)) == [10, "a"], 10, "two less")
    assert call(server, "DELETE", path, {"idz": ["x"]}).json() == {"matched": 2, "processed": 2}  # everything
    eventually(lambda: search(server, scratch).json()["total"] == 0, 10, "nothing left")


TASK_RECORDS = {
    "TokenClassification": {
        "id": "t", "text": "Ana vive en Lima", "tokens": ["Ana", "vive", "en", "Lima"], "status": "Validated",
        "prediction": {"agent": "m", "entities": [{"start": 0, "end": 3, "label": "PER", "score": 0.8}]},
        "annotation": {"agent": "ann", "entities": [{"start": 0, "end": 3, "label": "PER"}]},
    },
    "Text2Text": {
        "id": "t", "text": "a long text", "status": "Validated",
        "prediction": {"agent": "m", "sentences": [{"text": "short", "score": 0.6}]},
        "annotation": {"agent": "ann", "sentences": [{"text": "shorter"}]},
    },
}  # fmt: skip


@pytest.mark.parametrize("task", TASK_RECORDS)
def test_other_tasks(server, task):
    dataset = server.create(name("contract"), task)
    try:
        assert write(server, dataset, TASK_RECORDS[task], task=task).json()["processed"] == 1
        (record,) = scan(server, dataset, "status:Validated").json()["records"]
        values = "entities" if task == "TokenClassification" else "sentences"
        keys = {"start", "end", "label", "score"} if values == "entities" else {"text", "score"}
        assert set(record["annotation"][values][0]) == keys and record["annotation"][values][0]["score"] == 1.0
        assert record["annotations"] == {"ann": {values: record["annotation"][values]}} and "text_length" in record["metrics"]
        always = {"id", "text", "status", "prediction", "predictions", "annotation", "annotations", "metrics", "last_updated"}
        assert set(record) == always | ({"tokens"} if "tokens" in TASK_RECORDS[task] else set())
        if values == "entities":
            f1 = metric(server, dataset, "F1", task=task).json()
            assert f1["f1_macro"] == 1.0 and f1["PER_f1"] == 1.0
        assert write(server, dataset, {"id": "x"}, task=task).status_code == 422
        assert call(server, "GET", f"/api/datasets/{dataset}/records/t").json()["text"] == record["text"]
    finally:
        server.delete(dataset)


# ---- what deliver = changes asks ----


@pytest.mark.parametrize("path", ["TextClassification:search", "records/:search"])
def test_a_search_by_ids_looks_at_nothing_else(server, scratch, path):
    server.bulk(scratch, [{"id": id, "inputs": {"text": "x"}} for id in ("a/b", ".", "..", "q\"u\\")])

    def found(ids, text=None):
        body = {"query": {"ids": ids, "query_text": text}, "sort_by": BY_ID, "fields": ["id"]}
        answer = call(server, "POST", f"/api/datasets/{scratch}/{path}", body, limit=100)
        assert answer.status_code == 200, answer.text
        return sorted(str(r["id"]) for r in answer.json()["records"])

    assert found(["a/b", ".", "nope"]) == [".", "a/b"]
    assert found(["..", "q\"u\\", 9, "10"]) == ["..", "10", "9", "q\"u\\"]
    assert found(["a"], "status:Discarded") == ["a"]
    assert found(["nope"]) == []
    assert len(found([])) == 8, "no ids are all records"


def test_a_search_by_id_counts_without_records(server, dataset):
    for id, n in (("a", 1), ("9", 1), ("nope", 0), ("a/b", 0)):
        answer = call(server, "POST", f"/api/datasets/{dataset}/TextClassification:search", {"query": {"ids": [id]}}, limit=0, **{"from": 1})
        assert answer.json()["total"] == n, id


def test_a_range_of_stamps_includes_both_ends(server, scratch):
    stamp = server.record(scratch, "a")["last_updated"]
    before, after = stamp[:-1] + str((int(stamp[-1]) - 1) % 10), "2099-01-01T00:00:00.000Z"
    for query, n in (
        (f"last_updated:[{stamp}Z TO {stamp}Z]", 4),  # all of one bulk have the same
        (f"last_updated:[{stamp} TO *]", 4),
        (f"(metadata.n:[3 TO 10]) AND last_updated:[2026-01-01T00:00:00.000Z TO {after}]", 2),
        (f"(metadata.n:3 OR metadata.n:10) AND last_updated:[{after} TO *]", 0),
        (f"last_updated:[2026-01-01T00:00:00.000Z TO {before}]" if stamp[-1] != "0" else "last_updated:[* TO 2026-01-01]", 0),
    ):
        assert search(server, scratch, query).json()["total"] == n, query
        assert len(ids(scan(server, scratch, query))) == n, query


def test_what_moves_a_stamp(server, scratch):
    def stamps():
        return {r["id"]: r["last_updated"] for r in scan(server, scratch).json()["records"]}

    first = stamps()
    call(server, "PATCH", f"/api/datasets/{scratch}/records/a", {"metadata": {"p": 1}})
    assert stamps() == first
    server.bulk(scratch, [RECORDS[1]])
    assert {id for id, at in stamps().items() if at != first[id]} == {10}


def test_a_dataset_made_anew_has_another_time(server):
    def identity():
        d = call(server, "GET", f"/api/datasets/{dataset}").json()
        return d["id"], d["created_at"]

    dataset = server.create(name("contract"))
    first = identity()
    server.bulk(dataset, RECORDS)
    assert identity() == first
    server.delete(dataset)
    server.create(dataset)
    assert identity()[0] == first[0] and identity()[1] != first[1]
    server.delete(dataset)
