"""Fuzz: every Glue operation with parameters that its model calls wrong, and some that are right.

The machinery is fuzzing.py's; here are names of things that are there, filters, schemas and other documents, right and
wrong. An operation that is not carried answers 501 with its name, one that is carried never. In the end the catalog is
unharmed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from fuzzing import GENERIC, Fuzz, Raw, junk, texts

from millpond.local import models
from millpond.local.service import Announcement, Endpoint

ARN = "arn:aws:glue:us-east-1:000000000000:"
ROLE = "arn:aws:iam::000000000000:role/glue"
MODEL = models.model("glue")
assert MODEL is not None
OPERATIONS = sorted(MODEL.operation_names)
# They start processes or reach for other machines: what they do with good input is tested elsewhere.
LEFT_OUT = {"StartJobRun", "StartCrawler", "TestConnection", "StartTrigger", "StartWorkflowRun", "CreateSession"}
LEFT_OUT |= {"StartColumnStatisticsTaskRun"}
KINDS = ("Database", "Table")
KEYS = [{"Name": "year", "Type": "int"}, {"Name": "city", "Type": "string"}]
TABLE = {"StorageDescriptor": {"Columns": [{"Name": "id", "Type": "int"}]}, "PartitionKeys": KEYS}

NAMES = ["there", "kept", "no", "a", "a b", "THERE", "x" * 255, "x" * 256, "", "a/b", "\u00e9"]
ARNS = [
    *(f"{ARN}{kind}/there" for kind in ("database", "job", "crawler", "connection", "registry", "trigger", "workflow")),
    *(f"{ARN}table/there/there", f"{ARN}schema/there/there", f"{ARN}dataQualityRuleset/there", f"{ARN}catalog"),
    *("", "arn", "arn:aws:glue", f"{ARN}database/", f"{ARN}table/there", f"{ARN}x/y", ROLE, "arn:aws:s3:::b", "../x"),
]
TEXTS = texts(ARNS)
NAME = st.one_of(st.sampled_from(NAMES), TEXTS)
FILTERS = st.one_of(
    st.sampled_from(
        [
            "year = 2024",
            "year > 1 and (city in ('a', 'b') or not city like '_%')",
            "year between '1' and 5 or city is not null",
            "year = 'x'",
            "(" * 900,
            "year in (",
            "city = 'it''s'",
            "year = 99999999999999999999999999",
            "city like '%%%%%%%%%%%%%%%%%%%%%%%%'",
            "a.*",
            "(((a+)+)+)+$",
            "[",
        ]
    ),
    TEXTS,
)
SCHEMAS = st.one_of(
    st.sampled_from(
        [
            '{"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}',
            '{"type": "record", "name": "r", "fields": [{"name": "a", "type": "long", "default": 1}]}',
            '{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {"a": {}}}',
            'syntax = "proto3"; message M { int32 a = 1; }',
            '{"type": "record"}',
            '"' + "[" * 2000,
            "[" * 2000,
            "message {",
        ]
    ),
    junk(ARNS).map(json.dumps),
    TEXTS,
)
NAMED = {
    **dict.fromkeys(("Name", "DatabaseName", "TableName", "FunctionName", "RegistryName", "SchemaName"), NAME),
    **dict.fromkeys(("JobName", "CrawlerName", "ConnectionName", "IndexName", "Column", "ColumnName"), NAME),
    **dict.fromkeys(("Values", "PartitionValues", "PartitionValueList"), st.sampled_from(["1", "a", "", "x" * 1025])),
    "CatalogId": st.sampled_from(["000000000000", "123456789012", "s3tablescatalog", ""]),
    "Expression": FILTERS,
    "SchemaDefinition": SCHEMAS,
    "PolicyInJson": st.one_of(st.just('{"Version": "2012-10-17", "Statement": []}'), SCHEMAS),
    "Role": st.one_of(st.just(ROLE), TEXTS),
    "VersionId": st.sampled_from(["0", "1", "99", "-1", "x", "9" * 60]),
    "NextToken": st.one_of(st.sampled_from(["WyJhIl0=", "W10=", "bnVsbA==", "WzFd"]), TEXTS),
    "Ruleset": st.one_of(st.just('Rules = [ IsComplete "id" ]'), TEXTS),
    "Schedule": st.one_of(st.just("cron(0 12 * * ? *)"), TEXTS),
}
FUZZ = Fuzz("glue", ARNS, NAMED, examples=8)
REFUSED = Fuzz("glue", ARNS, NAMED, examples=2, refused=frozenset({501}))


@pytest.fixture(scope="module")
def raw(endpoint: Endpoint) -> Iterator[Raw]:
    made, announced = Raw(endpoint, "glue"), list[Announcement]()
    endpoint.announcer = announced.append  # as if a rule wanted all events
    for name in ("there", "kept"):
        made.call("CreateDatabase", DatabaseInput={"Name": name})
        made.call("CreateTable", DatabaseName=name, TableInput={"Name": name, **TABLE})
        made.call("CreatePartition", DatabaseName=name, TableName=name, PartitionInput={"Values": ["1", "a"]})
    yield made
    assert {one.detail_type.split(" State")[0] for one in announced} >= {f"Glue Data Catalog {kind}" for kind in KINDS}
    for one in announced:
        told = one.tell()
        assert told is not None and all(arn.startswith(ARN) for arn in told[0]), told
        assert json.dumps(told[1]) and (one.source, bool(told[1])) == ("aws.glue", True), told


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if name not in LEFT_OUT])
def test_operation(raw: Raw, endpoint: Endpoint, operation: str) -> None:
    carried = operation in endpoint.services["glue"].operations()
    (FUZZ if carried else REFUSED).run(raw, operation)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b"null", b'{"a":', b'{"DatabaseName": NaN}', b"{" * 3000])
def test_bodies_that_are_no_json(raw: Raw, body: bytes) -> None:
    status, answer = raw.send("GetTables", body)
    assert status == 400 and json.loads(answer)["__type"] in GENERIC


def test_all_is_well_afterwards(raw: Raw) -> None:
    table: dict[str, Any] = raw.call("GetTable", DatabaseName="kept", Name="kept")["Table"]
    assert table["PartitionKeys"] == KEYS
    assert raw.call("GetPartitions", DatabaseName="kept", TableName="kept")["Partitions"][0]["Values"] == ["1", "a"]
