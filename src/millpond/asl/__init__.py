"""Amazon States Language: the model that everything shares, and what can be asked of it.

    from millpond import asl

    machine = asl.Machine(start_at="Hello", states={"Hello": asl.Pass(result="world")})
    asl.to_json(machine)

May import: millpond.errors.
"""

from millpond.asl.codec import from_json, parse, state_to_json, to_json
from millpond.asl.model import (
    ABSENT,
    Absent,
    And,
    Catcher,
    Choice,
    Comparison,
    Fail,
    ItemBatcher,
    ItemReader,
    Json,
    Machine,
    Map,
    Not,
    Or,
    Parallel,
    Pass,
    QueryLanguage,
    ReaderConfig,
    ResultWriter,
    Retrier,
    Rule,
    State,
    Succeed,
    Task,
    Test,
    Wait,
    WriterConfig,
    language,
)

__all__ = [
    "ABSENT",
    "Absent",
    "And",
    "Catcher",
    "Choice",
    "Comparison",
    "Fail",
    "ItemBatcher",
    "ItemReader",
    "Json",
    "Machine",
    "Map",
    "Not",
    "Or",
    "Parallel",
    "Pass",
    "QueryLanguage",
    "ReaderConfig",
    "ResultWriter",
    "Retrier",
    "Rule",
    "State",
    "Succeed",
    "Task",
    "Test",
    "Wait",
    "WriterConfig",
    "from_json",
    "language",
    "parse",
    "state_to_json",
    "to_json",
]
