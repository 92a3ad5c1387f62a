"""The published contract: true to the decoder, complete, and fit for the tools that read it."""

import ast
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import typer
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from shared.adapters.pipeline_yaml import load_pipeline
from shared.core import contract, contract_schemas, deadletter
from shared.core.codec import RecordCodec
from shared.core.errors import Invalid
from shared.core.ports import Reject
from shared.core.records import FeatureUpdate, Label, Prediction
from shared.core.versions import validate_update
from tailrace.cli import contract as command
from tests.support.spec import make_spec

FOLDER = Path(__file__).parents[2] / "data" / "parcels"
SPEC = load_pipeline(FOLDER).spec
CODEC = RecordCodec(SPEC)
RECORD = jsonschema.Draft202012Validator(contract_schemas.record(SPEC))


def decoder_takes(record: Any) -> bool:
    """Whether the scorer's decoder takes this record."""
    return not CODEC.decode([json.dumps(record).encode()]).refused


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"weight": 0}, True),
        ({"weight": 70}, True),
        ({"weight": 70.1}, False),
        ({"weight": -0.1}, False),
        ({"weight": "3"}, False),
        ({"weight": None}, False),
        ({"weight": True}, False),
        ({"stops": -1}, True),
        ({"stops": 2**63 - 1}, True),
        ({"stops": -(2**63)}, True),
        ({"stops": 2**63}, False),
        ({"stops": 10**30}, False),
        ({"stops": 1.5}, False),
        ({"stops": True}, False),
        ({"fragile": 1}, False),
        ({"parcel": ""}, False),
        ({"parcel": "a\nb"}, False),
        ({"parcel": "ab\n"}, False),
        ({"parcel": "\u200b"}, False),
        ({"parcel": "x" * 64}, True),
        ({"parcel": "x" * 65}, False),
        ({"parcel": "\U0001f4e6" * 64}, True),
        ({"parcel": 3}, False),
        ({"depot": "\u00a0"}, False),
        ({"receiver": None}, True),
        ({"receiver": ""}, True),
        ({"receiver": "a\nb"}, True),
        ({"service": None}, False),
        ({"phone": None}, True),
        ({"unknown": 1}, False),
        ({"sent_at": 1_769_860_800_000}, True),
        ({"sent_at": 1_769_860_800}, False),
        ({"sent_at": 1_769_860_800_000.5}, False),
        ({"sent_at": "1769860800000"}, False),
        ({"sent_at": "2026-01-31T12:00:00Z"}, True),
        ({"sent_at": "2026-01-31t12:00:00.123456789z"}, True),
        ({"sent_at": "2026-01-31 12:00:00+01:00"}, True),
        ({"sent_at": "2026-01-31T12:00:00-0530"}, True),
        ({"sent_at": "2026-01-31T12:00:00"}, False),
        ({"sent_at": "2026-01-31T12:00Z"}, False),
        ({"sent_at": "2026-01-31"}, False),
        ({"sent_at": "2026-13-31T12:00:00Z"}, False),
        ({"sent_at": "2026-01-31T24:00:00Z"}, False),
        ({"sent_at": "2026-01-31T12:00:60Z"}, False),
        ({"sent_at": "2026-01-31T12:00:00+24:00"}, False),
        ({"sent_at": "1979-12-31T23:59:59Z"}, False),
        ({"sent_at": "1980-01-01T00:00:00Z"}, True),
        ({"sent_at": None}, False),
    ],
)
def test_schema_and_decoder_give_the_same_verdict(change: dict[str, Any], good: bool) -> None:  # noqa: FBT001 - a table's column
    """Each record of the table is taken by both or refused by both."""
    record = {**contract.example(SPEC), **change}
    assert (RECORD.is_valid(record), decoder_takes(record)) == (good, good)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 100),
    st.integers(),
    # A float without a fraction is an integer to JSON Schema and none to the decoder: the rules say so in words.
    st.floats(-100, 100).filter(lambda value: value != int(value)),
    st.text("aZ9 -_é\n\u200b", max_size=70),
    st.sampled_from(["plain", "2026-01-31T12:00:00Z", "2026-02-01T00:00:00+02:00", 1_769_860_800_000]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text("ab", max_size=1), st.integers(), max_size=1),
)
CHANGES = st.dictionaries(st.sampled_from([*SPEC.record.fields, "other"]), VALUES, max_size=3)


@seed(20_260_131)
@settings(max_examples=600, deadline=None, database=None, print_blob=True)
@given(CHANGES, st.sets(st.sampled_from(list(SPEC.record.fields)), max_size=1))
def test_schema_and_decoder_agree_on_any_record(changes: dict[str, Any], absent: set[str]) -> None:
    """Random records, seed 20260131: whatever is changed or taken away, both give one verdict."""
    record = {name: value for name, value in {**contract.example(SPEC), **changes}.items() if name not in absent}
    assert RECORD.is_valid(record) == decoder_takes(record)


def test_the_example_is_a_good_record_in_every_form() -> None:
    """The example passes schema and decoder, and the Python example is Python that sends it."""
    assert decoder_takes(contract.example(SPEC))
    RECORD.validate(contract.example(SPEC))
    assert repr(contract.example(SPEC)) in contract.python_example(SPEC)
    ast.parse(contract.python_example(SPEC))
    assert "isolation.level=read_committed" in contract.kcat_example(SPEC)


def test_what_we_write_fits_what_we_publish() -> None:
    """Predictions, labels and feature updates as our own types encode them pass their schemas."""
    prediction = Prediction(1, "p", "d", (0, 7), 1_769_860_800_000, 0.4, "late", "1", "sha", 1, flags=("stale",))
    label = Label(id="p", value="late", time=1_769_860_800_000)
    update = FeatureUpdate(group="traffic", entity="d", time=1_769_860_800_000, values={"load": 0.5, "closed": None})
    for value, schema in (
        (prediction, contract_schemas.prediction(SPEC)),
        (label, contract_schemas.label(SPEC)),
        (update, contract_schemas.feature_update(SPEC)),
    ):
        jsonschema.validate(json.loads(msgspec.json.encode(value)), schema)
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "change",
    [{"group": "trafic"}, {"values": {"load": "much"}}, {"values": {"lod": 1}}, {"time": 1_769_860_800}, {"v": 2}],
)
def test_a_feature_update_is_refused_by_schema_and_writer(change: dict[str, Any]) -> None:
    """An update that the feature writer refuses is refused by the published schema."""
    good = {"group": "traffic", "entity": "d", "time": 1_769_860_800_000, "values": {"load": 1}, "v": 1}
    schema = jsonschema.Draft202012Validator(contract_schemas.feature_update(SPEC))
    assert schema.is_valid(good)
    assert not schema.is_valid({**good, **change})
    validate_update(msgspec.convert(good, FeatureUpdate), SPEC.lookups)
    with pytest.raises(Invalid):
        validate_update(msgspec.convert({**good, **change}, FeatureUpdate), SPEC.lookups)


class Sent:
    """A message that was refused."""

    def partition(self) -> int:
        """Where it stands."""
        return 3

    def offset(self) -> int:
        """Where it stands."""
        return 17

    def key(self) -> bytes | None:
        """Its key."""
        return b"d"

    def value(self) -> bytes | None:
        """Its body."""
        return b"{"

    def headers(self) -> None:
        """None were sent."""

    def timestamp(self) -> tuple[int, int]:
        """When it arrived."""
        return (2, 0)


def test_a_dead_letter_has_the_published_headers() -> None:
    """The headers that dead letters really have pass the published schema."""
    block = deadletter.dead_letters("parcels.records.dlq", "parcels.records", [Reject(Sent(), "not_json", "torn")])
    assert block.headers is not None
    headers = {name: (value or b"").decode() for name, value in block.headers[0] or []}
    jsonschema.validate(headers, contract_schemas.dead_letter_headers(SPEC))


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    """Channels, operations and messages refer to each other by paths that exist, and topics carry Kafka's bindings."""
    document = contract.asyncapi(SPEC, "a:1,b:2")
    for ref in _refs(document):
        node: Any = document
        for step in ref.removeprefix("#/").split("/"):
            node = node[step]
    assert document["asyncapi"] == "3.0.0"
    assert [server["host"] for server in document["servers"].values()] == ["a:1", "b:2"]
    assert {c["address"] for c in document["channels"].values()} == {
        f"parcels.{name}" for name in ("records", "predictions", "labels", "records.dlq", "features")
    }
    assert document["operations"]["sendRecords"]["action"] == "send"
    assert (
        document["channels"]["predictions"]["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] == 1_209_600_000
    )


@pytest.mark.parametrize("form", ["text", "json", "asyncapi"])
def test_the_command_prints_each_form(form: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command prints the contract for people, as one JSON object, or as AsyncAPI."""
    monkeypatch.setenv("TAILRACE_STATE", str(tmp_path))
    app = typer.Typer()
    command.register(app)
    result = CliRunner().invoke(app, [str(FOLDER), "--format", form])
    assert result.exit_code == 0
    if form == "text":
        for word in ("read_committed", "murmur2_random", "tailrace-control", "parcels.records.dlq", "kcat -P"):
            assert word in result.stdout
    else:
        assert isinstance(json.loads(result.stdout), dict)


def _refs(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) and node["$ref"].startswith("#/c") else []
        return own + [ref for item in node.values() for ref in _refs(item)]
    return [ref for item in node for ref in _refs(item)] if isinstance(node, list) else []


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_each_task_promises_what_it_answers(task: str) -> None:
    """Probabilities by class name for many classes, an interval where one is asked for, neither for two classes."""
    model = {"estimator": "sklearn.linear_model.Ridge", "impute": "median", "interval": {"coverage": 0.8}}
    spec = make_spec(task, model=model) if task == "regression" else make_spec(task)
    schema = contract_schemas.prediction(spec)
    promised = {"probabilities", "interval"} & set(schema["properties"])
    assert promised == {"multiclass": {"probabilities"}, "regression": {"interval"}, "binary": set()}[task]
    made = Prediction(1, "p", "d", (0, 7), 1_769_860_800_000, 0.4, "late", "1", "sha", 1)
    if task == "multiclass":
        made = msgspec.structs.replace(made, probabilities={"early": 0.25, "on_time": 0.35, "late": 0.4})
    if task == "regression":
        made = msgspec.structs.replace(made, label=0.4, interval=(-1.0, 1.0))
        assert "80% of the truths" in schema["properties"]["interval"]["description"]
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(json.loads(msgspec.json.encode(made)))
    if task == "multiclass":
        wrong = msgspec.structs.replace(made, probabilities={"early": 1.0})
        assert not validator.is_valid(json.loads(msgspec.json.encode(wrong)))
