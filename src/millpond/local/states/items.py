"""The items of distributed Maps: an ItemReader's objects are read once, into files of the state folder.

`read` is the work of a `reader` task. It leaves `<state>/states/items/<Map Run>/`: `items` holds an item a line, as
JSON, `places` where each line begins (8 bytes an item), `about.json` comes last and says that the others are whole.
`opened` gives an item by its index, reading a few hundred ahead, so a Map Run of any size takes no memory, and after a
restart it finds the same items, whatever became of the objects. The files go when the Map Run has succeeded; else a
redrive needs them for 14 days, if it can come: those of a Map Run whose failure was caught go at the next start.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import tempfile
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from millpond.engine.doors import Item
from millpond.local.states import formats
from millpond.local.states.formats import PAIRS, Unreadable
from millpond.local.states.integrations import Failure

if TYPE_CHECKING:
    from millpond.engine.doors import TaskCall
    from millpond.local.service import Endpoint

FAILED = "States.ItemReaderFailed"
LISTING = "arn:aws:states:::s3:listObjectsV2"
KEPT_SECONDS = 14 * 86_400.0
MOST_ITEMS = 100_000_000
AHEAD, AHEAD_BYTES = 512, 1 << 20
PLACES = 65_536
"""Places that are kept in memory before they are written."""


@dataclass(slots=True)
class _Read:
    """What is being read: the ItemReader's arguments, and how many items may still come."""

    parameters: dict[str, Any]
    config: dict[str, Any]
    left: int
    pairs: bool = False
    sources: list[tuple[int, str]] = field(default_factory=list)

    @property
    def bucket(self) -> str:
        return str(self.parameters.get("Bucket", ""))


class Spool:
    """Items on the disk. See the module's docstring."""

    def __init__(self, folder: Path) -> None:
        about = json.loads((folder / "about.json").read_text())
        self._count: int = about["items"]
        self._pairs: bool = about["pairs"]
        self._begins = [begin for begin, _ in about["sources"]]
        self._sources = [source for _, source in about["sources"]]
        self._items = (folder / "items").open("rb", buffering=0)
        self._places = (folder / "places").open("rb", buffering=0)
        self._first, self._lines = 0, list[bytes]()  # what was read ahead

    def __len__(self) -> int:
        return self._count

    def item(self, index: int) -> Item:
        if not self._first <= index < self._first + len(self._lines):
            self._read_ahead(index)
        text = self._lines[index - self._first].decode()
        value = json.loads(text)
        source = self._sources[bisect_right(self._begins, index) - 1]
        if self._pairs:
            return Item(value["Value"], None, value["Key"], source)
        return Item(value, text, None, source)

    def _read_ahead(self, index: int) -> None:
        """Items are taken in order, so the next few hundred come with one read; how many depends on their length."""
        raw = os.pread(self._places.fileno(), 8 * (AHEAD + 1), index * 8)
        places = struct.unpack(f"={len(raw) // 8}Q", raw)
        begin = places[0]
        last = max(1, bisect_right(places, begin + AHEAD_BYTES) - 1)
        self._first = index
        self._lines = os.pread(self._items.fileno(), places[last] - begin, begin).split(b"\n")[:-1]


class ItemReaders:
    """See the module's docstring."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._root = endpoint.folder("states", "items")

    def start(self) -> None:
        """Drop what nobody goes on with, in a redrive either, and what a kill left of objects that were being read."""
        wanted = self.endpoint.store.read(
            "SELECT m.arn FROM states_map_runs m JOIN states_executions e ON e.n = m.n"
            " WHERE m.status != 'SUCCEEDED' AND e.status != 'SUCCEEDED'"
        )
        kept, oldest = {self.folder(row["arn"]) for row in wanted}, time.time() - KEPT_SECONDS
        for found in list(self._root.iterdir()):
            if not found.is_dir():
                found.unlink()
            elif found not in kept or found.stat().st_mtime < oldest:
                shutil.rmtree(found, ignore_errors=True)

    def folder(self, map_run: str) -> Path:
        return self._root / map_run.rpartition(":")[2]

    def drop(self, map_run: str) -> None:
        """The Map Run has succeeded."""
        shutil.rmtree(self.folder(map_run), ignore_errors=True)

    def opened(self, map_run: str) -> Spool:
        """What was read. Raises OSError or ValueError where it is lost."""
        return Spool(self.folder(map_run))

    def read(self, call: TaskCall) -> dict[str, int]:
        """Read all items. Raises Failure."""
        given: Any = call.arguments
        folder = self.folder(given["MapRunArn"])
        if (folder / "about.json").exists():
            return {"Items": len(Spool(folder))}
        parameters = given["Parameters"] if isinstance(given["Parameters"], dict) else {}
        config = given["ReaderConfig"]
        wanted = _Read(parameters, config, min(config.get("MaxItems", MOST_ITEMS), MOST_ITEMS))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            found = formats.guarded(self._found(given["Resource"], wanted))
            return {"Items": self._spool(folder, wanted, found)}
        except Unreadable as why:
            raise Failure(FAILED, str(why)) from None
        except ClientError as error:
            raise Failure(FAILED, _cause(error)) from None
        except BotoCoreError as error:
            raise Failure(FAILED, str(error)) from None
        finally:
            if not (folder / "about.json").exists():  # half of it is of no use to anybody
                shutil.rmtree(folder, ignore_errors=True)

    @staticmethod
    def _spool(folder: Path, wanted: _Read, found: Iterator[str]) -> int:
        """Write the items, and say so when they are whole."""
        count = place = 0
        places = array("Q", [0])
        with (folder / "items").open("wb") as items, (folder / "places").open("wb") as at:
            for text in found:
                line = text.encode() + b"\n"
                items.write(line)
                place += len(line)
                places.append(place)
                count += 1
                if len(places) >= PLACES:
                    at.write(places.tobytes())
                    del places[:]
                if count == wanted.left:
                    break
            at.write(places.tobytes())
            for file in (items, at):
                file.flush()
                os.fsync(file.fileno())
        about = {"items": count, "pairs": wanted.pairs, "sources": wanted.sources or [(0, "")]}
        ready = folder / "about.new"
        ready.write_text(json.dumps(about))
        ready.rename(folder / "about.json")
        return count

    # Sources --------------------------------------------------------------------------------------------------------

    def _found(self, resource: str, wanted: _Read) -> Iterator[str]:
        """The items of all objects."""
        if resource == LISTING:
            source = self._loaded if wanted.config.get("Transformation") == "LOAD_AND_FLATTEN" else self._listed
            return source(wanted)
        kind = wanted.config.get("InputType")
        if wanted.config.get("ManifestType") == "ATHENA_DATA":
            return self._athena(wanted)
        if kind == "MANIFEST" or wanted.config.get("ManifestType") == "S3_INVENTORY":
            return self._inventory(wanted)
        return self._object(wanted, kind, wanted.parameters, 0)

    def _pages(self, wanted: _Read) -> Iterator[dict[str, Any]]:
        client = self.endpoint.client("s3")
        for page in client.get_paginator("list_objects_v2").paginate(**wanted.parameters):
            yield from page.get("Contents", ())

    def _listed(self, wanted: _Read) -> Iterator[str]:
        """What a listing says of each object."""
        wanted.sources.append((0, f"S3://{wanted.bucket}"))
        for found in self._pages(wanted):
            shown = {
                "Etag": found["ETag"],
                "Key": found["Key"],
                "LastModified": int(found["LastModified"].timestamp()),
                "Size": found["Size"],
                "StorageClass": found.get("StorageClass", "STANDARD"),
            }
            yield json.dumps(shown, ensure_ascii=False, separators=(",", ":"))

    def _loaded(self, wanted: _Read) -> Iterator[str]:
        """What is in each listed object (LOAD_AND_FLATTEN)."""
        count = 0
        for found in self._pages(wanted):
            if found["Key"].endswith("/") and not found["Size"]:
                continue  # a folder's mark
            place = {"Bucket": wanted.bucket, "Key": found["Key"]}
            for text in self._object(wanted, wanted.config.get("InputType"), place, count):
                count += 1
                yield text

    def _athena(self, wanted: _Read) -> Iterator[str]:
        """The objects that a manifest of an UNLOAD query names, one `s3://` address a line."""
        with self._bytes(wanted.parameters) as stream:
            lines = formats.text_of(stream).read().splitlines()
        count = 0
        for line in filter(None, (line.strip().strip('"') for line in lines)):
            bucket, _, key = line.removeprefix("s3://").partition("/")
            if not line.startswith("s3://") or not key:
                raise Unreadable(f"The manifest has a line that is not the address of an object: {line[:200]}")
            for text in self._object(wanted, wanted.config.get("InputType"), {"Bucket": bucket, "Key": key}, count):
                count += 1
                yield text

    def _inventory(self, wanted: _Read) -> Iterator[str]:
        """The rows of an S3 inventory: manifest.json names gzip files of CSV, and their columns."""
        wanted.sources.append((0, _uri(wanted.parameters)))
        with self._bytes(wanted.parameters) as stream:
            try:
                manifest = json.load(formats.text_of(stream))
                kind, schema = manifest["fileFormat"], manifest["fileSchema"]
                bucket = manifest["destinationBucket"].rpartition(":")[2]
                keys = [file["key"] for file in manifest["files"]]
            except (ValueError, KeyError, TypeError, AttributeError):
                raise Unreadable("The object is not the manifest of an S3 inventory.") from None
        if kind != "CSV":
            raise Unreadable(f"The S3 inventory has the format {kind}: only CSV can be read.")
        headers = [name.strip() for name in schema.split(",")]
        for key in keys:
            with self._bytes({"Bucket": bucket, "Key": key}) as stream:
                yield from formats.csv_items(stream, headers=headers)

    def _object(self, wanted: _Read, kind: str | None, place: dict[str, Any], first: int) -> Iterator[str]:
        """The items in one object."""
        wanted.sources.append((first, _uri(place)))
        config = wanted.config
        if kind == "PARQUET":
            with self._file(place) as path:
                yield from formats.parquet_items(path)
            return
        with self._bytes(place) as stream:
            match kind:
                case "CSV":
                    given = config.get("CSVHeaders") if config.get("CSVHeaderLocation") == "GIVEN" else None
                    found = formats.csv_items(stream, delimiter=config.get("CSVDelimiter", "COMMA"), headers=given)
                case "JSONL":
                    found = formats.jsonl_items(stream)
                case "JSON":
                    found = formats.json_items(stream, config.get("ItemsPointer"))
                case _:
                    raise Unreadable(f"An InputType of {kind} cannot be read with this resource.")
            for text in found:
                if text == PAIRS:
                    wanted.pairs = True
                else:
                    yield text

    @contextlib.contextmanager
    def _bytes(self, place: dict[str, Any]) -> Iterator[Any]:
        """An object's bytes, unpacked."""
        body = self.endpoint.client("s3").get_object(**place)["Body"]
        with contextlib.closing(body):
            yield formats.unpacked(body)

    @contextlib.contextmanager
    def _file(self, place: dict[str, Any]) -> Iterator[Path]:
        """An object as a file of ours."""
        body = self.endpoint.client("s3").get_object(**place)["Body"]
        with contextlib.closing(body), tempfile.NamedTemporaryFile(dir=self._root) as file:
            shutil.copyfileobj(body, file, formats.PIECE)
            file.flush()
            yield Path(file.name)


def _uri(place: dict[str, Any]) -> str:
    return f"S3://{place.get('Bucket')}/{place.get('Key')}"


def _cause(error: ClientError) -> str:
    """As AWS's SDK words it."""
    said, meta = error.response.get("Error", {}), error.response.get("ResponseMetadata", {})
    status, request = meta.get("HTTPStatusCode"), meta.get("RequestId")
    code = f"Service: Amazon S3; Status Code: {status}; Error Code: {said.get('Code')}; Request ID: {request}"
    return f"{said.get('Message')} ({code})"
