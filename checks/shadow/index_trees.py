"""Which indexes of a shadow belong together: one of a partitioned table and those of its partitions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from checks.shadow.clone import Shadow
from checks.shadow.queries import INDEXES_BELOW

Path = tuple[str, str]


class Part(NamedTuple):
    """An index and its table, each by schema and name."""

    path: Path
    table: Path


def index_trees(shadow: Shadow) -> Mapping[Path, tuple[Part, ...]]:
    """For every index by its path: itself and those of partitions below it. One of the target's own that a new one of the
    partitioned table took over, because it was equal, is no part of that: it was there before and stays when that is hidden."""
    of_target = {entry.path for entry in shadow.blueprint.relations}
    found: dict[Path, list[Part]] = defaultdict(list)
    with shadow.superuser() as superuser:
        rows = superuser.execute(INDEXES_BELOW).fetchall()
    for root, root_schema, schema, name, table_schema, table in rows:
        path, part = (root_schema, root), (schema, name)
        if path in of_target or part not in of_target:
            found[path].append(Part(part, (table_schema, table)))
    return {path: tuple(parts) for path, parts in found.items()}
