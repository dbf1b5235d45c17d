"""Which model a constant of Ruby code means."""

from __future__ import annotations

from collections.abc import Mapping

from tree_sitter import Node

from checks.evidence.repository.orm.activerecord import Entry
from checks.evidence.repository.orm.ruby import camelized, underscored
from checks.evidence.repository.orm.syntax import field, text


class Classes:
    """The models, by what a constant in a file may mean."""

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = entries
        self._by_last: dict[str, list[Entry]] = {}
        for name, entry in entries.items():
            self._by_last.setdefault(name.rpartition("::")[2], []).append(entry)
        self._by_concern: dict[str, list[Entry]] = {}
        self._by_path: dict[str, list[Entry]] = {}
        for entry in entries.values():
            self._by_path.setdefault(entry.model.location.path, []).append(entry)
            for name, path in entry.concerns:
                self._by_concern.setdefault(name, []).append(entry)
                self._by_path.setdefault(path, []).append(entry)
        self._by_association = self._associations()
        # `webhook` for WebHook.
        self._by_letters = {
            name.lower(): same[0] for name, same in self._by_last.items() if len(same) == 1 and "_" in underscored(name)
        }

    def find(self, name: str, scope: str = "") -> Entry | None:
        """The model that the name means within the modules of `scope`."""
        name = name.removeprefix("::")
        while scope:
            if found := self.entries.get(f"{scope}::{name}"):
                return found
            scope = scope.rpartition("::")[0]
        if found := self.entries.get(name):
            return found
        same = self._by_last.get(name, ()) if "::" not in name else ()
        return same[0] if len(same) == 1 else None

    def holder(self, scope: str) -> Entry | None:
        """The model whose methods stand in that scope: the class itself, or the only one that includes the concern."""
        including = self._by_concern.get(scope.removesuffix("::ClassMethods"), ())
        return including[0] if len(including) == 1 else None if including else self.find(scope)

    def meant(self, name: str, scope: str) -> Entry | None:
        """The model of the row that a variable or a method of that name holds: what an association of the class leads to that the
        code stands in, else the class called like it, else what associations of that name lead to everywhere."""
        name = name.lstrip("@").removeprefix("current_")
        own = self.holder(scope) if scope else None
        if own is not None and (found := self.linked(own, name)) is not None:
            return found
        return self.find(camelized(name), scope) or self._by_association.get(name) or self._by_letters.get(name.lower())

    def linked(self, entry: Entry, attribute: str) -> Entry | None:
        """The model that the row's association with one other row leads to."""
        link = next((link for link in entry.model.relations if link.attribute == attribute and not link.many), None)
        return self.find(link.target, entry.declaration.name) if link is not None else None

    def _associations(self) -> dict[str, Entry | None]:
        found: dict[str, Entry | None] = {}
        for entry in self.entries.values():
            for link in entry.model.relations:
                target = self.find(link.target, entry.declaration.name) if not link.many else None
                if target is not None:
                    same = found.get(link.attribute, target)
                    found[link.attribute] = (
                        target if same is not None and same.model.table == target.model.table else None
                    )
        return found

    def within(self, path: str) -> list[Entry]:
        """The models whose methods stand in the file."""
        return self._by_path.get(path, [])


def scope_of(node: Node) -> str:
    """The modules and classes that the node stands in."""
    names: list[str] = []
    current = node.parent
    while current is not None:
        if current.type in ("class", "module"):
            names.append(text(field(current, "name")))
        current = current.parent
    return "::".join(reversed(names))
