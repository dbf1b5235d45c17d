"""Evidence with a hash instead of each name of the target's own: schemas, relations, columns, roles, code files and the like.

PostgreSQL's own words stay as they are (keywords, functions, types, and those of its extensions: vocabulary.txt), also where the
target uses one for a name: they tell nothing, and without them no statement could be read. The same name has the same hash
everywhere, so that what matched still matches.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import os
import re
import secrets
import typing
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from checks.advice import Advice, AdvisedIndex, AdvisedStatement
from checks.configuration import Configuration, Override, Prices, Waiver
from checks.errors import StoreError
from checks.evidence.database import facts
from checks.evidence.evidence import Evidence
from checks.evidence.repository import facts as code
from checks.evidence.tokens import Kind, tokens
from checks.growth import Breaking, GrownStatement, GrownTable
from checks.model import Location, Reason, Subject, Unobserved
from checks.proofs import Lacking, Proof, Proofs, ProvenStatement

KEY_VARIABLE = "PGSURVEYOR_NAMES_KEY"
KEY_FILE = "names.key"
NOT_PROVEN_OF_HASHES = Unobserved(Reason.NO_SHADOW, "proofs are of names: leave --redact-names out")

Fact = TypeVar("Fact")


class Rule(Enum):
    """What a text is: a name; SQL; words that may have names among them; a path; a place, which is a query id or a path with
    a line; a setting; or nothing of the target's own."""

    NAME = auto()
    SQL = auto()
    WORDS = auto()
    PATH = auto()
    PLACE = auto()
    SETTING = auto()
    KEEP = auto()


_NAMED_SETTINGS = frozenset(
    """
    search_path synchronous_standby_names synchronized_standby_slots primary_slot_name role default_tablespace temp_tablespaces
    default_text_search_config default_table_access_method pgrst.db_schemas pgrst.db_anon_role
    """.split()
)
_HASH = re.compile(r"n[0-9a-f]{12}")
_WORD = re.compile(r"[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*")
_STEM_WORD = re.compile(r"[A-Za-z0-9_-]+")
_SUFFIX = re.compile(
    r"(?:\.(?:sql|py|ts|tsx|js|jsx|rb|go|rs|prisma|java|kt|cs|php|ex|yml|yaml|toml|json|env|conf|ini|tf|md))+$"
)

NAME, SQL, WORDS, PATH, PLACE, SETTING, KEEP = Rule

_OF_SUBJECTS: Mapping[str, tuple[Rule, ...]] = {
    "file": (PATH,),
    "statement": (KEEP,),
    "setting": (SETTING,),
    "extension": (KEEP,),
    "function": (NAME, NAME, SQL),
}

# By struct, each field that holds text; "*" stands for all others of it. What is not here is read as words.
RULES: Mapping[type, Mapping[str, Rule]] = {
    Evidence: {"unreached_replicas": NAME, "notices": WORDS, "*": KEEP},
    Unobserved: {"unlock": WORDS, "*": KEEP},
    Subject: {"kind": KEEP, "path": NAME},
    Location: {"path": PATH},
    Configuration: {"notices": WORDS},
    Prices: {"*": KEEP},
    Override: {"*": KEEP},
    Waiver: {"reason": WORDS, "objects": WORDS, "note": WORDS, "*": KEEP},
    facts.Extension: {"schema": NAME, "*": KEEP},
    facts.RoleSetting: {"role": NAME, "database": NAME, "name": SETTING, "value": KEEP},
    facts.Server: {"database": NAME, "user": NAME, "*": KEEP},
    facts.SystemTable: {"*": KEEP},
    facts.Table: {"schema": NAME, "name": NAME, "owner": NAME, "*": KEEP},
    facts.Column: {
        "name": NAME,
        "type": SQL,
        "base_type": NAME,
        "default_function": NAME,
        "labels": NAME,
        "*": KEEP,
    },
    facts.Constraint: {"name": NAME, "*": KEEP},
    facts.IndexKey: {"operator_class": NAME, "operator_family": NAME, "expression": SQL, "*": KEEP},
    facts.Index: {"schema": NAME, "name": NAME, "predicate": SQL, "*": KEEP},
    facts.Sequence: {"schema": NAME, "name": NAME, "type": SQL, "*": KEEP},
    facts.Function: {
        "schema": NAME,
        "name": NAME,
        "arguments": SQL,
        "settings": SETTING,
        "owner": NAME,
        "*": KEEP,
    },
    facts.View: {"*": KEEP},
    facts.Trigger: {"name": NAME, "function": NAME, "*": KEEP},
    facts.Policy: {"name": NAME, "roles": NAME, "using": SQL, "check": SQL, "calls_per_row": SQL, "*": KEEP},
    facts.ExtendedStatistics: {"schema": NAME, "name": NAME, "expressions": SQL, "*": KEEP},
    facts.Role: {"name": NAME, "member_of": NAME},
    facts.Schema: {"name": NAME, "owner": NAME, "*": KEEP},
    facts.Grant: {"grantee": NAME, "*": KEEP},
    facts.DefaultGrant: {"owner": NAME, "schema": NAME, "grantee": NAME, "*": KEEP},
    facts.Usage: {"*": KEEP},
    facts.Statement: {"text": SQL, "users": NAME, "*": KEEP},
    facts.Statements: {"*": KEEP},
    facts.StatementRate: {"*": KEEP},
    facts.Sighting: {"*": KEEP},
    facts.Setting: {"name": SETTING, "value": KEEP, "boot_value": KEEP, "*": KEEP},
    facts.Settings: {"login_roles": NAME, "privileged_roles": NAME},
    facts.Session: {"application_name": NAME, "user": NAME, "database": NAME, "*": KEEP},
    facts.WaitCount: {"*": KEEP},
    facts.HorizonHolder: {"kind": KEEP, "name": NAME},
    facts.Progress: {"database": NAME, "*": KEEP},
    facts.PreparedTransaction: {"name": NAME, "database": NAME, "owner": NAME},
    facts.FreezeAge: {"path": NAME},
    facts.Standby: {"application_name": NAME, "*": KEEP},
    facts.Slot: {"name": NAME, "database": NAME, "*": KEEP},
    facts.Publication: {"name": NAME, "owner": NAME, "schemas": NAME, "*": KEEP},
    facts.Subscription: {"name": NAME, "owner": NAME, "publications": NAME, "slot_name": NAME, "*": KEEP},
    facts.Replication: {"subscriptions": NAME, "*": KEEP},
    facts.Replica: {"name": NAME},
    facts.HostRule: {"databases": NAME, "users": NAME, "file": NAME, "*": KEEP},
    facts.Pool: {"database": NAME, "user": NAME, "*": KEEP},
    facts.Pooler: {"name": NAME, "mean_wait_ms": NAME, "*": KEEP},
    facts.IoUsage: {"*": KEEP},
    facts.SlruUsage: {"*": KEEP},
    facts.BodyStatement: {"text": SQL},
    facts.Embeddings: {"*": KEEP},
    facts.SentSetting: {"*": KEEP},
    facts.RecallMeasurement: {"filtered_by": NAME, "*": KEEP},
    facts.Recall: {"*": KEEP},
    facts.RowSamples: {"*": KEEP},
    GrownTable: {"schema": NAME, "name": NAME, "why": KEEP},
    GrownStatement: {"statement": PLACE, "tables": SQL, "plan_now": WORDS, "plan_then": WORDS},
    Breaking: {"reason": KEEP},
    facts.PlanNode: {
        "schema": NAME,
        "relation": NAME,
        "alias": NAME,
        "index": NAME,
        "filter": SQL,
        "index_condition": SQL,
        "hash_condition": SQL,
        "sort_key": SQL,
        "order_by": SQL,
        "*": KEEP,
    },
    facts.Plan: {"planned_as": NAME, "*": KEEP},
    facts.Measured: {"*": KEEP},
    facts.TriggerTime: {"name": NAME, "*": KEEP},
    facts.GivenPlan: {"text": SQL, "file": PATH, "values": WORDS, "*": KEEP},
    facts.GivenPlans: {"*": KEEP},
    facts.LogEvents: {"*": KEEP},
    facts.Earlier: {"*": KEEP},
    facts.EarlierStatement: {"*": KEEP},
    facts.Unplanned: {"unlock": WORDS, "*": KEEP},
    code.CodeStatement: {"text": SQL, "name": NAME, "*": KEEP},
    code.Match: {"*": KEEP},
    code.Declared: {"*": KEEP},
    code.Lineage: {"folder": PATH, "last": PATH, "uncertain": NAME, "applications": NAME, "*": KEEP},
    code.DeclaredTable: {"schema": NAME, "name": NAME},
    code.DeclaredColumn: {"name": NAME, "type": SQL, "labels": NAME},
    code.DeclaredConstraint: {"name": NAME, "columns": NAME, "references": NAME, "referenced_columns": NAME, "*": KEEP},
    code.DeclaredIndex: {"name": NAME, "columns": NAME, "*": KEEP},
    code.DeploymentFact: {"kind": KEEP, "detail": WORDS},
    code.Model: {"name": NAME, "table": NAME, "schema": NAME, "*": KEEP},
    code.ModelColumn: {
        "name": NAME,
        "attribute": NAME,
        "type": SQL,
        "values": NAME,
        "references": NAME,
        "on_delete": KEEP,
    },
    code.ModelRelation: {
        "attribute": NAME,
        "target": NAME,
        "name": NAME,
        "columns": NAME,
        "references": NAME,
        "on_delete": KEEP,
    },
    code.ModelIndex: {"columns": NAME, "name": NAME, "*": KEEP},
    code.Remark: {"names": NAME},
    code.OrmCall: {"text": SQL, "function": NAME, "*": KEEP},
    facts.CollationVersion: {"name": NAME, "*": KEEP},
    AdvisedIndex: {"table": NAME, "definition": SQL, "*": KEEP},
    AdvisedStatement: {"*": KEEP},
    Advice: {"*": KEEP},
    Proof: {"note": WORDS, "*": KEEP},
    ProvenStatement: {"plan_before": SQL, "plan_after": SQL, "*": KEEP},
    Lacking: {"name": NAME, "relations": SQL, "reason": WORDS, "*": KEEP},
    code.MigrationFile: {"path": PATH, "folder": PATH, "*": KEEP},
    code.MigrationStep: {"table": NAME, "name": NAME, "columns": NAME, "also": NAME, "detail": SQL, "*": KEEP},
    code.Behaviour: {"kind": KEEP, "function": NAME, "table": NAME, "text": SQL, "detail": WORDS},
    code.EmbeddingModel: {"function": NAME, "*": KEEP},
    code.VectorCall: {"collection": NAME, "filters": NAME, "where_from": NAME, "function": NAME, "*": KEEP},
    code.FrameworkUse: {"*": KEEP},
    code.Repository: {"name": NAME, "*": KEEP},
}


def names_key(folder: Path | None) -> bytes:
    """The secret that hashes are made with: of PGSURVEYOR_NAMES_KEY, else of names.key in the user's folder, which is made if
    it is not there. Without it, guessing a name would be enough to find it. Raises StoreError."""
    if given := os.environ.get(KEY_VARIABLE):
        return given.encode("utf-8", "surrogateescape")
    if folder is None:
        raise StoreError("names cannot be redacted without a key", f"set {KEY_VARIABLE}")
    path = folder / KEY_FILE
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(handle, secrets.token_hex(32).encode() + b"\n")
            finally:
                os.close(handle)
        key = path.read_bytes().strip()
    except OSError as error:
        raise StoreError(f"cannot read or make {path}: {error.strerror}", f"set {KEY_VARIABLE}") from error
    if not key:
        raise StoreError(f"{path} is empty", "remove it: the next run makes another")
    return key


def redact(evidence: Evidence, key: bytes) -> Evidence:
    """`evidence` with hashes for names. The key of a project is made of `key` and the name of its database, else repository."""
    server, repository = evidence.find(facts.Server), evidence.find(code.Repository)
    project = server.database if server else repository.name if repository else ""
    redactor = _Redactor(hmac.digest(key, project.encode("utf-8", "surrogateescape"), "sha256"))
    if evidence.find(Proofs) is not None:
        # A proof goes by the fingerprint of its finding, which is made of names.
        evidence = msgspec.structs.replace(evidence, proofs=NOT_PROVEN_OF_HASHES)
    redactor.walk(evidence)
    redactor.learning = False
    return redactor.walk(evidence)


def rule_for(owner: type, field: str) -> Rule:
    """How texts in that field are treated."""
    rules = RULES.get(owner, {})
    return rules.get(field) or rules.get("*") or Rule.WORDS


@cache
def _rules_of(owner: Any) -> tuple[tuple[str, Rule], ...]:
    """By field; those left out that hold numbers alone."""
    hints = typing.get_type_hints(owner)
    return tuple((field, rule_for(owner, field)) for field in owner.__struct_fields__ if _may_hold_text(hints[field]))


def _may_hold_text(kind: Any) -> bool:
    parts = typing.get_args(kind)
    return (
        any(map(_may_hold_text, parts)) if parts else kind not in {int, float, bool, type(None), dt.datetime, dt.date}
    )


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(files("checks.evidence").joinpath("vocabulary.txt").read_text("ascii").split())


class _Redactor:
    """Goes through evidence twice: first for the names, then to replace them, also where they stand among other words."""

    def __init__(self, key: bytes) -> None:
        self.learning = True
        self._key = key
        self._hashes: dict[str, str] = {}
        self._known: dict[str, str] = {}
        self._by_rule: Mapping[Rule, Callable[[str], str]] = {
            Rule.NAME: self._name,
            Rule.SQL: cache(self._sql),
            Rule.WORDS: cache(self._words),
            Rule.PATH: cache(self._path),
            Rule.PLACE: self._place,
            Rule.SETTING: self._setting,
            Rule.KEEP: str,
        }

    def walk(self, fact: Fact) -> Fact:
        return self._struct(fact)  # type: ignore[no-any-return]  # a struct of the same type

    def _struct(self, fact: Any) -> Any:
        if isinstance(fact, facts.Setting | facts.RoleSetting) and fact.name in _NAMED_SETTINGS:
            replaced = {"value": self._text(fact.value, Rule.SQL)}
            if isinstance(fact, facts.RoleSetting):
                replaced |= {"role": self._name(fact.role), "database": self._name(fact.database)}
            return fact if self.learning else msgspec.structs.replace(fact, **replaced)
        if isinstance(fact, Subject):
            return self._subject(fact)
        changed = {}
        kind: Any = type(fact)
        for field, rule in _rules_of(kind):
            value = getattr(fact, field)
            new = self._value(value, rule)
            if new is not value:
                changed[field] = new
        return msgspec.structs.replace(fact, **changed) if changed and not self.learning else fact

    def _value(self, value: Any, rule: Rule) -> Any:
        if isinstance(value, Enum):
            return value
        if isinstance(value, str):
            return self._text(value, rule)
        if isinstance(value, msgspec.Struct):
            return self._struct(value)
        if isinstance(value, tuple | list):
            found = [self._value(entry, rule) for entry in value]
            if self.learning or all(new is old for new, old in zip(found, value, strict=True)):
                return value
            return type(value)(found)
        if isinstance(value, dict) and rule is not Rule.KEEP:
            return {self._text(name, rule): self._value(entry, rule) for name, entry in value.items()}
        return value

    def _text(self, text: str, rule: Rule) -> str:
        if self.learning:
            if rule is Rule.NAME and (new := self._name(text)) != text:
                self._known[text] = new
            return text
        return self._by_rule[rule](text)

    def _subject(self, subject: Subject) -> Subject:
        given = _OF_SUBJECTS.get(subject.kind, ())
        path = tuple(
            self._text(part, given[position] if position < len(given) else Rule.NAME)
            for position, part in enumerate(subject.path)
        )
        return subject if self.learning else Subject(subject.kind, path)

    def _name(self, name: str) -> str:
        if not name or name.startswith("pg_") or name.removeprefix("_") in _vocabulary() or _HASH.fullmatch(name):
            return name
        return self._hashed(name)

    def _hashed(self, name: str) -> str:
        if name not in self._hashes:
            digest = hmac.new(self._key, name.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
            self._hashes[name] = f"n{digest[:12]}"
        return self._hashes[name]

    def _sql(self, text: str) -> str:
        return "".join(self._tokens(text))

    def _tokens(self, text: str) -> Iterator[str]:
        for token in tokens(text):
            if token.kind is Kind.WORD:
                folded = token.text.lower()
                new = self._name(folded)
                yield token.text if new == folded else new
            elif token.kind is Kind.QUOTED:
                name = token.text[1:-1].replace('""', '"')
                new = self._name(name)
                yield token.text if new == name else new
            elif token.kind is Kind.STRING:
                yield _STEM_WORD.sub(lambda part: self._name(part[0]), token.text)
            else:
                yield token.text

    def _words(self, text: str) -> str:
        """A name may be of several words, so that the longest go first."""
        for name in self._uncommon:
            text = text.replace(name, self._known[name])
        return _WORD.sub(lambda part: self._known.get(part[0]) or self._known.get(part[0].lower()) or part[0], text)

    @cached_property
    def _uncommon(self) -> list[str]:
        """Names that are more than a word, longest first."""
        return sorted((name for name in self._known if not _WORD.fullmatch(name)), key=len, reverse=True)

    def _path(self, path: str) -> str:
        return "/".join(self._step(step) for step in path.split("/"))

    def _place(self, place: str) -> str:
        path, sign, number = place.rpartition(":")
        return f"{self._path(path)}:{number}" if sign and number.isdigit() else place

    def _step(self, step: str) -> str:
        suffix = found[0] if (found := _SUFFIX.search(step)) else ""
        stem = step.removesuffix(suffix)
        return self._hashed(stem) + suffix if stem and not _HASH.fullmatch(stem) else step

    def _setting(self, text: str) -> str:
        """A setting, or `name=value`: names with a dot are of extensions, whose words are kept, or of the application."""
        name, sign, value = text.partition("=")
        prefix = name.partition(".")[0]
        if "." in name and self._name(prefix) != prefix:
            name = ".".join(self._name(part) for part in name.split("."))
        if name in _NAMED_SETTINGS:
            value = self._sql(value)
        return name + sign + value
