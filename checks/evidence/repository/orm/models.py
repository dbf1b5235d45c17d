"""The models of a repository, found by what code calls them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from checks.evidence.repository.facts import Model


class Models:
    def __init__(self, models: Iterable[Model]) -> None:
        self._by_name: dict[str, list[Model]] = {}
        for model in models:
            self._by_name.setdefault(model.name, []).append(model)

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def all(self) -> Iterator[Model]:
        for models in self._by_name.values():
            yield from models

    def find(self, name: str, path: str) -> Model | None:
        """The model of that name as the file at `path` would mean it: its own, else the only one, else the only one that shares
        the longest way with the file; None if that leaves several tables."""
        found = self._by_name.get(name, [])
        if len({(model.schema, model.table) for model in found}) > 1:
            nearness = {id(model): _shared(model.location.path, path) for model in found}
            nearest = max(nearness.values())
            found = [model for model in found if nearness[id(model)] == nearest] if nearest else []
            if len({(model.schema, model.table) for model in found}) > 1:
                return None
        return max(found, key=lambda model: len(model.columns), default=None)


def _shared(one: str, other: str) -> int:
    """How many leading folders two paths have in common; a file has more in common with itself."""
    count = 0
    for left, right in zip(one.split("/"), other.split("/"), strict=False):
        if left != right:
            break
        count += 1
    return count
