"""The one model of an Amazon States Language machine: eight kinds of states, all frozen dataclasses.

Written by the compiler and by hand, checked by `check`, walked by the engine, drawn by the console; JSON is only its
wire form (`codec`). Names are AWS's in snake case, with these conventions:

- `next=None` is the wire's `"End": true`.
- A JSONPath path field (`input_path`, `output_path`, `result_path`) is `"$"` by default; `None` is the wire's `null`.
- A field whose value may be any JSON, null included, is `ABSENT` when it is not there.
- A number that JSONata may compute is `int | str`; the string is `{% ... %}`. Its JSONPath twin ends in `_path`.
- A state's `query_language=None` inherits from the machine, whose own `None` means JSONPath.
- `Iterator` and a Map's `Parameters` (both retired by AWS) are read as `ItemProcessor` and `ItemSelector`.

JSON values are never mutated once they are in a model. May import: millpond.errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""Any JSON value. By convention immutable: share it, never change it."""

QueryLanguage: TypeAlias = Literal["JSONPath", "JSONata"]


class Absent(Enum):
    """The type of `ABSENT`, which tells a missing field from one that is null."""

    ABSENT = "ABSENT"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent.ABSENT

# --------------------------------------------------------------------------------------------------- errors and retries


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrier:
    """One entry of `Retry`: delay = min(interval * backoff ** attempt, max_delay), then jitter. Seconds."""

    error_equals: tuple[str, ...]
    interval_seconds: int = 1
    max_attempts: int = 3
    backoff_rate: float = 2.0
    max_delay_seconds: int | None = None
    jitter_strategy: Literal["NONE", "FULL"] = "NONE"
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catcher:
    """One entry of `Catch`: where to go on these errors, and what the error output becomes."""

    error_equals: tuple[str, ...]
    next: str
    result_path: str | None = "$"  # JSONPath
    output: Json | Absent = ABSENT  # JSONata
    assign: Mapping[str, Json] | None = None
    comment: str | None = None


# ------------------------------------------------------------------------------------------------------------- choices


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A JSONPath data test: `operator` is AWS's name, for example `NumericGreaterThanPath` or `IsPresent`."""

    variable: str
    operator: str
    value: Json


@dataclass(frozen=True, slots=True)
class And:
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Or:
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Not:
    test: Test


Test: TypeAlias = Comparison | And | Or | Not


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One entry of `Choices`: exactly one of `test` (JSONPath) and `condition` (JSONata, or a constant boolean)."""

    next: str
    test: Test | None = None
    condition: str | bool | None = None
    assign: Mapping[str, Json] | None = None
    output: Json | Absent = ABSENT  # JSONata
    comment: str | None = None


# --------------------------------------------------------------------------------------------- parts of distributed Map


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderConfig:
    """How an `ItemReader` reads. `input_type` is CSV, JSON, JSONL, PARQUET or MANIFEST; None lists objects."""

    input_type: str | None = None
    transformation: str | None = None  # NONE or LOAD_AND_FLATTEN
    csv_header_location: str | None = None  # FIRST_ROW or GIVEN
    csv_headers: tuple[str, ...] | None = None
    csv_delimiter: str | None = None  # COMMA, PIPE, SEMICOLON, SPACE, TAB
    max_items: int | str | None = None
    max_items_path: str | None = None
    items_pointer: str | None = None  # JSON pointer to the array
    manifest_type: str | None = None  # ATHENA_DATA or S3_INVENTORY


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemReader:
    resource: str
    arguments: Json | Absent = ABSENT  # JSONata
    parameters: Json | Absent = ABSENT  # JSONPath
    config: ReaderConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemBatcher:
    max_items_per_batch: int | str | None = None
    max_items_per_batch_path: str | None = None
    max_input_bytes_per_batch: int | str | None = None
    max_input_bytes_per_batch_path: str | None = None
    batch_input: Json | Absent = ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterConfig:
    transformation: str | None = None  # NONE, COMPACT or FLATTEN
    output_type: str | None = None  # JSON or JSONL


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultWriter:
    resource: str | None = None
    arguments: Json | Absent = ABSENT  # JSONata
    parameters: Json | Absent = ABSENT  # JSONPath
    config: WriterConfig | None = None


# --------------------------------------------------------------------------------------------------------------- states


@dataclass(frozen=True, slots=True, kw_only=True)
class _Every:
    """What every state has. The compiler writes the source line (`pipeline.py:50`) into `comment`."""

    comment: str | None = None
    query_language: QueryLanguage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passing(_Every):
    """A state that hands something on: all but Fail."""

    input_path: str | None = "$"
    output_path: str | None = "$"
    output: Json | Absent = ABSENT  # JSONata


@dataclass(frozen=True, slots=True, kw_only=True)
class _Going(_Passing):
    """A state with a transition: all but Choice, Succeed and Fail. `next=None` ends the machine."""

    next: str | None = None
    assign: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Working(_Going):
    """A state that can fail and be tried again: Task, Parallel, Map."""

    result_selector: Json | Absent = ABSENT
    result_path: str | None = "$"
    retry: tuple[Retrier, ...] = ()
    catch: tuple[Catcher, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(_Working):
    """One call of the outside world. `timeout_seconds=None` is AWS's default of 99,999,999 seconds."""

    resource: str
    arguments: Json | Absent = ABSENT  # JSONata
    parameters: Json | Absent = ABSENT  # JSONPath
    timeout_seconds: int | str | None = None
    timeout_seconds_path: str | None = None
    heartbeat_seconds: int | str | None = None
    heartbeat_seconds_path: str | None = None
    credentials: Json | Absent = ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass(_Going):
    result: Json | Absent = ABSENT  # JSONPath
    parameters: Json | Absent = ABSENT  # JSONPath
    result_path: str | None = "$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(_Passing):
    """`assign` and `output` apply when no rule matches and `default` is taken."""

    rules: tuple[Rule, ...]
    default: str | None = None
    assign: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(_Going):
    """Exactly one of the four: seconds (0 to 99,999,999), an ISO 8601 timestamp, or a path to either."""

    seconds: int | str | None = None
    timestamp: str | None = None
    seconds_path: str | None = None
    timestamp_path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel(_Working):
    branches: tuple[Machine, ...]
    arguments: Json | Absent = ABSENT  # JSONata
    parameters: Json | Absent = ABSENT  # JSONPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Map(_Working):
    """Runs `processor` for each item; `mode` DISTRIBUTED gives each item (or batch) an execution of its own."""

    processor: Machine
    mode: Literal["INLINE", "DISTRIBUTED"] = "INLINE"
    execution_type: Literal["STANDARD", "EXPRESS"] | None = None
    items: Json | Absent = ABSENT  # JSONata: an array, an object, or an expression
    items_path: str | None = None  # JSONPath
    item_selector: Json | Absent = ABSENT
    item_reader: ItemReader | None = None
    item_batcher: ItemBatcher | None = None
    result_writer: ResultWriter | None = None
    max_concurrency: int | str | None = None  # 0 or None: no limit
    max_concurrency_path: str | None = None
    tolerated_failure_count: int | str | None = None
    tolerated_failure_count_path: str | None = None
    tolerated_failure_percentage: float | str | None = None
    tolerated_failure_percentage_path: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeed(_Passing):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail(_Every):
    """`error` and `cause` may be JSONata; the `_path` twins are a JSONPath or an intrinsic function."""

    error: str | None = None
    cause: str | None = None
    error_path: str | None = None
    cause_path: str | None = None


State: TypeAlias = Task | Pass | Choice | Wait | Parallel | Map | Succeed | Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A state machine, a branch of a Parallel or the processor of a Map. The order of `states` is kept."""

    start_at: str
    states: Mapping[str, State]
    comment: str | None = None
    query_language: QueryLanguage | None = None
    timeout_seconds: int | None = None
    version: str | None = None


def language(state: State, inherited: QueryLanguage | None) -> QueryLanguage:
    """The query language that a state speaks; `inherited` is its machine's."""
    return state.query_language or inherited or "JSONPath"
