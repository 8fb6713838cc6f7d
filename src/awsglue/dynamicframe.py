"""DynamicFrame: records that describe themselves, and the transforms that Glue scripts use on them.

It wraps a Spark DataFrame, and as long as no field has several types it is one: toDF and fromDF cost nothing, and all
transforms but `map` and `filter` are DataFrame operations. A field whose records disagree about its type is a choice
(_choices.py); `resolveChoice` decides (_resolve.py). Functions that raise make error records (_records.py), which
`errorsAsDynamicFrame` shows and `stageThreshold` and `totalThreshold` limit; `info` is kept with them.

Limits, where AWS differs or does not say: a value that cannot be cast is null and no error record; a mapping whose
source type is not the field's type casts what is there; a field that a record lacks is one that is null, but for
functions over records of JSON and XML, and there a null is one that it lacks (_records.Partial); a threshold is looked
at when the frame is used (toDF, count, show, write), not while rows pass.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyspark import RDD, StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from awsglue import _choices, _fields, _jdbc, _paths, _records, _relations, _resolve, _s3, _unbox, gluetypes
from awsglue._choices import tick
from awsglue._records import ErrorThresholdExceeded, Record, Stage
from awsglue._table import Table
from awsglue.gluetypes import NOTHING

if TYPE_CHECKING:
    from awsglue.context import GlueContext

__all__ = [
    "DynamicFrame",
    "DynamicFrameCollection",
    "DynamicFrameReader",
    "DynamicFrameWriter",
    "ErrorThresholdExceeded",
    "ResolveOption",
]

Paths = str | Sequence[str]


class ResolveOption:
    """For toDF: `path`, what becomes of the choice there (`Project`, `Cast`, `KeepAsStruct`), and for the first two the
    `target` type."""

    def __init__(self, path: str, action: str, target: gluetypes.DataType | t.DataType | str | None = None) -> None:
        self.path, self.action, self.target = path, action, target

    def spec(self) -> tuple[str, str]:
        """The same for resolveChoice."""
        actions = {"project": "project", "cast": "cast", "keepasstruct": "make_struct"}
        verb = actions.get(self.action.lower())
        if verb is None:
            raise ValueError(f"ResolveOption: {self.action!r} is none of Project, Cast, KeepAsStruct")
        if verb == "make_struct":
            return self.path, verb
        if self.target is None:
            raise ValueError(f"ResolveOption {self.action} for {self.path} needs a target type")
        named = self.target if isinstance(self.target, str) else self.target.typeName()
        return self.path, f"{verb}:{named}"


class DynamicFrame:
    """See the module's docstring."""

    def __init__(self, jdf: DataFrame, glue_ctx: GlueContext, name: str = "") -> None:
        if not isinstance(jdf, DataFrame):
            raise TypeError("make a DynamicFrame with DynamicFrame.fromDF(dataframe, glue_ctx, name)")
        self._frame: DataFrame | None = jdf
        self._given: DataFrame | None = None  # what toDF gives back, where that is not the frame in here
        self._untyped: tuple[RDD[Any], t.StructType] | None = None
        self._stage = Stage(failed=vars(jdf).get("_failed"), name=name)  # a reader's own error records
        self._lacking = False  # whether a null is a field that the record lacks (Map and Filter see the difference)
        self.glue_ctx, self.name = glue_ctx, name

    @classmethod
    def fromDF(cls, dataframe: DataFrame, glue_ctx: GlueContext, name: str) -> DynamicFrame:
        """A DataFrame as a DynamicFrame. Where columns share a name, transforms see the second with a dot before it
        and a join's two keys as one; toDF gives the DataFrame back."""
        names = dataframe.columns
        if len(set(names)) == len(names):
            return cls(dataframe, glue_ctx, name)
        made = cls(_fields.once(dataframe), glue_ctx, name)
        made._given = dataframe
        return made

    def toDF(self, options: Sequence[ResolveOption] | None = None) -> DataFrame:
        """The DataFrame. A choice becomes what `options` say, or a struct with a field for each of its types."""
        self._stage.check()
        if self._given is not None:
            return self._given
        frame = _resolve.by_specs(self._df, (one.spec() for one in options)) if options else self._df
        return _choices.plain_frame(frame)

    @property
    def _df(self) -> DataFrame:
        """The frame in Spark, choices marked."""
        if self._frame is None:
            assert self._untyped is not None
            records, hint = self._untyped
            self._frame = _records.typed(self.glue_ctx.spark_session, records, hint)
        return self._frame

    def _records(self) -> tuple[RDD[Any], t.StructType]:
        """The records as dicts, and the types that their fields have or had."""
        if self._frame is None and self._untyped is not None:
            return self._untyped
        return _records.of_frame(self._df, lacking=self._lacking), self._df.schema

    def _new(
        self, frame: DataFrame, transform: str = "", stage: int = 0, total: int = 0, name: str = ""
    ) -> DynamicFrame:
        """The next frame: `stage` and `total` are its thresholds."""
        made = DynamicFrame(frame, self.glue_ctx, name or self.name)
        made._stage, made._lacking = Stage((self._stage,), None, stage, total, transform), self._lacking
        return made

    # ---- looking

    def count(self) -> int:
        """The number of records."""
        self._stage.check()
        if self._untyped is None:
            return int(self._df.count())
        return int(self._untyped[0].persist(StorageLevel.DISK_ONLY).count())

    def schema(self) -> gluetypes.StructType:
        """Glue's schema, with its choices."""
        made = _choices.glue_type(self._df.schema)
        assert isinstance(made, gluetypes.StructType)
        return made

    def with_frame_schema(self, schema: gluetypes.StructType) -> DynamicFrame:
        """The same frame: its records have their types already, `schema` is not asked."""
        return self

    def printSchema(self) -> None:
        """Print the schema as a tree."""
        print(_choices.tree(self._df.schema))

    def show(self, num_rows: int = 20) -> None:
        """Print records as JSON, one a line."""
        self._stage.check()
        record = _records.decoder(self._df.schema)
        for row in self._df.limit(num_rows).collect():
            print(json.dumps(_present(record(row)), default=_text, ensure_ascii=False))

    def getNumPartitions(self) -> int:
        """The number of partitions."""
        return int(self._df.rdd.getNumPartitions())

    # ---- errors

    def errorsCount(self) -> int:
        """The error records of all steps up to here."""
        return self._stage.total()

    def stageErrorsCount(self) -> int:
        """The error records of the step that made this frame."""
        return self._stage.count()

    def errorsAsDynamicFrame(self) -> DynamicFrame:
        """The error records of all steps up to here: `error` with msg, stackTrace, callsite and dynamicRecord."""
        failed = [one.failed() for one in self._stage.way() if one.failed]
        spark = self.glue_ctx.spark_session
        made = DynamicFrame(_s3.empty(spark), self.glue_ctx, "errors")
        if failed:
            made._frame, made._untyped = None, (functools.reduce(RDD.union, failed), t.StructType([]))
        return made

    def assertErrorThreshold(self) -> None:
        """Raise ErrorThresholdExceeded when there are more errors than the thresholds of the steps up to here allow."""
        self._stage.check()

    # ---- shape

    def repartition(
        self,
        num_partitions: int,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """The same records in so many partitions."""
        return self._new(self._df.repartition(num_partitions), "repartition", stageThreshold, totalThreshold)

    def coalesce(
        self,
        num_partitions: int,
        shuffle: bool = False,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """The same records in at most so many partitions; `shuffle` moves them to be even."""
        frame = self._df.repartition(num_partitions) if shuffle else self._df.coalesce(num_partitions)
        return self._new(frame, "coalesce", stageThreshold, totalThreshold)

    def union(
        self,
        other_frame: DynamicFrame,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """The records of both. A field that has different types in them is a choice."""
        made = self._new(_records.union(self._df, other_frame._df), "union", stageThreshold, totalThreshold)
        made._stage.parents = (self._stage, other_frame._stage)
        made._lacking = self._lacking or other_frame._lacking
        return made

    def apply_mapping(
        self,
        mappings: Sequence[Any],
        case_sensitive: bool = False,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Mappings (source, source type, target, target type), or shorter; a source that is not there is left out."""
        targets: dict[str, Any] = {}
        for mapping in mappings:
            source, said, target, wanted = _fields.mapping(mapping)
            steps = _paths.find(self._df.schema, source, case_sensitive=case_sensitive)
            if steps is not None:
                _fields.put(targets, target, _fields.mapped(*_paths.value(self._df, steps), said, wanted))
        frame = self._df.select(*(_fields.nested(name, value) for name, value in targets.items()))
        return self._new(frame, "apply_mapping", stageThreshold, totalThreshold)

    def applyMapping(self, *args: Any, **kwargs: Any) -> DynamicFrame:
        """apply_mapping by the name that it has in Scala."""
        return self.apply_mapping(*args, **kwargs)

    def select_fields(
        self,
        paths: Paths,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """The fields of these paths; one that is not there is left out."""
        targets: dict[str, Any] = {}
        for path in _listed(paths):
            steps = _paths.find(self._df.schema, path)
            if steps is not None:
                column, _ = _paths.value(self._df, steps)
                _fields.put(targets, ".".join(tick(step) for step in steps if step != _paths.ELEMENTS), column)
        frame = self._df.select(*(_fields.nested(name, value) for name, value in targets.items()))
        return self._new(frame, "select_fields", stageThreshold, totalThreshold)

    def drop_fields(
        self,
        paths: Paths,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """All fields but these; a path may lead into structs and through arrays."""
        frame = self._df
        for path in _listed(paths):
            steps = _paths.find(frame.schema, path)
            if steps is not None and len(steps) == 1:
                frame = frame.drop(steps[0])
            elif steps is not None:
                frame = _paths.edited(frame, steps, lambda *_: ())
        return self._new(frame, "drop_fields", stageThreshold, totalThreshold)

    def rename_field(
        self,
        oldName: str,
        newName: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Rename a field; in its place when `newName` has the same parents, else it moves to the path `newName`."""
        frame, steps, target = self._df, _paths.find(self._df.schema, oldName), _paths.names(newName)
        if steps is not None:
            if target[:-1] == steps[:-1]:
                frame = _paths.edited(frame, steps, lambda _, column, __: [(target[-1], column)])
            else:
                frame = self._moved(steps, target)
        return self._new(frame, "rename_field", stageThreshold, totalThreshold)

    def _moved(self, steps: list[str], target: list[str]) -> DataFrame:
        """The frame with a field taken from one path to another."""
        column, _ = _paths.value(self._df, steps)
        carried = self._df.withColumn("\0moved", column)
        frame = _paths.edited(carried, steps, lambda *_: ())
        targets: dict[str, Any] = {}
        for one in frame.schema.fields:
            if one.name == target[0] and isinstance(one.dataType, t.StructType):
                for inner in one.dataType.fields:
                    _fields.put(
                        targets, f"{tick(one.name)}.{tick(inner.name)}", frame[tick(one.name)].getField(inner.name)
                    )
            elif one.name != "\0moved":
                targets[one.name] = frame[tick(one.name)]
        _fields.put(targets, ".".join(map(tick, target)), frame["\0moved"])
        return frame.select(*(_fields.nested(name, value) for name, value in targets.items()))

    def resolveChoice(
        self,
        specs: Sequence[Sequence[str]] | None = None,
        choice: str = "",
        database: str | None = None,
        table_name: str | None = None,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
        catalog_id: str | None = None,
        **options: Any,
    ) -> DynamicFrame:
        """`specs` of (path, action), or one `choice` for all choices (`option` is its older name).

        Actions: cast:type, project:type, make_cols, make_struct; a choice may also be match_catalog, with `database`
        and `table_name`. ValueError for other actions, and for both or neither of the two.
        """
        choice = choice or str(options.pop("option", ""))
        if options:
            raise TypeError(f"resolveChoice got unexpected arguments {sorted(options)}")
        if bool(specs) == bool(choice):
            raise ValueError("resolveChoice takes either specs or choice")
        if choice.lower() == "match_catalog":
            if not database or not table_name:
                raise ValueError("resolveChoice match_catalog needs database and table_name")
            fields = Table(database, table_name).schema(partitions=True).fields
            frame = _resolve.as_types(self._df, {one.name.lower(): one.dataType for one in fields})
        else:
            frame = _resolve.by_specs(self._df, specs) if specs else _resolve.by_choice(self._df, choice)
        return self._new(frame, "resolveChoice", stageThreshold, totalThreshold)

    def unnest(
        self, transformation_ctx: str = "", info: str = "", stageThreshold: int = 0, totalThreshold: int = 0
    ) -> DynamicFrame:
        """Structs become columns `outer.inner`; arrays stay."""
        return self._new(_relations.unnested(self._df), "unnest", stageThreshold, totalThreshold)

    def unnest_ddb_json(
        self, transformation_ctx: str = "", info: str = "", stageThreshold: int = 0, totalThreshold: int = 0
    ) -> DynamicFrame:
        """The columns of a DynamoDB export's `Item`, with values in the place of DynamoDB's JSON."""
        return self._new(_relations.unnested_items(self._df), "unnest_ddb_json", stageThreshold, totalThreshold)

    def simplify_ddb_json(
        self, transformation_ctx: str = "", info: str = "", stageThreshold: int = 0, totalThreshold: int = 0
    ) -> DynamicFrame:
        """Values in the place of DynamoDB's JSON."""
        return self._new(_relations.simplified(self._df), "simplify_ddb_json", stageThreshold, totalThreshold)

    def unbox(
        self,
        path: str,
        format: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
        **options: Any,
    ) -> DynamicFrame:
        """Parse a string field: json, csv. `withSchema` (a schema as JSON) saves looking at all values."""
        steps = _paths.find(self._df.schema, path)
        if steps is None:
            raise ValueError(f"unbox: no field {path}")
        frame, failed = _unbox.unboxed(self._df, steps, format, options, {"site": _site(), "info": info})
        made = self._new(frame, "unbox", stageThreshold, totalThreshold)
        made._stage.failed = failed
        return made

    # ---- rows

    def filter(
        self,
        f: Callable[[Record], Any],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """The records for which `f(record)` is true; a record is read by `record["field"]`."""
        if self._frame is None and self._untyped is not None:
            records, hint = self._untyped
            made = self._later(_records.results(records, lambda one: one if f(one) else None), hint)
        else:
            made = self._new(self._df.where(_records.holds(self._df, f, lacking=self._lacking)))
        return self._failing(made, f, "filter", info, stageThreshold, totalThreshold)

    def map(
        self,
        f: Callable[[Record], Any],
        preservesPartitioning: bool = False,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """`f(record)` of each record, typed when something needs the schema."""
        records, hint = self._records()
        made = self._later(_records.results(records, f), hint)
        return self._failing(made, f, "map", info, stageThreshold, totalThreshold)

    def mapPartitions(
        self,
        f: Callable[[Iterable[Record]], Iterable[Record]],
        preservesPartitioning: bool = True,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """`f(records)` of each partition gives its new records. What it raises ends the job."""
        return self.mapPartitionsWithIndex(
            lambda _, part: f(part), preservesPartitioning, "", info, stageThreshold, totalThreshold
        )

    def mapPartitionsWithIndex(
        self,
        f: Callable[[int, Iterable[Record]], Iterable[Record]],
        preservesPartitioning: bool = False,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """As mapPartitions, with the partition's number before the records."""
        records, hint = self._records()
        made = self._later(records.mapPartitionsWithIndex(f, preservesPartitioning), hint)
        made._stage = Stage((self._stage,), None, stageThreshold, totalThreshold, "mapPartitions")
        return made

    def _later(self, records: RDD[Any], hint: t.StructType) -> DynamicFrame:
        """A frame of records that get their types when they are needed."""
        made = DynamicFrame(_s3.empty(self.glue_ctx.spark_session), self.glue_ctx, self.name)
        made._frame, made._untyped, made._lacking = None, (records, hint), self._lacking
        return made

    def _failing(
        self, made: DynamicFrame, f: Callable[[Record], Any], transform: str, info: str, stage: int, total: int
    ) -> DynamicFrame:
        """`made` by a function that may raise: the error records are found when somebody asks for them."""
        about = {"site": _site(), "info": info, "must": "record" if transform == "map" else ""}

        def failed() -> RDD[Any]:
            return _records.failures(self._records()[0], f, about)

        made._stage = Stage((self._stage,), failed, stage, total, transform)
        return made

    def join(
        self,
        paths1: Paths,
        paths2: Paths,
        frame2: DynamicFrame,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Inner equality join. All columns of both stay; one of frame2 whose name is taken gets a dot before it."""
        ones, twos = _listed(paths1), _listed(paths2)
        if len(ones) != len(twos) or not ones:
            raise ValueError("join: as many paths of the one frame as of the other")
        taken = {name.lower() for name in self._df.columns}
        new = {name: f".{name}" if name.lower() in taken else name for name in frame2._df.columns}
        right = frame2._df.toDF(*new.values()) if new else frame2._df
        conditions = []
        for one, two in zip(ones, twos, strict=True):
            left, other = _paths.find(self._df.schema, one), _paths.find(frame2._df.schema, two)
            if left is None or other is None:
                raise ValueError(f"join: no field {one if left is None else two}")
            keys = _paths.value(self._df, left), _paths.value(right, [new[other[0]], *other[1:]])
            conditions.append(_fields.comparable(*keys[0]) == _fields.comparable(*keys[1]))
        joined = self._df.join(right, functools.reduce(Column.__and__, conditions), "inner")
        made = self._new(joined, "join", stageThreshold, totalThreshold)
        made._stage.parents = (self._stage, frame2._stage)
        made._lacking = self._lacking or frame2._lacking
        return made

    def mergeDynamicFrame(
        self,
        stage_dynamic_frame: DynamicFrame,
        primary_keys: Sequence[str],
        transformation_ctx: str = "",
        options: Mapping[str, Any] = NOTHING,
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """The staged records, and those of this frame whose keys are not staged."""
        staged = stage_dynamic_frame._df
        keys = [tick(key.strip("`")) for key in primary_keys]
        same = functools.reduce(Column.__and__, [self._df[key].eqNullSafe(staged[key]) for key in keys])
        kept = self._df.join(staged.select(*keys), same, "left_anti")
        made = self._new(_records.union(kept, staged), "mergeDynamicFrame", stageThreshold, totalThreshold)
        made._stage.parents = (self._stage, stage_dynamic_frame._stage)
        return made

    def split_fields(
        self,
        paths: Paths,
        name1: str,
        name2: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        """Two frames: these fields, and the others."""
        picked = self.select_fields(paths, stageThreshold=stageThreshold, totalThreshold=totalThreshold)
        one, two = name1 or f"{self.name}1", name2 or f"{self.name}2"
        return DynamicFrameCollection({one: picked, two: self.drop_fields(paths)}, self.glue_ctx)

    def split_rows(
        self,
        comparison_dict: Mapping[str, Mapping[str, Any]],
        name1: str,
        name2: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        """Two frames: rows for which all comparisons ({"age": {">": 10}}) hold, and the others."""
        conditions = list(_fields.comparisons(self._df, comparison_dict))
        kept = f.coalesce(functools.reduce(Column.__and__, conditions, f.lit(True)), f.lit(False))
        one, two = name1 or f"{self.name}1", name2 or f"{self.name}2"
        frames = {
            name: self._new(self._df.where(test), "split_rows", stageThreshold, totalThreshold, name)
            for name, test in ((one, kept), (two, ~kept))
        }
        return DynamicFrameCollection(frames, self.glue_ctx)

    def relationalize(
        self,
        root_table_name: str,
        staging_path: str | None = None,
        options: Mapping[str, Any] | None = NOTHING,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        """Flat frames: structs become `outer.inner`, each array a frame of its own (id, index, val...) that the number
        in its place points to. They are staged in the run's own folder; `staging_path` is not written to."""
        frames = {
            name: self._new(frame, "relationalize", stageThreshold, totalThreshold, name)
            for name, frame in _relations.relations(root_table_name, self._df)
        }
        return DynamicFrameCollection(frames, self.glue_ctx)

    def spigot(
        self,
        path: str,
        options: Mapping[str, Any] = NOTHING,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Write some records as JSON below `path`: the first `topk`, each picked with probability `prob`."""
        given = dict(options or {})
        rows = self.toDF()
        rows = rows.sample(float(given["prob"])) if "prob" in given else rows
        rows = rows.limit(int(given["topk"])) if int(given.get("topk", -1)) >= 0 else rows
        if rows.columns:
            rows.write.mode("append").option("mapreduce.fileoutputcommitter.marksuccessfuljobs", "false").json(path)
        return self._new(self._df, "spigot", stageThreshold, totalThreshold)

    def write(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] = NOTHING,
        format: str | None = None,
        format_options: Mapping[str, Any] = NOTHING,
        accumulator_size: int = 0,
    ) -> DynamicFrame:
        """Write the records through a sink of the context."""
        return self.glue_ctx.write_dynamic_frame_from_options(
            self, connection_type, dict(connection_options or {}), format, dict(format_options or {})
        )


class DynamicFrameCollection:
    """Named DynamicFrames."""

    def __init__(self, dynamic_frames: Mapping[str, DynamicFrame], glue_ctx: GlueContext) -> None:
        self._frames, self.glue_ctx = dict(dynamic_frames), glue_ctx

    def keys(self) -> Any:
        """The names."""
        return self._frames.keys()

    def values(self) -> Any:
        """The frames."""
        return self._frames.values()

    def items(self) -> Any:
        """Names and frames."""
        return self._frames.items()

    def select(self, key: str, transformation_ctx: str = "") -> DynamicFrame:
        """The frame of a name. KeyError, with the names that there are, when it is not there."""
        if key not in self._frames:
            raise KeyError(f"no frame {key!r}; there are {', '.join(self._frames)}")
        return self._frames[key]

    def __getitem__(self, key: str) -> DynamicFrame:
        return self.select(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def map(self, callable: Callable[..., DynamicFrame], transformation_ctx: str = "") -> DynamicFrameCollection:
        """`callable(frame, transformation_ctx)` of each frame, under its name."""
        frames = {name: callable(frame, f"{transformation_ctx}{name}") for name, frame in self._frames.items()}
        return DynamicFrameCollection(frames, self.glue_ctx)

    def flatmap(self, f: Callable[..., DynamicFrameCollection], transformation_ctx: str = "") -> DynamicFrameCollection:
        """`f(frame, transformation_ctx)` of each frame gives a collection; all of them in one, `<name>_<name>`."""
        frames: dict[str, DynamicFrame] = {}
        for name, frame in self._frames.items():
            made = f(frame, f"{transformation_ctx}{name}")
            frames |= {f"{name}_{key}": made[key] for key in made}
        return DynamicFrameCollection(frames, self.glue_ctx)


# ---- readers and writers, as GlueContext offers them


class DynamicFrameReader:
    """glueContext.create_dynamic_frame"""

    def __init__(self, glue_context: GlueContext) -> None:
        self._glue_context = glue_context

    def from_rdd(self, data: Any, name: str, schema: Any = None, sampleRatio: float | None = None) -> DynamicFrame:
        """Records from an RDD."""
        return self._glue_context.create_dynamic_frame_from_rdd(data, name, schema, sampleRatio)

    def from_options(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] = NOTHING,
        format: str | None = None,
        format_options: Mapping[str, Any] = NOTHING,
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        **kwargs: Any,
    ) -> DynamicFrame:
        """Records from a connection: see GlueContext.create_dynamic_frame_from_options."""
        return self._glue_context.create_dynamic_frame_from_options(
            connection_type,
            connection_options,
            format,
            format_options,
            transformation_ctx,
            push_down_predicate,
            **kwargs,
        )

    def from_catalog(
        self,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        push_down_predicate: str = "",
        additional_options: Mapping[str, Any] = NOTHING,
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DynamicFrame:
        """Records of a table in the Data Catalog; `name_space` is the older name of `database`."""
        return self._glue_context.create_dynamic_frame_from_catalog(
            database,
            table_name,
            redshift_tmp_dir,
            transformation_ctx,
            push_down_predicate,
            additional_options,
            catalog_id,
            **kwargs,
        )


class DynamicFrameWriter:
    """glueContext.write_dynamic_frame"""

    def __init__(self, glue_context: GlueContext) -> None:
        self._glue_context = glue_context

    def from_options(
        self,
        frame: DynamicFrame,
        connection_type: str,
        connection_options: Mapping[str, Any] = NOTHING,
        format: str | None = None,
        format_options: Mapping[str, Any] = NOTHING,
        transformation_ctx: str = "",
    ) -> DynamicFrame:
        """Write to a connection: see GlueContext.write_dynamic_frame_from_options."""
        return self._glue_context.write_dynamic_frame_from_options(
            frame, connection_type, connection_options, format, format_options, transformation_ctx
        )

    def from_catalog(
        self,
        frame: DynamicFrame,
        database: str | None = None,
        table_name: str | None = None,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        additional_options: Mapping[str, Any] = NOTHING,
        catalog_id: str | None = None,
        **kwargs: Any,
    ) -> DynamicFrame:
        """Write to a table of the Data Catalog; `name_space` is the older name of `database`."""
        return self._glue_context.write_dynamic_frame_from_catalog(
            frame,
            database,
            table_name,
            redshift_tmp_dir,
            transformation_ctx,
            additional_options,
            catalog_id,
            **kwargs,
        )

    def from_jdbc_conf(
        self,
        frame: DynamicFrame,
        catalog_connection: str,
        connection_options: Mapping[str, Any] = NOTHING,
        redshift_tmp_dir: str = "",
        transformation_ctx: str = "",
        catalog_id: str | None = None,
    ) -> DynamicFrame:
        """Write to the database behind a Glue connection."""
        return self._glue_context.write_dynamic_frame_from_jdbc_conf(
            frame, catalog_connection, connection_options, redshift_tmp_dir, transformation_ctx, catalog_id
        )


# ---- pieces


def _listed(paths: Paths) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)


def _site() -> str:
    """File and line of the script that called a transform."""
    frame = inspect.currentframe()
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.rpartition("/")[0].endswith(("/awsglue", "/awsglue/transforms")):
            return f"{name}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _present(value: Any) -> Any:
    """Without the fields that are null, which a record does not have."""
    if isinstance(value, dict):
        return {key: _present(one) for key, one in value.items() if one is not None}
    return [_present(one) for one in value] if isinstance(value, list) else value


def _text(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray)):
        return list(value)
    return float(value) if type(value).__name__ == "Decimal" else str(value)


def write_jdbc(frame: DynamicFrame, database: _jdbc.Database, options: Mapping[str, Any]) -> DynamicFrame:
    """Append to a table of a database."""
    if refused := [name for name in ("preactions", "postactions") if options.get(name)]:
        raise NotImplementedError(f"connection_options {refused} belong to Redshift, which is not carried")
    if "dbtable" not in options:
        raise ValueError("connection_options lack dbtable")
    if frame.toDF().columns:
        _jdbc.write(frame.toDF(), database, options["dbtable"], options)
    return frame
