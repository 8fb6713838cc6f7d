"""Refresh the vendored resource schemas from the public CloudFormation registry schemas that cfn-lint ships.

    python -m millpond.local.cloudformation.schemas.vendor

Run by hand, with the `dev` extra installed. Only what the engine decides by is kept: which properties exist and are
required, their types, enums and patterns, which of them force a replacement, which are attributes, where tags go.
The texts are left out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TOP = (
    "additionalProperties",
    "conditionalCreateOnlyProperties",
    "createOnlyProperties",
    "definitions",
    "primaryIdentifier",
    "properties",
    "readOnlyProperties",
    "required",
    "tagging",
    "typeName",
    "writeOnlyProperties",
)
DROPPED = frozenset(
    {"description", "$comment", "examples", "title", "relationshipRef", "format", "insertionOrder", "default",
     "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependencies", "dependentRequired", "markdownDescription",
     "dependentExcluded", "requiredOr", "requiredXor", "enumCaseInsensitive", "arrayType", "uniqueItems"}
)  # fmt: skip


def slim(node: Any, *, names: bool = False) -> Any:
    """A schema without its texts and without the combinators that the engine does not read."""
    match node:
        case dict():
            return {k: slim(v, names=not names and k in ("properties", "definitions", "patternProperties"))
                    for k, v in node.items() if names or (k not in DROPPED and usable(k, v))}  # fmt: skip
        case list():
            return [slim(item) for item in node]
        case _:
            return node


def usable(key: str, value: Any) -> bool:
    """False for a pattern that Python's `re` cannot compile (the registry's are Java's)."""
    if key != "pattern" or not isinstance(value, str):
        return True
    try:
        re.compile(value)
    except re.error:
        return False
    return True


def main() -> None:
    import cfnlint  # only here: a development dependency

    from millpond.local.cloudformation.providers import PROVIDERS

    shipped = Path(cfnlint.__file__).parent / "data" / "schemas"
    index = json.loads((shipped / "providers" / "us-east-1.json").read_text())
    for name in sorted(PROVIDERS):
        if name not in index:
            print(f"no public schema: {name}")
            continue
        schema = json.loads((shipped / "resources" / f"{index[name]}.json").read_text())
        kept = slim({key: schema[key] for key in TOP if key in schema})
        kept["tagging"] = {k: v for k, v in schema.get("tagging", {}).items() if k in ("taggable", "tagProperty")}
        text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
        (HERE / f"{name.replace('::', '-')}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
