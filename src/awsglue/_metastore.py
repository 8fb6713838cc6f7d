"""`--enable-glue-datacatalog`: the Data Catalog is Spark's metastore.

Spark's own catalog is in memory and empty at first. `install` puts itself before `spark.sql`, `spark.table`, the
writers' saveAsTable and insertInto, and `spark.catalog`: what a statement names is registered in Spark from the Data
Catalog, and what a statement made of it (tables, columns, properties, partitions) is written back there. A query costs
nothing more than before: its names are looked up when Spark does not know them, so nothing is asked of the catalog that
a script does not use. Statements are told apart by Spark's parser, not by their text.

DROP leaves Spark's catalog alone with the data: the files of a MANAGED_TABLE are deleted, those of others stay, as on
AWS. A table without a location goes below the database's LocationUri; without one it is refused.

Limits, refused by name: persistent views, SHOW TABLE EXTENDED, CREATE TABLE LIKE, RENAME TO (AWS refuses that, too),
ALTER DATABASE. What ANALYZE TABLE finds is known to this run only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from botocore.exceptions import ClientError
from pyspark.errors import AnalysisException, IllegalArgumentException
from pyspark.sql import DataFrame, DataFrameWriter, SparkSession
from pyspark.sql.catalog import Catalog
from pyspark.sql.catalog import Table as Listed
from pyspark.sql.types import StructType

from awsglue import _catalog, _entries
from awsglue._aws import client
from awsglue._catalog import plain
from awsglue._table import Partition, Table

BATCH = 100  # partitions of one BatchCreatePartition
FEW = 25  # of one BatchDeletePartition
Run = Callable[[], Any]
Name = tuple[str, str]

QUERIES_OF_NAMES = frozenset(
    {
        "DescribeRelation",
        "DescribeColumn",
        "ShowCreateTable",
        "ShowTableProperties",
        "ShowPartitions",
        "ShowColumns",
        "RefreshTable",
        "AnalyzeTable",
        "AnalyzeColumn",
        "CacheTable",
        "CacheTableAsSelect",
        "UncacheTable",
        "LoadData",
    }
)
ALTERATIONS = frozenset(
    {
        "AddColumns",
        "ReplaceColumns",
        "AlterColumn",
        "DropColumns",
        "RenameColumn",
        "SetTableProperties",
        "UnsetTableProperties",
        "SetTableLocation",
        "CommentOnTable",
    }
)
PARTITION_CHANGES = frozenset(
    {
        "AddPartitions",
        "DropPartitions",
        "RenamePartitions",
        "RepairTable",
        "RecoverPartitions",
        "TruncateTable",
        "TruncatePartition",
    }
)
REFUSED = {
    "CreateView": "CREATE VIEW: use CREATE TEMP VIEW",
    "AlterViewAs": "ALTER VIEW",
    "CreateTableLikeCommand": "CREATE TABLE LIKE",
    "RenameTable": "Table rename is not supported",
    "ReplaceTable": "REPLACE TABLE",
    "ReplaceTableAsSelect": "REPLACE TABLE AS SELECT",
    "ShowTableExtended": "SHOW TABLE EXTENDED",
    "ShowViews": "SHOW VIEWS",
    "SetNamespaceProperties": "ALTER DATABASE",
    "SetNamespaceLocation": "ALTER DATABASE SET LOCATION",
    "CommentOnNamespace": "COMMENT ON DATABASE",
    "SetTableSerDeProperties": "ALTER TABLE SET SERDE",
}


class Metastore:
    """The Data Catalog behind one Spark session."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        self.state = spark._jsparkSession.sessionState()

    # ---- statements

    def sql(self, text: str, run: Run) -> DataFrame:
        """What `spark.sql(text)` answers; `run` is that, on Spark's own catalog."""
        try:
            plan = self.state.sqlParser().parsePlan(text)
        except Exception:  # frames named in braces, or an error that Spark tells in its words
            return self.found(run)
        kind = plan.getClass().getSimpleName()
        if kind in REFUSED:
            raise NotImplementedError(f"{REFUSED[kind]} on the Data Catalog is not carried")
        handler: Callable[[Any, Run], DataFrame | None] | None = getattr(self, f"_{kind}", None)
        if handler is not None:
            answer = handler(plan, run)
            return self._nothing() if answer is None else answer
        if kind in QUERIES_OF_NAMES:
            self.know(_names(plan))
        elif kind in ALTERATIONS:
            return self._altered(_names(plan), run)
        elif kind in PARTITION_CHANGES:
            return self._partitioned(_names(plan), run)
        elif inserts := _inserts(plan):
            return self._partitioned(inserts, run)
        return self.found(run)

    def _nothing(self) -> DataFrame:
        return self.spark.createDataFrame([], StructType([]))

    def found(self, run: Run) -> Any:
        """Run what reads tables: names that Spark does not know are looked up in the Data Catalog."""
        return _catalog.found(self.spark, run)

    def name(self, parts: list[str]) -> Name:
        """Database and table of a name, in lower case."""
        database = parts[-2] if len(parts) > 1 else self.spark.catalog.currentDatabase()
        return database.lower(), parts[-1].lower()

    def know(self, names: Iterable[list[str]]) -> None:
        """Register what is in the Data Catalog of these names; the others are Spark's to find."""
        for parts in names:
            self.register(*self.name(parts))

    def register(self, database: str, table: str) -> Table | None:
        """A table, known to Spark from now on; None where the Data Catalog has none."""
        try:
            _catalog.register_database(self.spark, database)
            entry = Table(database, table)
        except ClientError as error:
            if error.response["Error"]["Code"] != "EntityNotFoundException":
                raise
            return None
        _catalog.register(self.spark, entry)
        return entry

    # ---- databases

    def _CreateNamespace(self, plan: Any, run: Run) -> None:
        name = _parts(plan.name())[-1].lower()
        properties = _entries.to_dict(plan.properties())
        made = {"Name": name, "Description": properties.pop("comment", ""), "Parameters": properties}
        if location := properties.pop("location", ""):
            made["LocationUri"] = location
        try:
            client("glue").create_database(DatabaseInput=made)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AlreadyExistsException":
                raise
            if not plan.ifNotExists():
                raise AnalysisException(f"[SCHEMA_ALREADY_EXISTS] Cannot create schema `{name}`: it exists.") from None

    def _DropNamespace(self, plan: Any, run: Run) -> Any:
        name = _parts(plan.namespace())[-1].lower()
        if not _has_database(name):
            return run()  # Spark's error, or its silence
        if not plan.cascade() and client("glue").get_tables(DatabaseName=name, MaxResults=1)["TableList"]:
            raise AnalysisException(f"[SCHEMA_NOT_EMPTY] Cannot drop a schema `{name}` because it contains objects.")
        client("glue").delete_database(Name=name)
        plain(self.spark)(f"DROP DATABASE IF EXISTS `{name}` CASCADE")  # there it has no S3 location that could go, too
        return None

    def _ShowNamespaces(self, plan: Any, run: Run) -> Any:
        self.know_databases()
        return run()

    def know_databases(self) -> None:
        for page in client("glue").get_paginator("get_databases").paginate():
            for one in page["DatabaseList"]:
                _catalog.register_database(self.spark, one["Name"], known=True)

    def _SetCatalogAndNamespace(self, plan: Any, run: Run) -> Any:
        return self._in_database(plan.child(), run)

    def _DescribeNamespace(self, plan: Any, run: Run) -> Any:
        return self._in_database(plan.namespace(), run)

    def _in_database(self, named: Any, run: Run) -> Any:
        name = _parts(named)[-1].lower()
        if _has_database(name):
            _catalog.register_database(self.spark, name, known=True)
        return run()

    # ---- lists

    def _ShowTables(self, plan: Any, run: Run) -> Any:
        parts = _parts(plan.namespace())
        database = (parts[-1] if parts else self.spark.catalog.currentDatabase()).lower()
        known = _has_database(database)
        if known:
            _catalog.register_database(self.spark, database, known=True)
        shown = run()
        rows = [tuple(row) for row in shown.collect()]
        there = {row[1] for row in rows}
        pattern = plan.pattern().get() if plan.pattern().isDefined() else "*"
        names = self.tables(database) if known else []
        rows += [(database, name, False) for name in names if name not in there and _fits(name, pattern)]
        return self.spark.createDataFrame(sorted(rows), shown.schema)

    def tables(self, database: str) -> list[str]:
        """The names of a database's tables, whether Spark can read them or not."""
        pages = client("glue").get_paginator("get_tables").paginate(DatabaseName=database)
        return [one["Name"] for page in pages for one in page["TableList"]]

    # ---- tables

    def _CreateTable(self, plan: Any, run: Run) -> Any:
        name = self.name(_parts(plan.name()))
        there = self.register(*name)
        if _is_of_spark(plan):
            return self.created(name, run, there=there is not None)
        if there is None:
            self._create_for_hive(name, plan, plan.tableSchema())
        elif not plan.ignoreIfExists():
            raise _exists(name)
        return None

    def _CreateTableAsSelect(self, plan: Any, run: Run) -> Any:
        name = self.name(_parts(plan.name()))
        there = self.register(*name)
        if _is_of_spark(plan):
            return self.created(name, lambda: self.found(run), there=there is not None)
        if there is not None:
            if plan.ignoreIfExists():
                return None
            raise _exists(name)
        made = self.found(lambda: self._rows(plan.query()))
        self._create_for_hive(name, plan, made._jdf.schema())
        try:
            keys = _entries.keys_of(plan)
            ordered = made.select(*[c for c in made.columns if c.lower() not in keys], *keys)
            self.register(*name)
            self.partitions_after(name, lambda: ordered.write.insertInto(f"`{name[0]}`.`{name[1]}`"))
        except BaseException:
            client("glue").delete_table(DatabaseName=name[0], Name=name[1])
            self.forget(name)
            raise
        return None

    def _rows(self, query: Any) -> DataFrame:
        jvm: Any = self.spark.sparkContext._jvm
        return DataFrame(jvm.org.apache.spark.sql.Dataset.ofRows(self.spark._jsparkSession, query), self.spark)

    def _create_for_hive(self, name: Name, plan: Any, schema: Any) -> None:
        made = _entries.hive_table(
            name[1], plan, StructType.fromJson(_entries.document(schema)), _catalog.place_of(name[0])
        )
        client("glue").create_table(DatabaseName=name[0], TableInput=made)

    def created(self, name: Name, run: Run, *, there: bool) -> Any:
        """Have Spark make a table of its own kind; then the Data Catalog has it, too, if it has not (`there`)."""
        answer = self._at_its_place(name, run)
        made = self._entry(name)
        if there or made is None:
            return answer
        if not made.location.startswith("s3"):
            plain(self.spark)(f"DROP TABLE IF EXISTS `{name[0]}`.`{name[1]}`")
            raise IllegalArgumentException(
                f"Can not create a Path from an empty string: the table {name[1]} names no location, and the database"
                f" {name[0]} has no LocationUri"
            )
        client("glue").create_table(DatabaseName=name[0], TableInput=made.table_input(self.spark.version))
        self._write_partitions(name)
        return answer

    def saved(self, name: Name, run: Run) -> None:
        """Have Spark save a frame as a table; one that is there is added to, or made anew."""
        if self.register(*name) is None:
            self.created(name, run, there=False)
            return
        before = self._entry(name)
        self._at_its_place(name, run)
        after = self._entry(name)
        if after is not None and after != before:
            made = after.table_input(self.spark.version)
            client("glue").update_table(DatabaseName=name[0], TableInput=made)
        self._write_partitions(name)

    def _at_its_place(self, name: Name, run: Run) -> Any:
        place = _catalog.place_of(name[0]) if _has_database(name[0]) else ""
        if not place:
            return run()
        with _catalog.located(self.spark, name[0], place):
            return run()

    def _DropTable(self, plan: Any, run: Run) -> Any:
        parts = _parts(plan.child())
        name = self.name(parts)
        try:
            entry = client("glue").get_table(DatabaseName=name[0], Name=name[1])["Table"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "EntityNotFoundException":
                raise
            return run()
        if entry.get("TableType") == "MANAGED_TABLE" and (place := entry["StorageDescriptor"].get("Location")):
            self._delete(place)
        client("glue").delete_table(DatabaseName=name[0], Name=name[1])
        self.forget(name)
        return None

    def forget(self, name: Name) -> None:
        """Take a table out of Spark's catalog; its files stay."""
        if self._entry(name) is not None:
            plain(self.spark)(f"DROP TABLE IF EXISTS `{name[0]}`.`{name[1]}`")

    def _delete(self, place: str) -> None:
        jvm: Any = self.spark.sparkContext._jvm
        path = jvm.org.apache.hadoop.fs.Path(place)
        path.getFileSystem(self.state.newHadoopConf()).delete(path, True)

    def _altered(self, names: list[list[str]], run: Run) -> Any:
        name = self.name(names[0])
        known = self.register(*name)
        before = self._entry(name)
        answer = run()
        after = self._entry(name)
        if known is not None and before is not None and after is not None:
            made = _entries.changed(known.entry, before, after)
            client("glue").update_table(DatabaseName=name[0], TableInput=made)
        return answer

    def _entry(self, name: Name) -> _entries.Entry | None:
        """The table as Spark's catalog has it now."""
        external = self.state.catalog().externalCatalog()
        if not external.databaseExists(name[0]) or not external.tableExists(*name):
            return None
        return _entries.Entry.of(external.getTable(*name))

    # ---- partitions

    def _partitioned(self, names: list[list[str]], run: Run) -> Any:
        targets = [self.name(parts) for parts in names]
        known = [name for name in targets if self.register(*name) is not None]
        answer = self.found(run)
        for name in known:
            self._write_partitions(name)
        return answer

    def partitions_after(self, name: Name, run: Run) -> Any:
        """Run what changes partitions of a table that is registered."""
        answer = self.found(run)
        self._write_partitions(name)
        return answer

    def _write_partitions(self, name: Name) -> None:
        """Make the Data Catalog's partitions those that Spark has."""
        table = Table(*name)
        if not table.keys:
            return
        external = self.state.catalog().externalCatalog()
        none = self.spark.sparkContext._jvm.scala.Option.apply(None)  # type: ignore[union-attr]
        wanted = {
            one.values: one.location
            for one in _entries.partitions(external.listPartitions(*name, none), table.keys, table.location)
        }
        known = {one.values: one.location for one in table.partitions()}
        new = [Partition(values, place) for values, place in wanted.items() if known.get(values) is None]
        old = [values for values in known if values not in wanted]
        _create_partitions(name, new, table.storage)
        _delete_partitions(name, old)


def _create_partitions(name: Name, new: list[Partition], storage: dict[str, Any]) -> None:
    for start in range(0, len(new), BATCH):
        inputs = [
            {"Values": list(one.values), "StorageDescriptor": {**storage, "Location": one.location}}
            for one in new[start : start + BATCH]
        ]
        asked = {"DatabaseName": name[0], "TableName": name[1], "PartitionInputList": inputs}
        _without_errors(client("glue").batch_create_partition(**asked), name)


def _delete_partitions(name: Name, old: list[tuple[str, ...]]) -> None:
    for start in range(0, len(old), FEW):
        values = [{"Values": list(one)} for one in old[start : start + FEW]]
        asked = {"DatabaseName": name[0], "TableName": name[1], "PartitionsToDelete": values}
        _without_errors(client("glue").batch_delete_partition(**asked), name)


def _without_errors(answer: dict[str, Any], name: Name) -> None:
    if answer.get("Errors"):
        raise RuntimeError(f"the Data Catalog refused partitions of {'.'.join(name)}: {answer['Errors'][0]}")


def _has_database(name: str) -> bool:
    try:
        client("glue").get_database(Name=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "EntityNotFoundException":
            raise
        return False
    return True


def _exists(name: Name) -> AnalysisException:
    full = ".".join(f"`{part}`" for part in name)
    return AnalysisException(f"[TABLE_OR_VIEW_ALREADY_EXISTS] Cannot create table or view {full}: it exists.")


def _fits(name: str, pattern: str) -> bool:
    """Spark's patterns: `*` is any text, `|` parts alternatives."""
    return any(
        re.fullmatch(".*".join(map(re.escape, one.strip().split("*"))), name, re.IGNORECASE)
        for one in pattern.split("|")
    )


# ---- Spark's parsed plans

UNRESOLVED = {
    "UnresolvedIdentifier": "nameParts",
    "UnresolvedTable": "multipartIdentifier",
    "UnresolvedTableOrView": "multipartIdentifier",
    "UnresolvedRelation": "multipartIdentifier",
    "UnresolvedNamespace": "multipartIdentifier",
    "UnresolvedView": "multipartIdentifier",
}


def _parts(node: Any) -> list[str]:
    """The parts of a name in a plan; none for what names nothing."""
    member = UNRESOLVED.get(node.getClass().getSimpleName())
    return [str(part) for part in _entries.to_list(getattr(node, member)())] if member else []


def _names(plan: Any) -> list[list[str]]:
    found = [_parts(leaf) for leaf in _entries.to_list(plan.collectLeaves())]
    return [parts for parts in found if parts]


def _inserts(plan: Any) -> list[list[str]]:
    """The tables that a statement inserts into: one, or several of `FROM t INSERT ... INSERT ...`."""
    kind = plan.getClass().getSimpleName()
    if kind == "InsertIntoStatement":
        return [_parts(plan.table())]
    if kind == "UnresolvedWith":
        return _inserts(plan.child())
    if kind == "Union":
        return [parts for child in _entries.to_list(plan.children()) for parts in _inserts(child)]
    return []


def _is_of_spark(plan: Any) -> bool:
    """Is it CREATE TABLE ... USING? The other kind is Hive's."""
    return bool(plan.tableSpec().provider().isDefined())


# ---- in Spark's place


def install() -> None:
    """Put the Data Catalog behind every session of this process."""
    _install_statements()
    _install_writers()
    _install_catalog()
    # The metastore is ours: Hive's embedded one would be an empty Derby database.
    SparkSession.Builder.enableHiveSupport = lambda self: self


def _install_statements() -> None:
    sql_of_spark, table_of_spark = SparkSession.sql, SparkSession.table

    def sql(self: SparkSession, sqlQuery: str, *args: Any, **kwargs: Any) -> DataFrame:
        return Metastore(self).sql(sqlQuery, lambda: sql_of_spark(self, sqlQuery, *args, **kwargs))

    def table(self: SparkSession, tableName: str) -> DataFrame:
        found: DataFrame = Metastore(self).found(lambda: table_of_spark(self, tableName))
        return found

    SparkSession.sql = sql
    SparkSession.table = table


def _install_writers() -> None:
    save_of_spark, insert_of_spark = DataFrameWriter.saveAsTable, DataFrameWriter.insertInto

    def saveAsTable(self: DataFrameWriter, name: str, *args: Any, **kwargs: Any) -> None:
        whole = metastore_name(self._spark, name)
        Metastore(self._spark).saved(whole, lambda: save_of_spark(self, name, *args, **kwargs))

    def insertInto(self: DataFrameWriter, tableName: str, overwrite: bool | None = None) -> None:
        metastore, whole = Metastore(self._spark), metastore_name(self._spark, tableName)
        if metastore.register(*whole) is None:
            insert_of_spark(self, tableName, overwrite)
        else:
            metastore.partitions_after(whole, lambda: insert_of_spark(self, tableName, overwrite))

    def writeTo(self: DataFrame, table: str) -> Any:
        raise NotImplementedError("DataFrame.writeTo on the Data Catalog is not carried: use saveAsTable or insertInto")

    DataFrameWriter.saveAsTable = saveAsTable
    DataFrameWriter.insertInto = insertInto
    DataFrame.writeTo = writeTo


def metastore_name(spark: SparkSession, name: str) -> Name:
    """Database and table that a writer's text names."""
    parts = spark._jsparkSession.sessionState().sqlParser().parseMultipartIdentifier(name)
    return Metastore(spark).name([str(part) for part in _entries.to_list(parts)])


def _install_catalog() -> None:
    """`spark.catalog`: what asks for a name has it registered, what lists has everything."""
    _before("listDatabases", lambda metastore, given: metastore.know_databases())
    for method in ("databaseExists", "getDatabase", "setCurrentDatabase"):
        _before(method, _know_database)
    for method in ("tableExists", "getTable", "listColumns", "refreshTable", "cacheTable"):
        _before(method, _know_table)
    _install_list_tables()

    def recoverPartitions(self: Catalog, tableName: str) -> None:
        whole = ".".join(f"`{part}`" for part in metastore_name(self._sparkSession, tableName))
        self._sparkSession.sql(f"ALTER TABLE {whole} RECOVER PARTITIONS")

    def createTable(self: Catalog, tableName: str, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("spark.catalog.createTable on the Data Catalog is not carried: use CREATE TABLE")

    Catalog.recoverPartitions = recoverPartitions
    Catalog.createTable = createTable
    Catalog.createExternalTable = createTable


def _before(method: str, prepare: Callable[[Metastore, tuple[Any, ...]], object]) -> None:
    """Have something done before a method of `spark.catalog`."""
    of_spark = getattr(Catalog, method)

    def run(self: Catalog, *args: Any, **kwargs: Any) -> Any:
        prepare(Metastore(self._sparkSession), (*args, *kwargs.values()))
        return of_spark(self, *args, **kwargs)

    setattr(Catalog, method, run)


def _know_database(metastore: Metastore, given: tuple[Any, ...]) -> None:
    if _has_database(str(given[0]).lower()):
        _catalog.register_database(metastore.spark, str(given[0]).lower(), known=True)


def _know_table(metastore: Metastore, given: tuple[Any, ...]) -> None:
    name = f"{given[1]}.{given[0]}" if len(given) > 1 and isinstance(given[1], str) else str(given[0])
    metastore.register(*metastore_name(metastore.spark, name))


def _install_list_tables() -> None:
    of_spark = Catalog.listTables

    def listTables(self: Catalog, dbName: str | None = None, pattern: str | None = None) -> list[Listed]:
        metastore, name = Metastore(self._sparkSession), (dbName or self.currentDatabase()).lower()
        if not _has_database(name):
            return of_spark(self, dbName, pattern)
        _catalog.register_database(metastore.spark, name, known=True)
        found = of_spark(self, dbName, pattern)
        there = {one.name for one in found}
        names = [one for one in metastore.tables(name) if one not in there and _fits(one, pattern or "*")]
        return [*found, *(Listed(one, "spark_catalog", [name], None, "EXTERNAL", False) for one in names)]

    Catalog.listTables = listTables
