"""Do the schemas take the good examples and refuse each bad one? (That what the bridge sends fits them is checked with every
Reader's close.)"""

import json

import pytest
import schemas_check

EXAMPLES = schemas_check.SCHEMAS / "examples"


def examples(folder):
    return sorted((EXAMPLES / folder).glob("*.json"))


@pytest.mark.parametrize("path", examples("good"), ids=lambda p: p.stem)
def test_good_example_is_valid(path):
    assert schemas_check.errors(path.stem.split("-")[0], json.loads(path.read_text())) == []


@pytest.mark.parametrize("path", examples("bad"), ids=lambda p: p.stem)
def test_bad_example_is_refused(path):
    assert schemas_check.errors(path.stem.split("-")[0], json.loads(path.read_text()))


@pytest.mark.parametrize("kind", sorted(schemas_check.validators))
def test_schema_is_named_after_its_file_and_has_examples(kind):
    schema = schemas_check.validators[kind].schema
    assert schema["$id"] == f"{schemas_check.PREFIX}{kind}:1"
    for folder in ("good", "bad") if schema.keys() - {"$schema", "$id", "title", "description"} else ("good",):
        assert any(p.stem.startswith(kind + "-") for p in examples(folder)), f"no {folder} example of {kind}"


class Sent:
    """A message as a Reader keeps it."""

    def __init__(self, kind, value, headers, key):
        self.type, self.value, self.headers, self.key = kind, value, headers, key


def batch(**headers):
    value = json.loads((EXAMPLES / "good/batch-one.json").read_text())
    return Sent("batch", value, {**json.loads((EXAMPLES / "good/headers-batch.json").read_text()), **headers}, "reviews-ready")


def test_check_takes_what_is_right():
    schemas_check.check([batch(), batch(ce_id="reviews-ready.1.1.batch.1")])


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([batch(), batch()], "has the ce_id of"),
        ([batch(ce_argillarun="2")], "ce_argillarun is '2', not '1'"),
        ([batch(ce_dataschema="urn:argilla-bridge:schema:run:1")], "ce_dataschema is"),
        ([batch(ce_time="2026-11-24")], "headers"),
    ],
    ids=["twice", "run", "schema", "time"],
)
def test_check_tells_what_is_wrong(messages, why):
    with pytest.raises(AssertionError, match=why):
        schemas_check.check(messages)
