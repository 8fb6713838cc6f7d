"""Which files make a table, and which folders are its partitions: pure functions over classified files.

Bottom up, a folder at a time. The files of a folder that are compatible (same format,
compression, delimiter) and similar make one leaf. A folder whose children are all compatible, similar, of one depth
and named by one scheme becomes the root of a table and the levels below it its partition keys; otherwise each child
is a table. AWS does not publish its formula; ours is the share of common (name, type) pairs, which must be greater
than 0.7, with at most five distinct schemas.

Our decisions where AWS documents nothing:
- where types are inferred from values (CSV, JSON) numbers of any width count as one type: `amount` is 10 in one folder
  and 10.5 in the next;
- a single child is a partition level only when it is named like one (`k=v`, a number, a date); else the table's root
  is the child, so that a crawl of `raw/` with only `raw/orders/` finds `orders`;
- of a folder with different schemas the majority is the folder's table, each other file a table of its own; without
  a majority every file is a table. Files of unknown format never outvote others;
- files beside folders of the same schema join them in one table without partitions; beside `k=v` folders they are
  tables of their own.
Each table says why it exists (`reason`) and what is odd about it (`warnings`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from millpond.local.glue.crawl.classify import Contents, Layout, merged
from millpond.local.glue.crawl.hive import WIDTHS, Columns, Type, alike, spell

THRESHOLD = 0.7
MOST_SCHEMAS = 5
MOST_CLUSTERS = 20  # of one folder that a schema is held against; a further one stands alone (time grows with both)
INFERRED = ("csv", "json", "xml", "bson")  # formats whose types follow from the values that happen to be there
LEVEL_NAME = re.compile(r"[^=]+=.*|\d{1,4}([-_]\d{1,2}){0,2}|\d{6,10}")


@dataclass(frozen=True, slots=True)
class File:
    """A classified object: `key` in its bucket, `size` in bytes."""

    key: str
    size: int
    contents: Contents

    @property
    def folder(self) -> str:
        """The key up to and including its last `/`."""
        return self.key[: self.key.rfind("/") + 1]


@dataclass(frozen=True, slots=True)
class Policy:
    """The crawler's Grouping configuration. `level` counts folders, the bucket being 1; 0 is not set."""

    combine: bool = False
    level: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """One schema that `files` files have; `first` is the key of one of them."""

    columns: Columns
    files: int
    first: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """The files of one folder, as one: a partition, or a table without partitions. `shapes` tell how it came about."""

    folder: str
    layout: Layout
    columns: Columns
    objects: int
    size: int
    records: int
    data: int  # decompressed bytes, from the records and their average
    literal: str = ""
    shapes: tuple[Shape, ...] = field(default=(), compare=False)

    @property
    def average(self) -> int:
        """averageRecordSize: bytes a record, decompressed (spec 8)."""
        return self.data // self.records if self.records else 0


@dataclass(frozen=True, slots=True)
class Part:
    """A partition: a value for each key."""

    values: tuple[str, ...]
    leaf: Leaf


@dataclass(frozen=True, slots=True)
class Table:
    """A table to be: `root` is a prefix that ends in `/` (empty: the bucket) or the key of a single file."""

    root: str
    leaf: Leaf  # everything in the table, as one
    keys: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    reason: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def folder_name(self) -> str:
        """The last segment of the root; empty for a whole bucket."""
        return self.root.rstrip("/").rpartition("/")[2]


@dataclass(slots=True)
class _Open:
    """A group that may still become part of a larger one."""

    root: str
    leaves: list[Leaf]
    shapes: list[Columns]
    keyed: bool  # the levels from root to leaves are partition keys


@dataclass(slots=True)
class _Grouping:
    tables: list[Table] = field(default_factory=list)
    open: dict[str, _Open] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)  # folders below which tables were closed: nothing may grow over them


def group(files: Iterable[File], root: str, policy: Policy = Policy()) -> list[Table]:
    """The tables of an include path. `root` is its prefix, with a final `/`, or empty for a bucket, or a file's key."""
    found = sorted(files, key=lambda file: file.key)
    if [file.key for file in found] == [root]:
        return [_file_table(found[0], "the include path names this file")]
    if policy.level:
        return _at_level(found, root, policy)
    return _combined(found, root) if policy.combine else _by_similarity(found, root)


# -- similarity ------------------------------------------------------------------------------------------------------


def similarity(one: Columns, other: Columns, *, loose: bool = False) -> float:
    """|common (name, type)| / |union (name, type)|. `loose`: numbers of any width are common."""
    types = {column.name: column.type for column in other}
    same = _number_alike if loose else alike
    common = sum(1 for column in one if column.name in types and same(column.type, types[column.name]))
    union = len(one) + len(other) - common
    return common / union if union else 1.0


def _number_alike(one: Type, other: Type) -> bool:
    if isinstance(one, str) and isinstance(other, str) and one in WIDTHS and other in WIDTHS:
        return True
    return alike(one, other)


def similar(shapes: Sequence[Columns], *, loose: bool = False) -> bool:
    """Whether schemas may be partitions of one table: at most five, each two of them similar."""
    if len(shapes) > MOST_SCHEMAS:
        return False
    return all(similarity(a, b, loose=loose) > THRESHOLD for n, a in enumerate(shapes) for b in shapes[:n])


def distinct(shapes: Iterable[Columns], *, loose: bool = False) -> list[Columns]:
    """Schemas that differ in more than the width of an integer or a type that is not known yet."""
    found: list[Columns] = []
    for shape in shapes:
        for n, before in enumerate(found):
            if shape == before or (len(shape) == len(before) and similarity(shape, before, loose=loose) == 1.0):
                found[n] = merged(before, shape)
                break
        else:
            found.append(shape)
            if len(found) > MOST_SCHEMAS:
                break
    return found


# -- one folder ------------------------------------------------------------------------------------------------------


def leaf_of(folder: str, files: Sequence[File]) -> Leaf:
    """Files of one layout as one."""
    columns: Columns = ()
    seen: dict[Columns, tuple[int, str]] = {}
    for file in files:
        count, first = seen.get(file.contents.columns, (0, file.key))
        if not count:
            columns = merged(columns, file.contents.columns)
        seen[file.contents.columns] = count + 1, first
    return Leaf(
        folder=folder,
        layout=_layout(file.contents.layout for file in files),
        columns=columns,
        objects=len(files),
        size=sum(file.size for file in files),
        records=sum(file.contents.records for file in files),
        data=sum(_data(file) for file in files),
        literal=files[-1].contents.literal,
        shapes=tuple(Shape(shape, count, first) for shape, (count, first) in seen.items()),
    )


def _layout(layouts: Iterable[Layout]) -> Layout:
    """The layout of compatible files: one with quoted cells, if there is one."""
    found = list(dict.fromkeys((layout.quote, layout.serde, layout) for layout in layouts))
    return next((layout for quote, _, layout in found if quote), found[0][2])


def _data(file: File) -> int:
    """Bytes of records: of uncompressed files their size, else estimated from the average (spec 8, notes)."""
    plain = file.contents.layout.compression == "none"
    return file.size if plain else file.contents.records * file.contents.average


def clusters(files: Sequence[File]) -> list[list[File]]:
    """The files of one folder by what they hold, the largest cluster first; unknown formats last."""
    found: list[tuple[Layout, Columns, list[File]]] = []
    known: dict[tuple[Layout, Columns], int] = {}
    for file in files:
        layout, columns = file.contents.layout, file.contents.columns
        place = known.get((layout, columns))
        if place is None:
            near = enumerate(found[:MOST_CLUSTERS])
            place = next((n for n, one in near if one[0] == layout and _joins(one[1], columns)), len(found))
            if place == len(found):
                found.append((layout, columns, []))
            else:
                found[place] = (layout, merged(found[place][1], columns), found[place][2])
            known[layout, columns] = place
        found[place][2].append(file)
    found.sort(key=lambda one: (one[0].classification == "UNKNOWN", -len(one[2])))
    return [one[2] for one in found]


def _joins(cluster: Columns, columns: Columns) -> bool:
    return similarity(cluster, columns, loose=True) > THRESHOLD


def _file_table(file: File, reason: str, *warnings: str) -> Table:
    odd = ("its location is a file: Athena reads folders and finds no rows in it on AWS; give it a folder of its own",)
    return Table(file.key, leaf_of(file.folder, [file]), reason=reason, warnings=(*warnings, *odd))


def _majority(groups: Sequence[Sequence[File]]) -> bool:
    """Whether the first cluster is the folder's own and the others are strays in it."""
    known = [one for one in groups if one[0].contents.layout.classification != "UNKNOWN"]
    if len(known) < 2:
        return True
    return len(groups[0]) > 1 and 2 * len(groups[0]) > sum(map(len, known))


# -- by similarity ---------------------------------------------------------------------------------------------------


def _by_similarity(files: Sequence[File], root: str) -> list[Table]:
    direct: dict[str, list[File]] = defaultdict(list)
    for file in files:
        direct[file.folder].append(file)
    children = _children(direct, root)
    state = _Grouping()
    for folder in sorted(children, key=lambda path: (-path.count("/"), path)):
        own = _own(state, folder, direct.get(folder, []))
        below = _below(state, folder, children[folder])
        _join(state, folder, own, below, direct.get(folder, []))
    if root in state.open:
        _close(state, root, root)
    return sorted(state.tables, key=lambda table: table.root)


def _children(direct: Mapping[str, object], root: str) -> dict[str, list[str]]:
    """Every folder from the root down to the files, with its child folders."""
    found: dict[str, set[str]] = {root: set()}
    for folder in direct:
        path = folder
        while path != root and len(path) > len(root):
            parent = path[: path.rstrip("/").rfind("/") + 1]
            found.setdefault(path, set())
            found.setdefault(parent, set()).add(path)
            path = parent
    return {folder: sorted(kids) for folder, kids in found.items()}


def _own(state: _Grouping, folder: str, files: Sequence[File]) -> _Open | None:
    """The group of a folder's own files; strays become tables."""
    if not files:
        return None
    groups = clusters(files)
    if not _majority(groups):
        state.closed.add(folder)
        for file in files:
            many = f"the files of {folder or 'the bucket'} have {len(groups)} different schemas or formats"
            state.tables.append(_file_table(file, many))
        return None
    for stray in (file for one in groups[1:] for file in one):
        odd = f"a single file of another schema or format among the files of {folder or 'the bucket'}"
        state.tables.append(_file_table(stray, "differs from the other files of its folder", odd))
    leaf = leaf_of(folder, groups[0])
    return _Open(folder, [leaf], [leaf.columns], keyed=False)


def _below(state: _Grouping, folder: str, children: Sequence[str]) -> _Open | None:
    """The group that the children of a folder make together; else each of them is closed."""
    opened = [state.open[child] for child in children if child in state.open]
    if not opened:
        if any(child in state.closed for child in children):
            state.closed.add(folder)
        return None
    whole = len(opened) == len(children) and not any(child in state.closed for child in children)
    if whole and len(opened) == 1 and not LEVEL_NAME.fullmatch(_segment(children[0])):
        return state.open.pop(children[0])
    if whole and (joined := _joined(folder, opened)):
        for child in children:
            del state.open[child]
        return joined
    why = difference(folder, opened) if whole else "some of them hold tables of their own"
    for child in children:
        if child in state.open:
            _close(state, child, folder, why)
    state.closed.add(folder)
    return None


def _segment(folder: str) -> str:
    return folder.rstrip("/").rpartition("/")[2]


def _joined(folder: str, groups: Sequence[_Open]) -> _Open | None:
    leaves = [leaf for one in groups for leaf in one.leaves]
    if any(leaf.layout != leaves[0].layout for leaf in leaves) or _scheme(folder, leaves) is None:
        return None
    if any(not one.keyed and len(one.leaves) > 1 for one in groups):
        return None
    loose = leaves[0].layout.classification in INFERRED
    shapes = distinct((shape for one in groups for shape in one.shapes), loose=loose)
    return _Open(folder, leaves, shapes, keyed=True) if similar(shapes, loose=loose) else None


def difference(folder: str, groups: Sequence[_Open]) -> str:
    """Why groups are not the partitions of one table."""
    leaves = [leaf for one in groups for leaf in one.leaves]
    layouts = list(dict.fromkeys(leaf.layout for leaf in leaves))
    if len(layouts) > 1:
        return f"{told(layouts[0], layouts[1])} and {told(layouts[1], layouts[0])}"
    if _scheme(folder, leaves) is None or any(not one.keyed and len(one.leaves) > 1 for one in groups):
        return "in depth, or in the names of their levels"
    loose = layouts[0].classification in INFERRED
    shapes = distinct((shape for one in groups for shape in one.shapes), loose=loose)
    if len(shapes) > MOST_SCHEMAS:
        return f"more than {MOST_SCHEMAS} schemas"
    pairs = [(similarity(a, b, loose=loose), b, a) for n, a in enumerate(shapes) for b in shapes[:n]]
    least, one, other = min(pairs, key=lambda pair: pair[0], default=(1.0, (), ()))
    apart = f"({_apart(one, other)}) and ({_apart(other, one)})"
    return f"{apart} are not common to them, their similarity is {least:.2f} and must be above {THRESHOLD}"


def told(layout: Layout, other: Layout) -> str:
    """What a layout is, as far as it differs from another."""
    members = ("classification", "compression", "delimiter", "header", "json_path", "row_tag", "grok")
    found = [f"{name} {getattr(layout, name)!r}" for name in members if getattr(layout, name) != getattr(other, name)]
    return ", ".join(found[:2])


def _apart(columns: Columns, others: Columns) -> str:
    """The columns that others do not have."""
    found = [f"{column.name} {spell(column.type)}" for column in columns if column not in others]
    return ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")


def _scheme(root: str, leaves: Sequence[Leaf]) -> tuple[str, ...] | None:
    """The partition keys from a root to its leaves; None when the leaves differ in depth or in the names of levels."""
    levels = [_levels(root, leaf.folder) for leaf in leaves]
    if len({len(one) for one in levels}) != 1:
        return None
    names: list[str] = []
    for n in range(len(levels[0])):
        keys = {_key(one[n]) for one in levels}
        if len(keys) != 1:
            return None
        names.append(keys.pop() or f"partition_{n}")
    return tuple(names)


def _level_key(segments: Iterable[str], n: int) -> str:
    """The key of level `n`: the one that all its folders name, else `partition_n`."""
    keys = {_key(segment) for segment in segments}
    return (keys.pop() if len(keys) == 1 else "") or f"partition_{n}"


def _levels(root: str, folder: str) -> list[str]:
    rest = folder[len(root) :].rstrip("/")
    return rest.split("/") if rest else []


def _key(segment: str) -> str:
    """The key of a `k=v` folder, else nothing."""
    name, equals, _ = segment.partition("=")
    return re.sub(r"\W", "_", name.lower(), flags=re.ASCII) if equals and name else ""


def _value(segment: str) -> str:
    """The value of a level; Hive escapes special characters as %XX."""
    return unquote(segment.partition("=")[2]) if _key(segment) else segment


def _join(state: _Grouping, folder: str, own: _Open | None, below: _Open | None, files: Sequence[File]) -> None:
    """What a folder's own files and its children make together."""
    if own is None or below is None:
        result = own or below
        if own is not None and folder in state.closed:
            _close_own(state, own, files)
        elif result is not None:
            state.open[folder] = result
        return
    named = any("=" in level for leaf in below.leaves for level in _levels(folder, leaf.folder))
    loose = own.leaves[0].layout.classification in INFERRED
    shapes = distinct([*own.shapes, *below.shapes], loose=loose)
    compatible = all(leaf.layout == own.leaves[0].layout for leaf in below.leaves)
    if not named and compatible and similar(shapes, loose=loose):
        state.open[folder] = _Open(folder, [*own.leaves, *below.leaves], shapes, keyed=False)
        return
    state.closed.add(folder)
    state.open[folder] = below
    _close(state, folder, folder)
    _close_own(state, own, files)


def _close_own(state: _Grouping, own: _Open, files: Sequence[File]) -> None:
    """A folder's own files beside tables of its children: one file is a table by itself, several are the folder's."""
    if own.leaves[0].objects == 1:
        only = clusters(files)[0][0]
        odd = f"a single file beside the folders of {own.root or 'the bucket'}"
        state.tables.append(_file_table(only, "a file beside folders of other tables", odd))
        return
    odd = f"{own.root or 'the bucket'} holds other tables below it, whose files a query of this table reads too"
    state.tables.append(Table(own.root, own.leaves[0], reason="files beside folders of other tables", warnings=(odd,)))


def _close(state: _Grouping, folder: str, at: str, difference: str = "") -> None:
    """The open group of `folder` becomes a table, because nothing larger holds it."""
    one = state.open.pop(folder)
    if not one.keyed and len(one.leaves) > 1:
        reason = f"files of {one.root or 'the bucket'} and its folders have one schema"
        state.tables.append(Table(one.root, _sum(one.root, one.leaves), reason=reason))
        return
    why = "the include path ends here" if at == folder else f"the folders of {at or 'the bucket'} differ: {difference}"
    state.tables.append(_table(one.root, one.leaves, _scheme(one.root, one.leaves) or (), why))


def _table(root: str, leaves: Sequence[Leaf], keys: tuple[str, ...], why: str) -> Table:
    if not keys:
        return Table(root, _sum(root, leaves), reason=f"one schema in {root or 'the bucket'}; {why}")
    parts, odd = _parts(root, leaves, keys)
    reason = f"{len(parts)} folders below {root or 'the bucket'} are similar; {why}"
    return Table(root, _sum(root, leaves), _unique(keys), parts, reason, odd)


def _parts(root: str, leaves: Sequence[Leaf], keys: Sequence[str]) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """The partitions, no two of the same values. A level whose folders have several keys keeps its folders' names."""
    found: dict[tuple[str, ...], Part] = {}
    same = []
    for leaf in leaves:
        levels = _levels(root, leaf.folder)
        pairs = zip(levels, keys, strict=True)
        values = tuple(_value(level) if _key(level) in (key, "") else level for level, key in pairs)
        if values in found:  # `p=1` and `P=1`, `p=A` and `p=%41`
            same.append(leaf.folder)
            values = tuple(levels)
        found[values] = Part(values, leaf)
    odd = f"folders with the values of another one keep their names as values: {', '.join(same[:3])}"
    return tuple(found.values()), (odd,) if same else ()


def _unique(keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{key}_{n}" if key in keys[:n] else key for n, key in enumerate(keys))


def _sum(root: str, leaves: Sequence[Leaf]) -> Leaf:
    columns: Columns = ()
    for shape in dict.fromkeys(leaf.columns for leaf in leaves):
        columns = merged(columns, shape)
    shapes: dict[Columns, Shape] = {}
    for one in (one for leaf in leaves for one in leaf.shapes):
        before = shapes.get(one.columns)
        shapes[one.columns] = replace(before, files=before.files + one.files) if before else one
    return Leaf(
        folder=root,
        layout=_layout(leaf.layout for leaf in leaves),
        columns=columns,
        objects=sum(leaf.objects for leaf in leaves),
        size=sum(leaf.size for leaf in leaves),
        records=sum(leaf.records for leaf in leaves),
        data=sum(leaf.data for leaf in leaves),
        literal=leaves[-1].literal,
        shapes=tuple(shapes.values()),
    )


# -- by configuration ------------------------------------------------------------------------------------------------


def _combined(files: Sequence[File], root: str) -> list[Table]:
    """CombineCompatibleSchemas: one table for each layout and depth, with the union of all columns."""
    by_layout: dict[tuple[Layout, int], dict[str, list[File]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        depth = len(_levels(root, file.folder))
        by_layout[file.contents.layout, depth][file.folder].append(file)
    found = []
    for folders in by_layout.values():
        leaves = [leaf_of(folder, members) for folder, members in sorted(folders.items())]
        depth = len(_levels(root, leaves[0].folder))
        keys = tuple(_level_key([_levels(root, leaf.folder)[n] for leaf in leaves], n) for n in range(depth))
        found.append(_table(root, leaves, keys, "compatible schemas are combined"))
    if len(found) > 1:
        odd = f"{root or 'the bucket'} holds several formats, compressions or depths: one table each on one prefix"
        found = [Table(t.root, t.leaf, t.keys, t.parts, t.reason, (*t.warnings, odd)) for t in found]
    return found


def _at_level(files: Sequence[File], root: str, policy: Policy) -> list[Table]:
    """TableLevelConfiguration: a table for each folder at an absolute level; what lies above it is grouped as usual."""
    by_folder: dict[str, list[File]] = defaultdict(list)
    above: list[File] = []
    for file in files:
        levels = file.folder.split("/")[:-1]
        if len(levels) + 1 < policy.level:
            above.append(file)
        else:
            place = "".join(f"{level}/" for level in levels[: policy.level - 1])
            by_folder[max(place, root, key=len)].append(file)
    found = [table for folder, members in sorted(by_folder.items()) for table in _combined(members, folder)]
    rest = _combined(above, root) if policy.combine else _by_similarity(above, root)
    return found + rest if above else found
