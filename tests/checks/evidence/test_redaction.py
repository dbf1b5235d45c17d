"""With --redact-names neither evidence nor scorecard holds a name of the target's own, and what matched still matches."""

from __future__ import annotations

import gzip
import re
import stat
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from checks.checklist import run_checks
from checks.errors import StoreError
from checks.evidence import store
from checks.evidence.database.facts import Catalog, Plans, Server, Statements
from checks.evidence.evidence import Evidence
from checks.evidence.observe import Target, observe
from checks.evidence.patterns import workload
from checks.evidence.redaction import RULES, names_key, redact
from checks.evidence.repository.facts import Repository
from checks.model import CheckResult, Outcome
from scorecards.exports import render
from scorecards.session import Review
from tests.servers import Database

SCHEMA = """
    CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pg_trgm;
    CREATE SCHEMA zeppelin; CREATE TYPE zeppelin.balloonkind AS ENUM ('zigzag');
    CREATE TABLE zeppelin.passengers (
        passengerno bigserial PRIMARY KEY, nickname text, kind zeppelin.balloonkind, luggage jsonb, portrait text,
        "Boarding Pass" text, name text
    );
    CREATE TABLE zeppelin.baggage (baggageno int PRIMARY KEY, passengerno bigint REFERENCES zeppelin.passengers);
    CREATE INDEX bynickname ON zeppelin.passengers (lower(nickname)) WHERE nickname IS NOT NULL;
    CREATE INDEX bynicknametoo ON zeppelin.passengers (lower(nickname)) WHERE nickname IS NOT NULL;
    CREATE INDEX byportrait ON zeppelin.passengers USING gin (portrait gin_trgm_ops);
    CREATE FUNCTION zeppelin.inflate() RETURNS int LANGUAGE sql STABLE SET zeppelin.gasbag = 'x' AS 'SELECT 1';
    CREATE POLICY onlyown ON zeppelin.passengers TO stewardess USING (nickname = current_user AND zeppelin.inflate() > 0);
    CREATE VIEW zeppelin.manifesto AS SELECT passengerno FROM zeppelin.passengers;
    CREATE PUBLICATION gazette FOR TABLE zeppelin.passengers;
    GRANT SELECT ON zeppelin.passengers TO stewardess;
    INSERT INTO zeppelin.passengers (nickname) SELECT 'a' || g FROM generate_series(1, 2000) g;
    ANALYZE zeppelin.passengers
"""
NAMES = """
    zeppelin balloonkind passengers passengerno nickname luggage portrait boarding baggage baggageno bynickname byportrait
    inflate gasbag onlyown manifesto gazette stewardess steward_app zigzag airship hangar lookup_passenger mooring
""".split()
QUERY = (
    'SELECT p.passengerno, p."Boarding Pass" FROM zeppelin.passengers AS p '
    "WHERE lower(p.nickname) = %s AND p.luggage ->> 'mooring' = %s"
)
FILES = {
    "hangar/lookup_passenger.py": f"def find(cursor):\n    cursor.execute('''{QUERY}''', (1, 2))\n",
    "migrations/001_zeppelin.sql": "CREATE TABLE zeppelin.passengers (passengerno bigint PRIMARY KEY, nickname text);\n",
    "docker-compose.yml": "services:\n  airship:\n    image: postgres:18\n",
}


@pytest.fixture
def target(database: Database, repository: Callable[..., Path]) -> Iterator[Target]:
    database.execute("DROP ROLE IF EXISTS stewardess", "CREATE ROLE stewardess LOGIN", SCHEMA)
    database.execute(f'ALTER ROLE stewardess IN DATABASE "{database.name}" SET search_path = zeppelin, public')
    with database.connect(application_name="steward_app") as connection:
        connection.execute(QUERY, ["a", "b"], prepare=True)
        connection.execute("SELECT pg_stat_force_next_flush()")
        yield Target(database.dsn, repository(FILES), redact_names=True)
    database.execute("DROP OWNED BY stewardess; DROP ROLE stewardess")


def _outcomes(results: tuple[CheckResult, ...]) -> dict[str, tuple[Outcome, int]]:
    return {result.check: (result.outcome, len(result.findings)) for result in results}


def test_no_name_is_left_and_nothing_else_changes(target: Target, database: Database) -> None:
    plain = observe(msgspec.structs.replace(target, redact_names=False)).evidence
    evidence = redact(plain, b"key")
    text = store.encode(evidence).decode()
    names = [*NAMES, database.name, str(target.repository.name if target.repository else "")]
    assert [name for name in names if re.search(rf"(?i)(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text)] == []
    before = store.encode(plain).decode()
    assert {name for name in NAMES if name in before.lower()} >= {
        "zeppelin",
        "mooring",
        "hangar",
        "gazette",
        "stewardess",
    }
    catalog, statements = evidence.find(Catalog), evidence.find(Statements)
    assert catalog is not None
    assert statements is not None
    table = next(table for table in catalog.tables if table.options is not None and catalog.policies_of(table.oid))
    types = {column.base_type for column in catalog.columns_of(table.oid).values()}
    assert {"int8", "text", "jsonb"} <= types
    assert catalog.column_named(table.oid, "name") is not None
    assert {key.operator_class for index in catalog.indexes_of(table.oid) for key in index.keys} >= {"gin_trgm_ops"}
    repository = evidence.find(Repository)
    assert repository is not None
    assert repository.statements
    [match] = {match.query_id for match in repository.matches}
    pattern = next(entry for entry in workload(evidence) if entry.query_id == match)
    assert pattern.tables == (table.oid,)
    assert {comparison.function for comparison in pattern.comparisons} >= {"lower"}
    assert all(comparison.column.table == table.oid for comparison in pattern.comparisons)
    plans = evidence.find(Plans)
    assert plans is not None
    assert any(node.relation == table.name for plan in plans.plans for node in plan.root.walk())
    results = run_checks(evidence)
    assert "error" not in {result.outcome for result in results}
    scorecard = Review.derived(evidence, results, {}).scorecard()
    for name in ("markdown", "json"):
        rendered = render(scorecard, name)
        assert [name for name in names if re.search(rf"(?i)(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", rendered)] == []


def test_the_same_key_and_project_give_the_same_hashes(target: Target) -> None:
    plain = observe(msgspec.structs.replace(target, redact_names=False)).evidence
    first, again, other = redact(plain, b"key"), redact(plain, b"key"), redact(plain, b"another")
    assert store.encode(first) == store.encode(again)
    assert store.encode(first) != store.encode(other)
    assert redact(first, b"key") == first
    server = plain.find(Server)
    assert server is not None
    elsewhere = msgspec.structs.replace(plain, server=msgspec.structs.replace(server, database="elsewhere"))
    known, moved = first.find(Catalog), redact(elsewhere, b"key").find(Catalog)
    assert known is not None
    assert moved is not None
    assert {table.name for table in known.tables}.isdisjoint(
        {table.name for table in moved.tables if not table.name.startswith("pg_")} - {"pg_stat_statements"}
    )


def test_the_key_is_made_once_and_readable_by_its_owner_only(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSURVEYOR_NAMES_KEY", raising=False)
    folder = tmp_path / "user"
    first = observe(target, user_folder=folder).evidence
    assert stat.S_IMODE((folder / "names.key").stat().st_mode) == 0o600
    key = names_key(folder)
    assert len(key) == 64
    assert redact(first, key) == first
    assert names_key(folder) == key
    monkeypatch.setenv("PGSURVEYOR_NAMES_KEY", "ours")
    assert names_key(folder) == b"ours"
    monkeypatch.delenv("PGSURVEYOR_NAMES_KEY")
    with pytest.raises(StoreError):
        names_key(None)
    store.save(first, tmp_path / "evidence.json.gz")
    assert b"zeppelin" not in gzip.decompress((tmp_path / "evidence.json.gz").read_bytes())


def _structs(kind: object, found: set[type]) -> set[type]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
        found.add(kind)
        for hint in typing.get_type_hints(kind).values():
            _structs(hint, found)
    for part in typing.get_args(kind):
        _structs(part, found)
    return found


def _holds_text(kind: object) -> bool:
    return kind is str or any(_holds_text(part) for part in typing.get_args(kind))


def test_each_field_that_holds_text_has_a_rule() -> None:
    """A new fact with text in it needs a line in checks/evidence/redaction.py: name, SQL, or not the target's own."""
    missing = [
        f"{kind.__name__}.{field}"
        for kind in _structs(Evidence, set())
        for field, hint in typing.get_type_hints(kind).items()
        if _holds_text(hint) and field not in RULES.get(kind, {}) and "*" not in RULES.get(kind, {})
    ]
    assert sorted(missing) == []
