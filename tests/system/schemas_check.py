"""Holds messages against schemas/: what subscribers rely on. A Reader does so with all that it saw when it is closed, so each
system test is one of the schemas too."""

import datetime
import json
from pathlib import Path

from jsonschema import Draft202012Validator, FormatChecker

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
PREFIX = "urn:argilla-bridge:schema:"

formats = FormatChecker(formats=())


@formats.checks("date-time", raises=ValueError)
def _is_date_time(value):
    """RFC 3339 in UTC; jsonschema itself checks it only with one more package."""
    if isinstance(value, str):
        datetime.datetime.fromisoformat(value)
        if not value.endswith("Z"):
            raise ValueError("no Z")
    return True


def _validator(path):
    schema = json.loads(path.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=formats)


validators = {p.name.removesuffix(".schema.json"): _validator(p) for p in SCHEMAS.glob("*.schema.json")}


def errors(kind, instance):
    """What is wrong with `instance` as a `kind` (batch, record, run, headers): texts."""
    return [f"{kind} {e.json_path}: {e.message[:300]}" for e in validators[kind].iter_errors(instance)]


def _message_errors(m):
    """Besides the schemas, what they can't say: header, key and value tell the same."""
    wrong = errors("headers", m.headers)
    if wrong:
        return wrong
    if m.type in ("record.deleted", "record.removed"):
        return [] if m.raw is None and m.key == m.headers["ce_subject"] else ["a tombstone with a value, or with another key than its subject"]
    kind = m.headers["ce_dataschema"].removeprefix(PREFIX).removesuffix(":1")
    if kind != m.type and (m.type, kind) != ("record", "projection"):
        return [f"ce_dataschema is {m.headers['ce_dataschema']!r} for a {m.type}"]
    wrong = errors(kind, m.value)
    expected = {}
    if m.type == "record":
        expected["ce_subject"] = m.key
    elif not wrong:
        expected |= {"ce_argillalistener": m.value["listener"], "ce_argillarun": str(m.value["run"]), "ce_subject": m.value["listener"]}
    wrong += [f"{name} is {m.headers[name]!r}, not {value!r}" for name, value in expected.items() if m.headers[name] != value]
    if m.type == "run" and not wrong and m.value["n_matched"] != sum(m.value[n] for n in ("n_records", "n_unchanged", "n_oversize")):
        wrong.append("the ledger: n_matched is not n_records + n_unchanged + n_oversize")
    return wrong


def check(messages):
    """Fails with all that is wrong: with each message, and with ce_ids that stand for two messages."""
    wrong, seen = [], {}
    for m in messages:
        wrong += [f"{m}: {e}" for e in _message_errors(m)]
        id = m.headers.get("ce_source"), m.headers.get("ce_id")
        if id in seen:
            wrong.append(f"{m}: has the ce_id of {seen[id]}")
        seen[id] = m
    assert not wrong, "\n".join(wrong[:20])
