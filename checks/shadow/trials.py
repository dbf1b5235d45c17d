"""What of a finding's fix can be tried in a shadow: indexes that it creates or drops, statements that it writes otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from checks.evidence.tokens import Kind, Token, significant
from checks.model import Area, Finding, quote_identifier
from checks.shadow.script import split

AREAS = (Area.INDEXING, Area.PLANS, Area.HYBRID)
_IDLE = ("analyze", "set", "reset", "comment", "vacuum")
STATISTICS = "what ANALYZE would find with it is in the rows, of which a shadow has none"
SEARCH_OPTIONS = frozenset({"lists", "m", "ef_construction"})
NEIGHBOURS = (
    "how many of the nearest rows a search then finds is in no plan, whose cost alone would even speak against it: "
    "--measure-recall before and after tells"
)
GENERATED = "no statement names the new column yet, and what stands in it is not known without the rows"
PREFIX = "pgsurveyor_tried_"


class Creation(NamedTuple):
    """A CREATE INDEX under a name of ours, so that it cannot meet one that is taken; it may be run again."""

    name: str
    sql: str

    @property
    def needs_constants(self) -> bool:
        """Whether a statement has to show a constant to use it, as with an expression or a predicate; parameters hide it."""
        words = [token.text.lower() for token in significant(self.sql)]
        return "where" in words or words.count("(") > 1


class Trial(NamedTuple):
    """Of one finding. `drops` are indexes by schema and name, `extensions` come before the indexes, `rewritten` are other texts
    for statements by their id. `unprovable` says why a shadow can tell nothing of a fix that does change plans, or is empty."""

    finding: Finding
    creates: tuple[Creation, ...] = ()
    drops: tuple[tuple[str, str], ...] = ()
    extensions: tuple[str, ...] = ()
    rewritten: tuple[tuple[str, str], ...] = ()
    unprovable: str = ""


def trials(findings: Iterable[Finding]) -> list[Trial]:
    """The findings on plans whose fix creates and drops indexes or writes statements otherwise, and those whose fix cannot be
    proven though it changes plans."""
    found = []
    for number, finding in enumerate(findings):
        if finding.area not in AREAS:
            continue
        trial = _trial(finding, number)
        if trial is not None:
            found.append(trial)
    return found


def _trial(finding: Finding, number: int) -> Trial | None:
    creates: list[Creation] = []
    drops: list[tuple[str, str]] = []
    extensions: list[str] = []
    unprovable = ""
    scripts = [(text, significant(text)) for text in split(finding.fix.sql or "")]
    attached = {path[-1] for _, words in scripts if (path := _attached(words))}
    for text, words in scripts:
        first = [token.text.lower() for token in words[:4]]
        if not first or first[0] in _IDLE:
            continue
        if first[0] == "create" and "index" in first[1:3]:
            # A tree of partitions is tried whole: what is made on its parts comes with its root.
            if _index_name(words) in attached:
                continue
            creation = _creation(text, words, f"{PREFIX}{number}_{len(creates)}")
            if creation is None:
                return None
            creates.append(creation)
        elif first[:2] == ["alter", "index"]:
            if _attached(words):
                continue
            texts = [token.text.lower() for token in words if token.kind is not Kind.QUOTED]
            if "set" not in texts or not SEARCH_OPTIONS & set(texts[texts.index("set") :]):
                return None
            unprovable = NEIGHBOURS
        elif first[:1] == ["reindex"] and unprovable:
            continue
        elif first[:2] == ["create", "extension"]:
            path = _name([token for token in words[2:] if token.text.lower() not in ("if", "not", "exists")])
            extensions += path[:1]
        elif first[:2] == ["create", "statistics"]:
            unprovable = STATISTICS
        elif first[:2] == ["drop", "index"]:
            path = _name([token for token in words[2:] if token.text.lower() not in ("concurrently", "if", "exists")])
            if len(path) != 2:
                return None
            drops.append((path[0], path[1]))
        elif first[:2] == ["alter", "table"] and len(words) > 4:
            table = _name(words[2:])
            rest = [token.text.lower() for token in words[2 + 2 * len(table) - 1 :]]
            if rest[:1] == ["add"] and "generated" in rest and "stored" in rest:
                unprovable = unprovable or GENERATED
            elif len(table) == 2 and rest[:2] == ["drop", "constraint"] and len(rest) == 3:
                drops.append((table[0], _name(words[-1:])[0]))
            else:
                return None
        else:
            return None
    if unprovable:
        return Trial(finding, unprovable=unprovable)
    rewritten = finding.fix.rewritten
    if not (creates or drops or rewritten):
        return None
    return Trial(finding, tuple(creates), tuple(drops), tuple(extensions), rewritten)


def _creation(text: str, words: list[Token], name: str) -> Creation | None:
    on = next((token for token in words if token.kind is Kind.WORD and token.text.lower() == "on"), None)
    if on is None:
        return None
    unique = "UNIQUE " if words[1].text.lower() == "unique" else ""
    after = [token for token in words[words.index(on) + 1 :][:2] if token.text.lower() != "only"]
    if not after:
        return None
    return Creation(
        name,
        f"CREATE {unique}INDEX IF NOT EXISTS {quote_identifier(name)} ON {text[after[0].start :].rstrip().rstrip(';')}",
    )


def _index_name(words: list[Token]) -> str | None:
    """Of a CREATE INDEX, as it is written there."""
    names = [token for token in words[1:] if token.text.lower() not in ("unique", "index", "concurrently")]
    if [token.text.lower() for token in names[:3]] == ["if", "not", "exists"]:
        names = names[3:]
    return next(iter(_name(names[:1])), None)


def _attached(words: list[Token]) -> tuple[str, ...]:
    """The index that an ALTER INDEX attaches to another; empty of any other statement."""
    texts = [token.text.lower() for token in words]
    if texts[:2] != ["alter", "index"] or "attach" not in texts:
        return ()
    return _name(words[texts.index("attach") + 2 :])


def _name(words: list[Token]) -> tuple[str, ...]:
    path: list[str] = []
    expected = True
    for token in words:
        if expected and token.kind is Kind.WORD:
            path.append(token.text.lower())
        elif expected and token.kind is Kind.QUOTED:
            path.append(token.text[1:-1].replace('""', '"'))
        elif not expected and token.text == ".":
            expected = True
            continue
        else:
            break
        expected = False
    return tuple(path)
