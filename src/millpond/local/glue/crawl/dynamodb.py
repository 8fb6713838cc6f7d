"""DynamoDB targets: the items of a table are scanned, their attributes are the columns of one entry.

With `scanAll` (the default) every item is read, without it the first page of a scan (AWS docs, DynamoDBTarget: "a
sample"). Numbers are bigint, or double where one has a fraction or is larger. `scanRate` changes nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from millpond.local.glue.crawl.entries import Crawl, Entry, described
from millpond.local.glue.crawl.hive import INT64, UNKNOWN, Array, Column, Struct, Type, unique, widen
from millpond.local.glue.crawl.names import table_name
from millpond.local.glue.crawl.survey import CrawlFailed, Look, Settings, Survey, World

PLAIN: dict[str, Type] = {
    "S": "string",
    "B": "binary",
    "BOOL": "boolean",
    "NULL": UNKNOWN,
    "SS": Array("string"),
    "BS": Array("binary"),
}


def target(given: Mapping[str, Any], settings: Settings, world: World, found: Survey) -> None:
    """Read a DynamoDB target. Raises Stopped, CrawlFailed."""
    from botocore.exceptions import ClientError

    name = given["Path"]
    client = world.client("dynamodb")
    look = found.look(f"dynamodb: {name}")
    try:
        told = client.describe_table(TableName=name)["Table"]
        kinds: dict[str, Type] = {}
        seen: dict[str, int] = {}
        for item in _items(client, name, world, everything=given.get("scanAll") is not False):
            look.read += 1
            for attribute, value in item.items():
                kinds[attribute] = widen(kinds.get(attribute, UNKNOWN), _type(value))
                seen[attribute] = seen.get(attribute, 0) + 1
    except ClientError as error:
        raise CrawlFailed(f"The DynamoDB table {name}: {error.response['Error']['Message']}") from None
    look.listed = int(told.get("ItemCount") or look.read)
    if not kinds:
        look.note("WARN", "it holds no item: its entry has the key's attributes only")
        kinds = {one["AttributeName"]: _key_type(one["AttributeType"]) for one in told["AttributeDefinitions"]}
    look.tell(world.log)
    found.prefixes.append(told["TableArn"])
    found.entries.append(_entry(name, told, kinds, seen, look, settings))


def _items(client: Any, name: str, world: World, *, everything: bool) -> Iterator[Mapping[str, Any]]:
    start: dict[str, Any] = {}
    while True:
        world.check()
        page = client.scan(TableName=name, **start)
        yield from page["Items"]
        if not everything or not page.get("LastEvaluatedKey"):
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _type(value: Mapping[str, Any]) -> Type:
    """Hive's type of an attribute value: `{"N": "1"}` -> bigint."""
    ((kind, inside),) = value.items()
    match kind:
        case "N":
            return _number(inside)
        case "NS":
            return Array(_widest(inside, _number))
        case "L":
            return Array(_widest(inside, _type))
        case "M":
            return Struct(tuple((name, _type(member)) for name, member in inside.items()))
        case _:
            return PLAIN.get(kind, "string")


def _widest(values: Any, of: Callable[[Any], Type]) -> Type:
    found: Type = UNKNOWN
    for value in values:
        found = widen(found, of(value))
    return found


def _number(text: str) -> Type:
    return "bigint" if text.lstrip("-").isdecimal() and int(text) in INT64 else "double"


def _key_type(kind: str) -> Type:
    return {"N": "bigint", "B": "binary"}.get(kind, "string")


def _entry(
    name: str,
    told: Mapping[str, Any],
    kinds: Mapping[str, Type],
    seen: Mapping[str, int],
    look: Look,
    settings: Settings,
) -> Entry:
    keys = {one["KeyType"]: one["AttributeName"] for one in told["KeySchema"]}
    records, size = look.read, int(told.get("TableSizeBytes") or 0)
    crawl = Crawl(settings.name, settings.run, settings.prefix)
    parameters = crawl.marks | {
        "CRAWL_RUN_ID": crawl.run,
        "classification": "dynamodb",
        "compressionType": "none",
        "typeOfData": "table",
        "recordCount": str(look.listed),
        "sizeKey": str(size),
        "averageRecordSize": str(size // records if records else 0),
        "hashKey": keys["HASH"],
        **({"rangeKey": keys["RANGE"]} if "RANGE" in keys else {}),
    }
    columns = unique(Column(attribute.lower(), kind, attribute) for attribute, kind in kinds.items())
    why = {
        column.name: f"in {seen[column.source]} of {records} items" if column.source in seen else "the table's key"
        for column in columns
    }
    table: dict[str, Any] = {
        "Name": table_name(settings.prefix, name),
        "Owner": "owner",
        "Retention": 0,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [],
        "StorageDescriptor": {
            "Columns": described(columns),
            "Location": told["TableArn"],
            "Compressed": False,
            "NumberOfBuckets": -1,
            "SerdeInfo": {"Parameters": {}},
            "BucketColumns": [],
            "SortColumns": [],
            "Parameters": dict(parameters),
            "StoredAsSubDirectories": False,
        },
        "Parameters": parameters,
    }
    return Entry(table, (), f"the DynamoDB table {name}", why=why)
