"""Order: what depends on what, in levels whose members can be made at the same time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from millpond.local.service import AwsError


def levels(depends: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Levels, what is depended on first; each in the order of the mapping. Raises ValidationError for a cycle."""
    waiting = {name: {other for other in others if other in depends} for name, others in depends.items()}
    found: list[list[str]] = []
    while waiting:
        free = [name for name, others in waiting.items() if not others]
        if not free:
            names = ", ".join(sorted(_cycle(waiting)))
            raise AwsError("ValidationError", f"Circular dependency between resources: [{names}]")
        found.append(free)
        for name in free:
            del waiting[name]
        for others in waiting.values():
            others.difference_update(free)
    return found


def _cycle(waiting: Mapping[str, set[str]]) -> list[str]:
    """The members of one cycle: follow dependencies until a name comes again."""
    name = next(iter(waiting))
    walked: list[str] = []
    while name not in walked:
        walked.append(name)
        name = sorted(waiting[name])[0]
    return walked[walked.index(name) :]
