"""Delta targets: a table's log is read, its newest checkpoint and the commits after it, and becomes one entry.

`CreateNativeDeltaTable` makes an entry of the provider `delta`, as Spark and Athena read it; else the entry reads the
manifests below `_symlink_format_manifest/`, which `WriteManifest` writes when the catalog is written (AWS docs, "How
to specify configuration options for a Delta Lake data store"). Partitions are entries of the second kind only: the
log has them.

Limits: deletion vectors cannot be said in a manifest, and checkpoints of the V2 spec (UUID names) are not read: such
a crawl fails and says so. Names and values of parameters that AWS does not document are Spark's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from millpond.local.glue.crawl.entries import FORMATS, Crawl, Entry, described
from millpond.local.glue.crawl.hive import Array, Column, Columns, Map, Struct, Type
from millpond.local.glue.crawl.names import table_name
from millpond.local.glue.crawl.patterns import s3_path
from millpond.local.glue.crawl.survey import CrawlFailed, Object, Settings, Survey, World
from millpond.local.service import AwsError

LOG = "_delta_log/"
MANIFESTS = "_symlink_format_manifest/"
COMMIT = re.compile(r"(\d{20})\.json")
CHECKPOINT = re.compile(r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10}))?\.parquet")
NEWER_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.[0-9a-f-]{36}\.(?:parquet|json)")
NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
SCALARS = {
    **{"string": "string", "long": "bigint", "integer": "int", "short": "smallint", "byte": "tinyint"},
    **{"float": "float", "double": "double", "boolean": "boolean", "binary": "binary", "date": "date"},
    **{"timestamp": "timestamp", "timestamp_ntz": "timestamp"},
}
SPARK_SCHEMA = 4000  # characters of the schema in one parameter, as Spark splits it


class BrokenLog(Exception):
    """The log cannot be read; the message says where and why."""


@dataclass(slots=True)
class DeltaTable:
    """A table as its log leaves it. `files`: path -> its `add` action."""

    version: int = -1
    committed: int = 0  # milliseconds since the epoch
    schema: dict[str, Any] = field(default_factory=dict)
    schema_text: str = ""
    keys: list[str] = field(default_factory=list)
    description: str = ""
    files: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def columns(self) -> Columns:
        """All columns, those of partitions too."""
        fields = self.schema.get("fields") or []
        return tuple(Column(one["name"].lower(), _type(one["type"]), one["name"]) for one in fields)

    def apply(self, action: Mapping[str, Any]) -> None:
        """One action of the log."""
        match action:
            case {"metaData": {"schemaString": str(text), **_rest}}:
                given: Mapping[str, Any] = action["metaData"]
                self.schema, self.schema_text = json.loads(text), text
                self.keys = list(given.get("partitionColumns") or [])
                self.description = str(given.get("description") or "")
                self.committed = self.committed or int(given.get("createdTime") or 0)
            case {"add": {"path": str(path), **_rest}}:
                self.files[path] = action["add"]
            case {"remove": {"path": str(path), **_rest}}:
                self.files.pop(path, None)
            case {"commitInfo": {"timestamp": int(moment), **_rest}}:
                self.committed = moment


def _type(of: Any) -> Type:
    match of:
        case str() if of.startswith("decimal"):
            return of.replace(" ", "")
        case str():
            return SCALARS.get(of, "string")
        case {"type": "array", "elementType": item}:
            return Array(_type(item))
        case {"type": "map", "keyType": key, "valueType": value}:
            return Map(_type(key), _type(value))
        case {"type": "struct", "fields": list(fields)}:
            return Struct(tuple((one["name"], _type(one["type"])) for one in fields))
        case _:
            return "string"


# -- the log ---------------------------------------------------------------------------------------------------------


def read_log(files: Mapping[str, Path]) -> DeltaTable:
    """The table of a log: `files` are those below `_delta_log/`, by name. Raises BrokenLog."""
    commits = {int(match[1]): name for name in files if (match := COMMIT.fullmatch(name))}
    checkpoints: dict[int, list[str]] = {}
    for name in files:
        if match := CHECKPOINT.fullmatch(name):
            checkpoints.setdefault(int(match[1]), []).append(name)
    whole = [version for version, names in checkpoints.items() if _complete(names)]
    start = max(whole, default=-1)
    table = DeltaTable()
    for name in sorted(checkpoints.get(start, ())):
        _checkpoint(table, name, files[name])
    wanted = sorted(version for version in commits if version > start)
    for version in wanted:
        if version != start + 1:
            newer = [name for name in files if NEWER_CHECKPOINT.fullmatch(name)]
            why = f"; its checkpoint {max(newer)} is of the V2 spec, which is not read here" if newer else ""
            raise BrokenLog(f"its commit {start + 1} is missing{why}")
        for action in _actions(commits[version], files[commits[version]]):
            table.apply(action)
        start = version
    table.version = start
    if not table.schema:
        raise BrokenLog("it holds no table's schema (metaData)")
    return table


def _complete(names: Sequence[str]) -> bool:
    match = CHECKPOINT.fullmatch(names[0])
    return bool(match) and len(names) == int(match[3] or 1) if match else False


def _actions(name: str, path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenLog(f"{name} cannot be read: {error}") from None
    for n, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            action = json.loads(line)
        except (ValueError, RecursionError):
            raise BrokenLog(f"{name}, line {n}, is not JSON") from None
        if isinstance(action, dict):
            yield action


def _checkpoint(table: DeltaTable, name: str, path: Path) -> None:
    """The actions of a checkpoint, which is a Parquet file with a column for each kind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        known = set(pq.read_schema(path).names)
        rows = pq.read_table(path, columns=[kind for kind in ("metaData", "add") if kind in known]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise BrokenLog(f"{name} cannot be read: {str(error).splitlines()[0][:200]}") from None
    for row in rows:
        for kind in ("metaData", "add"):
            if row.get(kind) is not None:
                given = dict(row[kind])
                for member in ("partitionValues", "configuration"):
                    if isinstance(given.get(member), list):  # Arrow's way to say a map
                        given[member] = dict(given[member])
                table.apply({kind: given})


# -- targets ---------------------------------------------------------------------------------------------------------


def target(given: Mapping[str, Any], settings: Settings, world: World, found: Survey) -> None:
    """Read a Delta target. Raises Stopped, CrawlFailed."""
    native = bool(given.get("CreateNativeDeltaTable"))
    for path in given.get("DeltaTables") or []:
        table = _opened(path, world, found)
        if table is not None:
            bucket, root = _place(path)
            name = table_name(settings.prefix, root.rstrip("/").rpartition("/")[2] or bucket)
            manifest = bool(given.get("WriteManifest")) and not native
            found.entries.append(_checked(table, bucket, root, name, settings, native=native, manifest=manifest))


def is_delta(table: Mapping[str, Any]) -> bool:
    """Whether a table of the catalog is a Delta table."""
    parameters = table.get("Parameters") or {}
    marks = (parameters.get("spark.sql.sources.provider"), parameters.get("table_type"))
    location = (table.get("StorageDescriptor") or {}).get("Location") or ""
    return any(str(mark).lower() == "delta" for mark in marks) or location.rstrip("/").endswith(MANIFESTS.rstrip("/"))


def is_iceberg(table: Mapping[str, Any]) -> bool:
    """Whether a table of the catalog is an Iceberg table."""
    return str((table.get("Parameters") or {}).get("table_type")).upper() == "ICEBERG"


def again(existing: Mapping[str, Any], settings: Settings, world: World, found: Survey) -> None:
    """Read the Delta table of a catalog target. Raises Stopped, CrawlFailed."""
    storage = existing["StorageDescriptor"]
    linked = storage["Location"].rstrip("/").endswith(MANIFESTS.rstrip("/"))
    path = storage["Location"].rstrip("/").removesuffix(MANIFESTS.rstrip("/"))
    table = _opened(path, world, found)
    if table is not None:
        bucket, root = _place(path)
        entry = _checked(table, bucket, root, existing["Name"], settings, native=not linked, manifest=False)
        found.entries.append(replace(entry, database=existing["DatabaseName"]))


def _place(path: str) -> tuple[str, str]:
    bucket, key = s3_path(path)
    return bucket, key if not key or key.endswith("/") else key + "/"


def _opened(path: str, world: World, found: Survey) -> DeltaTable | None:
    bucket, root = _place(path)
    look = found.look(f"s3://{bucket}/{root}")
    found.prefixes.append(look.target)
    try:
        logged = {one.key[len(root) + len(LOG) :]: one.path for one in _listed(bucket, root + LOG, world)}
    except AwsError as error:
        raise CrawlFailed(f"The S3 path {look.target} cannot be listed: {error.message}") from None
    look.listed = look.read = len(logged)
    table = None
    if not logged:
        look.note("WARN", f"there is no {LOG}: it is not a Delta table, no table is made")
    else:
        try:
            table = read_log(logged)
        except BrokenLog as error:
            raise CrawlFailed(f"The Delta table {look.target}: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise CrawlFailed(f"The Delta table {look.target}: its log is not valid: {error}") from None
    look.tell(world.log)
    return table


def _listed(bucket: str, prefix: str, world: World) -> Iterable[Object]:
    for n, one in enumerate(world.objects(bucket, prefix)):
        if n % 1000 == 0:
            world.check()
        yield one


# -- entries ---------------------------------------------------------------------------------------------------------


def _checked(
    table: DeltaTable, bucket: str, root: str, name: str, settings: Settings, *, native: bool, manifest: bool
) -> Entry:
    """The entry; CrawlFailed where actions of the log do not have the members or types of Delta's protocol."""
    try:
        return _entry(table, bucket, root, name, settings, native=native, manifest=manifest)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        text = f"its log is not valid: {type(error).__name__}: {error}"
        raise CrawlFailed(f"The Delta table s3://{bucket}/{root}: {text}") from None


def _entry(
    table: DeltaTable, bucket: str, root: str, name: str, settings: Settings, *, native: bool, manifest: bool
) -> Entry:
    crawl = Crawl(settings.name, settings.run, settings.prefix)
    place = f"s3://{bucket}/{root}"
    keys = {key.lower() for key in table.keys}
    parameters = crawl.marks | {"CRAWL_RUN_ID": crawl.run} | _facts(table)
    columns = tuple(column for column in table.columns if column.name not in keys)
    named = {column.name: column for column in table.columns}
    storage = _native(place, parameters | spark_schema(table.schema_text)) if native else _linked(place, parameters)
    given = {
        "Name": name,
        "Owner": "owner",
        "Retention": 0,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": described(tuple(named[key.lower()] for key in table.keys)),
        "StorageDescriptor": storage | {"Columns": described(columns)},
        "Parameters": storage["Parameters"],
    }
    if table.description:
        given["Description"] = table.description[:2048]
    linked = [] if native else _by_partition(table)
    partitions = tuple(_partition(values, adds, given, bucket, root, table) for values, adds in linked if table.keys)
    writes = tuple(_manifest(values, adds, bucket, root, table) for values, adds in linked) if manifest else ()
    return Entry(
        given,
        partitions,
        f"the Delta log of {place}, version {table.version}",
        _warnings(table, native=native, manifest=manifest),
        writes=writes,
    )


def _warnings(table: DeltaTable, *, native: bool, manifest: bool) -> tuple[str, ...]:
    if native:
        return ()
    if any(add.get("deletionVector") for add in table.files.values()):
        if manifest:
            raise CrawlFailed("a Delta table with deletion vectors has no manifest; use CreateNativeDeltaTable")
        return ("it has deletion vectors, which manifests cannot express: rows that were deleted would be read",)
    text = f"it reads the manifests below {MANIFESTS}, which this crawler does not write (WriteManifest is false)"
    return () if manifest else (text,)


def _facts(table: DeltaTable) -> dict[str, str]:
    records = [_records(add) for add in table.files.values()]
    size = sum(int(add.get("size") or 0) for add in table.files.values())
    facts = {"objectCount": str(len(table.files)), "sizeKey": str(size)}
    if all(count is not None for count in records):
        count = sum(one or 0 for one in records)
        facts |= {"recordCount": str(count), "averageRecordSize": str(size // count if count else 0)}
    return facts | {
        "delta.lastUpdateVersion": str(table.version),
        "delta.lastCommitTimestamp": str(table.committed),
    }


def _records(add: Mapping[str, Any]) -> int | None:
    try:
        return int(json.loads(add.get("stats") or "{}")["numRecords"])
    except (ValueError, KeyError, TypeError):
        return None


def _native(place: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """As Spark registers a Delta table in a Hive catalog."""
    marks = {
        "EXTERNAL": "TRUE",
        "classification": "delta",
        "spark.sql.partitionProvider": "catalog",
        "spark.sql.sources.provider": "delta",
        "table_type": "delta",
    }
    return _storage(
        place,
        "org.apache.hadoop.mapred.SequenceFileInputFormat",
        "org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat",
        {
            "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            "Parameters": {"path": place, "serialization.format": "1"},
        },
        {**parameters, **marks},
    )


def _linked(place: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    return _storage(
        place + MANIFESTS,
        "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat",
        "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
        {"SerializationLibrary": FORMATS["parquet"].serde, "Parameters": {"serialization.format": "1"}},
        {**parameters, "classification": "parquet", "compressionType": "none"},
    )


def _storage(
    location: str, reads: str, writes: str, serde: Mapping[str, Any], parameters: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "Location": location,
        "InputFormat": reads,
        "OutputFormat": writes,
        "Compressed": False,
        "NumberOfBuckets": -1,
        "SerdeInfo": dict(serde),
        "BucketColumns": [],
        "SortColumns": [],
        "Parameters": dict(parameters),
        "StoredAsSubDirectories": False,
    }


def _by_partition(table: DeltaTable) -> list[tuple[tuple[str, ...], list[Mapping[str, Any]]]]:
    """The files of each partition, by its values; of a table without keys all files."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {} if table.keys else {(): []}
    for path in sorted(table.files):
        add = table.files[path]
        values = add.get("partitionValues") or {}
        key = tuple(NULL_PARTITION if values.get(name) is None else str(values[name]) for name in table.keys)
        found.setdefault(key, []).append(add)
    return list(found.items())


def _folder(values: Sequence[str], table: DeltaTable) -> str:
    return "".join(f"{key}={value}/" for key, value in zip(table.keys, values, strict=True))


def _partition(
    values: tuple[str, ...],
    adds: Sequence[Mapping[str, Any]],
    given: Mapping[str, Any],
    bucket: str,
    root: str,
    table: DeltaTable,
) -> dict[str, Any]:
    counts = {"objectCount": str(len(adds)), "sizeKey": str(sum(int(add.get("size") or 0) for add in adds))}
    location = f"s3://{bucket}/{root}{MANIFESTS}{_folder(values, table)}"
    storage = {
        **given["StorageDescriptor"],
        "Location": location,
        "Parameters": {"classification": "parquet", **counts},
    }
    return {
        "Values": list(values),
        "StorageDescriptor": storage,
        "Parameters": {"classification": "parquet", "compressionType": "none", **counts},
    }


def _manifest(
    values: tuple[str, ...], adds: Sequence[Mapping[str, Any]], bucket: str, root: str, table: DeltaTable
) -> tuple[str, str, bytes]:
    """Bucket, key and content of a manifest: the objects of a partition, a line each."""
    lines = [unquote(str(add["path"])) for add in adds]
    text = "".join(f"{line if '://' in line else f's3://{bucket}/{root}{line}'}\n" for line in lines)
    return bucket, f"{root}{MANIFESTS}{_folder(values, table)}manifest", text.encode()


def spark_schema(text: str) -> dict[str, str]:
    """A schema as Spark's parameters hold it, in pieces."""
    pieces = [text[at : at + SPARK_SCHEMA] for at in range(0, len(text), SPARK_SCHEMA)]
    numbered = {f"spark.sql.sources.schema.part.{n}": piece for n, piece in enumerate(pieces)}
    return {"spark.sql.sources.schema.numParts": str(len(pieces)), **numbered}
