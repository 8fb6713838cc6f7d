"""DynamicFrame: rows with a schema, and the transforms that Glue scripts use on them. It wraps a Spark DataFrame.

Limits: there are no choice types. Spark's readers decide one type a column, so ResolveChoice casts (`cast`, `project`,
`match_catalog`) and has nothing to do for `make_cols` and `make_struct`. There are no error records: a value that does
not fit becomes null, as Spark does it, so `errorsCount` is 0. `schema()` is Spark's schema.

`info`, `stageThreshold` and `totalThreshold` close each transform and change nothing; a threshold that is not 0 raises.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f
from pyspark.sql.types import ArrayType, BooleanType, MapType, NullType, StructType

from awsglue import _jdbc, _s3
from awsglue._run import stage
from awsglue._table import Table, glue_type

if TYPE_CHECKING:
    from awsglue.context import GlueContext

Record = dict[str, Any]


def tick(name: str) -> str:
    """A top-level column whose name may have dots."""
    return "`" + name.replace("`", "``") + "`"


def at(frame: DataFrame, path: str) -> Column | None:
    """The column of a path: a name as it is, or a way into structs; None when it is not there."""
    path = path.strip("`")
    if path in frame.columns:
        return frame[tick(path)]
    head, *rest = path.replace("`", "").split(".")
    if head not in frame.columns:
        return None
    column, kind = frame[tick(head)], frame.schema[head].dataType
    for part in rest:
        if not isinstance(kind, StructType) or part not in kind.fieldNames():
            return None
        column, kind = column.getField(part), kind[part].dataType
    return column


def unthresholded(stageThreshold: int, totalThreshold: int) -> None:
    if stageThreshold or totalThreshold:
        raise NotImplementedError("error thresholds are not carried: this library makes no error records")


class DynamicFrame:
    """See the module's docstring."""

    def __init__(self, jdf: DataFrame, glue_ctx: GlueContext, name: str = "") -> None:
        if not isinstance(jdf, DataFrame):
            raise TypeError("make a DynamicFrame with DynamicFrame.fromDF(dataframe, glue_ctx, name)")
        self._df, self.glue_ctx, self.name = jdf, glue_ctx, name

    @classmethod
    def fromDF(cls, dataframe: DataFrame, glue_ctx: GlueContext, name: str) -> DynamicFrame:
        return cls(dataframe, glue_ctx, name)

    def toDF(self, options: Sequence[Any] | None = None) -> DataFrame:
        """The DataFrame. `options` (ResolveOption) would resolve choices: there are none."""
        return self._df

    def _new(self, frame: DataFrame, name: str = "") -> DynamicFrame:
        return DynamicFrame(frame, self.glue_ctx, name or self.name)

    # ---- looking

    def count(self) -> int:
        return int(self._df.count())

    def schema(self) -> StructType:
        return self._df.schema

    def printSchema(self) -> None:
        tree: str = self._df._jdf.schema().treeString()
        print(re.sub(r" \(\w+ = \w+\)", "", tree).rstrip())

    def show(self, num_rows: int = 20) -> None:
        """Print rows as JSON, one a line."""
        for row in self._df.limit(num_rows).toJSON().collect():
            print(row)

    def errorsCount(self) -> int:
        return 0

    def stageErrorsCount(self) -> int:
        return 0

    def errorsAsDynamicFrame(self) -> DynamicFrame:
        return self._new(_s3.empty(self._df.sparkSession), "errors")

    def assertErrorThreshold(self) -> None:
        """No errors, nothing to assert."""

    def getNumPartitions(self) -> int:
        return int(self._df.rdd.getNumPartitions())

    # ---- shape

    def repartition(self, num_partitions: int, *_: Any, **__: Any) -> DynamicFrame:
        return self._new(self._df.repartition(num_partitions))

    def coalesce(self, num_partitions: int, shuffle: bool = False, *_: Any, **__: Any) -> DynamicFrame:
        return self._new(self._df.repartition(num_partitions) if shuffle else self._df.coalesce(num_partitions))

    def union(self, other_frame: DynamicFrame, *_: Any, **__: Any) -> DynamicFrame:
        return self._new(self._df.unionByName(other_frame._df, allowMissingColumns=True))

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
        unthresholded(stageThreshold, totalThreshold)
        targets: dict[str, Any] = {}
        for mapping in mappings:
            source, target, kind = _mapping(mapping)
            column = self._at(source, case_sensitive)
            if column is not None:
                _put(
                    targets,
                    target.replace("`", "") if "`" not in target else target,
                    column.cast(glue_type(kind)) if kind and not self._is(column, kind) else column,
                )
        return self._new(self._df.select(*(_nested(name, value) for name, value in targets.items())))

    def _is(self, column: Column, kind: str) -> bool:
        """Whether a column already is what a mapping calls just `array`, `struct` or `map`: Glue Studio does."""
        bare = kind.strip().lower()
        return bare in {"array", "struct", "map"} and self._df.select(column).schema[0].dataType.typeName() == bare

    def _at(self, path: str, case_sensitive: bool = True) -> Column | None:
        found = at(self._df, path)
        if found is None and not case_sensitive:
            spelled = {name.lower(): name for name in self._df.columns}
            head, _, rest = path.strip("`").partition(".")
            if head.lower() in spelled:
                found = at(self._df, ".".join(part for part in (spelled[head.lower()], rest) if part))
        return found

    def select_fields(
        self,
        paths: str | Sequence[str],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """The fields of these paths; one that is not there is left out."""
        unthresholded(stageThreshold, totalThreshold)
        targets: dict[str, Any] = {}
        for path in [paths] if isinstance(paths, str) else paths:
            column = at(self._df, path)
            if column is not None:
                _put(targets, f"`{path}`" if path in self._df.columns else path, column)
        return self._new(self._df.select(*(_nested(name, value) for name, value in targets.items())))

    def drop_fields(
        self,
        paths: str | Sequence[str],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """All fields but these; a path may lead into structs."""
        unthresholded(stageThreshold, totalThreshold)
        frame = self._df
        for path in [paths] if isinstance(paths, str) else paths:
            plain = path.strip("`")
            if plain in frame.columns:
                frame = frame.drop(plain)
            elif at(frame, path) is not None:
                head, _, rest = plain.partition(".")
                frame = frame.withColumn(head, frame[tick(head)].dropFields(rest))
        return self._new(frame)

    def rename_field(
        self,
        oldName: str,
        newName: str,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Rename a field in its place; a path into structs is moved to `newName`."""
        unthresholded(stageThreshold, totalThreshold)
        old, new = oldName.strip("`"), newName.strip("`")
        if old in self._df.columns:
            return self._new(self._df.withColumnRenamed(old, new))
        column = at(self._df, oldName)
        if column is None:
            return self._new(self._df)
        head, _, rest = old.partition(".")
        parent, _, leaf = new.partition(".")
        if parent == head and leaf:
            struct = self._df[tick(head)].dropFields(rest).withField(leaf, column)
            return self._new(self._df.withColumn(head, struct))
        return self._new(self._df.withColumn(new, column)).drop_fields([old])

    def resolveChoice(
        self,
        specs: Sequence[tuple[str, str]] | None = None,
        choice: str = "",
        database: str | None = None,
        table_name: str | None = None,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
        catalog_id: str | None = None,
        **_: Any,
    ) -> DynamicFrame:
        """`specs` of (path, action), or one `choice` for all.

        Actions: cast:type, project:type, make_cols, make_struct; a choice may also be match_catalog.
        """
        unthresholded(stageThreshold, totalThreshold)
        if bool(specs) == bool(choice):
            raise ValueError("resolveChoice takes either specs or choice")
        if choice.lower() == "match_catalog":
            return self._new(_as_catalog(self._df, Table(database or "", table_name or "")))
        frame = self._df
        for path, action in specs or ():
            frame = _resolved(frame, path, action)
        if choice and not choice.lower().startswith(("make_cols", "make_struct", "cast:", "project:")):
            raise ValueError(f"resolveChoice: unknown choice {choice!r}")
        return self._new(frame)

    def unnest(
        self, transformation_ctx: str = "", info: str = "", stageThreshold: int = 0, totalThreshold: int = 0
    ) -> DynamicFrame:
        """Structs become columns `outer.inner`; arrays stay."""
        unthresholded(stageThreshold, totalThreshold)
        return self._new(flatten(self._df))

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
        """Parse a string column; JSON only. `schema` (a Spark schema or DDL) saves looking at all values."""
        unthresholded(stageThreshold, totalThreshold)
        if format.lower() != "json":
            raise NotImplementedError(f"unbox of {format} is not carried, json is")
        column = at(self._df, path)
        if column is None:
            raise ValueError(f"unbox: no column {path}")
        schema = options.get("schema")
        if schema is None:
            values = self._df.select(column.alias("v")).where("v IS NOT NULL").rdd.map(lambda row: row.v)
            schema = self._df.sparkSession.read.json(values).schema
        return self._new(self._df.withColumn(path, f.from_json(column, schema)))

    # ---- rows

    def filter(
        self,
        f: Callable[[Record], bool],
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """The rows for which `f(record)` is true; a record is read by `record["field"]`."""
        unthresholded(stageThreshold, totalThreshold)
        return self._new(self._df.where(_test(f)(_all(self._df))))

    def map(
        self,
        f: Callable[[Record], Record],
        preservesPartitioning: bool = False,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """`f(record)` of each row. All results are looked at once to find the schema, so `f` may run twice a row."""
        unthresholded(stageThreshold, totalThreshold)
        rows = self._df.rdd.map(lambda row: f(record(row))).filter(lambda made: made is not None)
        if not rows.take(1):
            return self._new(_s3.empty(self._df.sparkSession))
        return self._new(self._df.sparkSession.createDataFrame(rows, samplingRatio=1.0))

    def join(
        self,
        paths1: str | Sequence[str],
        paths2: str | Sequence[str],
        frame2: DynamicFrame,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """Inner equality join. All columns of both stay; one of frame2 whose name is taken gets a dot before it."""
        unthresholded(stageThreshold, totalThreshold)
        ones = [paths1] if isinstance(paths1, str) else list(paths1)
        twos = [paths2] if isinstance(paths2, str) else list(paths2)
        if len(ones) != len(twos) or not ones:
            raise ValueError("join: as many paths of the one frame as of the other")
        taken = {name.lower() for name in self._df.columns}
        new = {name: f".{name}" if name.lower() in taken else name for name in frame2._df.columns}
        right = frame2._df.toDF(*new.values())
        conditions = []
        for one, two in zip(ones, twos, strict=True):
            head, _, rest = two.strip("`").partition(".")
            renamed = (
                right[tick(new[two])]
                if two in new
                else at(right, ".".join(p for p in (new.get(head, head), rest) if p))
            )
            left = at(self._df, one)
            if left is None or renamed is None:
                raise ValueError(f"join: no field {one if left is None else two}")
            conditions.append(left == renamed)
        return self._new(self._df.join(right, functools.reduce(Column.__and__, conditions), "inner"))

    def mergeDynamicFrame(
        self,
        stage_dynamic_frame: DynamicFrame,
        primary_keys: Sequence[str],
        transformation_ctx: str = "",
        options: Mapping[str, Any] | None = None,
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrame:
        """The staged records, and those of this frame whose keys are not staged."""
        unthresholded(stageThreshold, totalThreshold)
        staged = stage_dynamic_frame._df
        kept = self._df.join(staged.select(*primary_keys).distinct(), list(primary_keys), "left_anti")
        return self._new(kept.unionByName(staged, allowMissingColumns=True))

    def split_fields(
        self,
        paths: Sequence[str],
        name1: str = "",
        name2: str = "",
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
        name1: str = "",
        name2: str = "",
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        """Two frames: rows for which all comparisons ({"age": {">": 10}}) hold, and the others."""
        unthresholded(stageThreshold, totalThreshold)
        condition = functools.reduce(Column.__and__, list(_comparisons(self._df, comparison_dict)))
        holds = f.coalesce(condition, f.lit(False))
        one, two = name1 or f"{self.name}1", name2 or f"{self.name}2"
        frames = {one: self._new(self._df.where(holds)), two: self._new(self._df.where(~holds))}
        return DynamicFrameCollection(frames, self.glue_ctx)

    def relationalize(
        self,
        root_table_name: str,
        staging_path: str = "",
        options: Mapping[str, Any] | None = None,
        transformation_ctx: str = "",
        info: str = "",
        stageThreshold: int = 0,
        totalThreshold: int = 0,
    ) -> DynamicFrameCollection:
        """Flat frames: structs become `outer.inner`, each array a frame of its own (id, index, val...) that the number
        in its place points to."""
        unthresholded(stageThreshold, totalThreshold)
        if options:
            raise NotImplementedError(f"relationalize options {list(options)} are not carried")
        frames = {name: self._new(frame, name) for name, frame in _relations(root_table_name, self._df)}
        return DynamicFrameCollection(frames, self.glue_ctx)

    def spigot(
        self, path: str, options: Mapping[str, Any] | None = None, transformation_ctx: str = "", *_: Any, **__: Any
    ) -> DynamicFrame:
        """Write some rows as JSON below `path`: `topk` of them, each with probability `prob`."""
        given = dict(options or {})
        rows = self._df.sample(float(given["prob"])) if "prob" in given else self._df
        rows = rows.limit(int(given["topk"])) if int(given.get("topk", -1)) >= 0 else rows
        rows.write.mode("append").json(path)
        return self

    def write(
        self,
        connection_type: str,
        connection_options: Mapping[str, Any] | None = None,
        format: str | None = None,
        format_options: Mapping[str, Any] | None = None,
        accumulator_size: int = 0,
    ) -> DynamicFrame:
        return self.glue_ctx.write_dynamic_frame_from_options(
            self, connection_type, dict(connection_options or {}), format, dict(format_options or {})
        )


class DynamicFrameCollection:
    """Named DynamicFrames."""

    def __init__(self, dynamic_frames: Mapping[str, DynamicFrame], glue_ctx: GlueContext) -> None:
        self._frames, self.glue_ctx = dict(dynamic_frames), glue_ctx

    def keys(self) -> list[str]:
        return list(self._frames)

    def values(self) -> list[DynamicFrame]:
        return list(self._frames.values())

    def select(self, key: str, transformation_ctx: str = "") -> DynamicFrame:
        if key not in self._frames:
            raise KeyError(f"no frame {key!r}; there are {', '.join(self._frames)}")
        return self._frames[key]

    def __getitem__(self, key: str) -> DynamicFrame:
        return self.select(key)

    def __len__(self) -> int:
        return len(self._frames)

    def map(self, callable: Callable[..., DynamicFrame], transformation_ctx: str = "") -> DynamicFrameCollection:
        frames = {name: callable(frame, f"{transformation_ctx}{name}") for name, frame in self._frames.items()}
        return DynamicFrameCollection(frames, self.glue_ctx)

    def flatmap(self, f: Callable[..., DynamicFrameCollection], transformation_ctx: str = "") -> DynamicFrameCollection:
        frames: dict[str, DynamicFrame] = {}
        for name, frame in self._frames.items():
            made = f(frame, f"{transformation_ctx}{name}")
            frames |= {f"{name}_{key}": made[key] for key in made.keys()}  # noqa: SIM118
        return DynamicFrameCollection(frames, self.glue_ctx)


# ---- readers and writers, as GlueContext offers them


class DynamicFrameReader:
    """glueContext.create_dynamic_frame"""

    def __init__(self, glue_context: GlueContext) -> None:
        self._glue_context = glue_context

    def from_rdd(self, data: Any, name: str, schema: Any = None, sampleRatio: float | None = None) -> DynamicFrame:
        return self._glue_context.create_dynamic_frame_from_rdd(data, name, schema, sampleRatio)

    def from_options(self, *args: Any, **kwargs: Any) -> DynamicFrame:
        return self._glue_context.create_dynamic_frame_from_options(*args, **kwargs)

    def from_catalog(self, *args: Any, **kwargs: Any) -> DynamicFrame:
        return self._glue_context.create_dynamic_frame_from_catalog(*args, **_database(kwargs))


class DynamicFrameWriter:
    """glueContext.write_dynamic_frame"""

    def __init__(self, glue_context: GlueContext) -> None:
        self._glue_context = glue_context

    def from_options(self, *args: Any, **kwargs: Any) -> DynamicFrame:
        return self._glue_context.write_dynamic_frame_from_options(*args, **kwargs)

    def from_catalog(self, *args: Any, **kwargs: Any) -> DynamicFrame:
        return self._glue_context.write_dynamic_frame_from_catalog(*args, **_database(kwargs))

    def from_jdbc_conf(self, *args: Any, **kwargs: Any) -> DynamicFrame:
        return self._glue_context.write_dynamic_frame_from_jdbc_conf(*args, **kwargs)


def _database(given: dict[str, Any]) -> dict[str, Any]:
    """`name_space` is the older name of `database`."""
    if "name_space" in given:
        given.setdefault("database", given.pop("name_space"))
    return given


# ---- pieces


def record(row: Any) -> Record:
    """A row as what user functions get: a dict, structs too."""
    made: Record = row.asDict(recursive=True)
    return made


def _all(frame: DataFrame) -> Column:
    return f.struct(*(frame[tick(name)] for name in frame.columns))


def _test(holds: Callable[[Record], bool]) -> Any:
    return f.udf(lambda row: bool(holds(record(row))), BooleanType())


def _mapping(given: Any) -> tuple[str, str, str]:
    """Source, target, target type ("" keeps the type)."""
    if isinstance(given, str):
        return given, given, ""
    match list(given):
        case [source, _, target, kind]:
            return source, target, kind
        case [source, target, kind]:
            return source, target, kind
        case [source, target]:
            return source, target, ""
    raise ValueError(f"a mapping is (source, source type, target, target type), not {given!r}")


def _put(targets: dict[str, Any], path: str, column: Column) -> None:
    """Remember a target; `a.b` goes into a struct, `` `a.b` `` is one name."""
    if path.startswith("`") and path.endswith("`"):
        targets[path.strip("`")] = column
        return
    head, *rest = path.split(".")
    for part in rest:
        inner = targets.setdefault(head, {})
        if not isinstance(inner, dict):
            raise ValueError(f"target {path}: {head} is a column already")
        targets, head = inner, part
    targets[head] = column


def _nested(name: str, value: Any) -> Column:
    if isinstance(value, dict):
        return f.struct(*(_nested(inner, one) for inner, one in value.items())).alias(name)
    column: Column = value.alias(name)
    return column


def _resolved(frame: DataFrame, path: str, action: str) -> DataFrame:
    column = at(frame, path)
    kind, _, wanted = action.partition(":")
    if kind not in ("cast", "project", "make_cols", "make_struct"):
        raise ValueError(f"resolveChoice: unknown action {action!r}")
    if column is None or kind.startswith("make"):
        return frame
    made, plain = column.cast(glue_type(wanted)), path.strip("`")
    if plain in frame.columns:
        return frame.withColumn(plain, made)
    head, _, rest = plain.partition(".")
    return frame.withColumn(head, frame[tick(head)].withField(rest, made))


def _as_catalog(frame: DataFrame, table: Table) -> DataFrame:
    kinds = {one.name.lower(): one.dataType for one in table.schema(partitions=True)}
    return frame.select(
        *(
            frame[tick(name)].cast(kinds[name.lower()]).alias(name) if name.lower() in kinds else frame[tick(name)]
            for name in frame.columns
        )
    )


def drop_nulls(frame: DataFrame) -> DataFrame:
    """Without the fields whose type is null: those that have no value anywhere."""
    void = [one.name for one in frame.schema if isinstance(one.dataType, NullType)]
    rest = [name for name in frame.columns if name not in void]
    if rest:
        seen = frame.agg(*(f.max(frame[tick(name)].isNotNull()).alias(str(n)) for n, name in enumerate(rest))).first()
        void += [name for n, name in enumerate(rest) if seen is not None and not seen[n]]
    return frame.drop(*void)


def flatten(frame: DataFrame) -> DataFrame:
    """Structs as columns `outer.inner`, all the way down."""

    def leaves(name: str, column: Column, kind: Any) -> Iterator[Column]:
        if isinstance(kind, StructType):
            for inner in kind:
                yield from leaves(f"{name}.{inner.name}", column.getField(inner.name), inner.dataType)
        else:
            yield column.alias(name)

    return frame.select(
        *(leaf for one in frame.schema for leaf in leaves(one.name, frame[tick(one.name)], one.dataType))
    )


COMPARED: Mapping[str, Callable[[Column, Any], Column]] = {
    ">": lambda column, value: column > value,
    "<": lambda column, value: column < value,
    ">=": lambda column, value: column >= value,
    "<=": lambda column, value: column <= value,
    "==": lambda column, value: column == value,
    "=": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
}


def _comparisons(frame: DataFrame, wanted: Mapping[str, Mapping[str, Any]]) -> Iterator[Column]:
    for path, rules in wanted.items():
        column = at(frame, path)
        if column is None:
            raise ValueError(f"split_rows: no field {path}")
        for sign, value in rules.items():
            yield COMPARED[sign](column, value)


def _relations(name: str, frame: DataFrame) -> Iterator[tuple[str, DataFrame]]:
    """The flat frame, and one for each array in it, and so on. The numbers are made once: rows go through a file."""
    flat = flatten(frame)
    arrays = [one.name for one in flat.schema if isinstance(one.dataType, (ArrayType, MapType))]
    if not arrays:
        yield name, flat
        return
    numbered = flat
    for array in arrays:
        number = f.when(f.size(flat[tick(array)]) > 0, f.monotonically_increasing_id() + 1)
        numbered = numbered.withColumn(f"{array}\0", number)
    place = f"file://{stage('relations')}/rows"
    columns = [f"c{n}" for n in range(len(numbered.columns))]
    numbered.toDF(*columns).write.parquet(place)
    kept = frame.sparkSession.read.parquet(place).toDF(*numbered.columns)
    roots = [kept[tick(f"{c}\0")].alias(c) if c in arrays else kept[tick(c)] for c in flat.columns]
    yield name, kept.select(*roots)
    for array in arrays:
        number, values = kept[tick(f"{array}\0")].alias("id"), kept[tick(array)]
        is_map = isinstance(flat.schema[array].dataType, MapType)
        exploded = kept.where(number.isNotNull()).select(number, f.posexplode(values))
        child = exploded.toDF("id", "index", "key", "value") if is_map else exploded.toDF("id", "index", "val")
        child = child.withColumn("id", child["id"].cast("bigint"))
        deeper = dict(_relations(f"{name}_{array}", _dotted(child, array)))
        yield from deeper.items()


def _dotted(child: DataFrame, array: str) -> DataFrame:
    """Values are called `<array>.val`, as AWS calls them."""
    return child.toDF(*(c if c in ("id", "index") else f"{array}.{c}" for c in child.columns))


def write_jdbc(frame: DynamicFrame, database: _jdbc.Database, options: Mapping[str, Any]) -> DynamicFrame:
    """Append to a table of a database."""
    if refused := [name for name in ("preactions", "postactions") if options.get(name)]:
        raise NotImplementedError(f"connection_options {refused} belong to Redshift, which is not carried")
    if "dbtable" not in options:
        raise ValueError("connection_options lack dbtable")
    if frame._df.columns:
        _jdbc.write(frame._df, database, options["dbtable"], options)
    return frame
