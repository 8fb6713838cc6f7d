"""What distributed Maps of a test read and write: prepared items for ItemReaders, caught results of ResultWriters.

May import: engine, asl.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from millpond.asl.model import Json
from millpond.engine.doors import Item, TaskCall
from millpond.engine.results import transformed
from millpond.testing.memory import MemoryStore


@dataclass(slots=True)
class FakeItems:
    """What an ItemReader finds. `source` is what `$$.Map.Item.Source` shows."""

    values: Sequence[Json]
    source: str

    def __len__(self) -> int:
        return len(self.values)

    def item(self, index: int) -> Item:
        return Item(self.values[index], source=self.source)


@dataclass(frozen=True, slots=True)
class Written:
    """What a ResultWriter would write: where, and the results in the form that its WriterConfig asks for."""

    state: str
    bucket: str
    prefix: str
    results: list[Json]


@dataclass(slots=True)
class Datasets:
    """`prepared` are items by the Map's name (None: any); a text is why they cannot be read."""

    prepared: dict[str | None, FakeItems | str] = field(default_factory=dict)
    written: list[Written] = field(default_factory=list)
    read: dict[str, FakeItems] = field(default_factory=dict)

    def reads(self, call: TaskCall) -> FakeItems | str | None:
        """What a reader finds: None where nothing was prepared. MaxItems holds."""
        found = self.prepared.get(call.state, self.prepared.get(None))
        if isinstance(found, FakeItems):
            given = _object(call.arguments)
            most = _object(given.get("ReaderConfig")).get("MaxItems")
            found = FakeItems(found.values[:most] if isinstance(most, int) else found.values, found.source)
            self.read[str(given["MapRunArn"])] = found
        return found

    def write(self, call: TaskCall, store: MemoryStore | None) -> Json:
        """Note what a writer would write; the state's output."""
        given = _object(call.arguments)
        place = _object(given.get("Parameters"))
        bucket, prefix = str(place.get("Bucket")), str(place.get("Prefix", ""))
        arn, how = str(given["MapRunArn"]), str(given["Transformation"])
        children = [] if store is None else store.children(arn)
        results: list[Json] = [json.loads(text) for text in transformed(children, how)]
        self.written.append(Written(call.state, bucket, prefix, results))
        key = "/".join(part for part in (prefix.strip("/"), arn.rpartition(":")[2], "manifest.json") if part)
        return {"MapRunArn": arn, "ResultWriterDetails": {"Bucket": bucket, "Key": key}}


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
