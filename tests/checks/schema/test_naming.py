from __future__ import annotations

from checks.model import Severity
from tests.checks.survey import conclude, finding, names, survey
from tests.servers import Database

CYRILLIC_A = "\u0430"
HIDDEN = "\u200b"


def test_names_that_mislead(database: Database) -> None:
    long = "a" * 63
    database.execute(
        f"""CREATE TABLE "user" (id int PRIMARY KEY, position int, "order" int);
        CREATE TABLE "Users" (id int);
        CREATE TABLE users (id int, "p{CYRILLIC_A}y" text, pay text, "note{HIDDEN}" text, "end " text);
        CREATE TABLE {long} (id int); CREATE TABLE orders (id int, "createdAt" int, naïve text);
        CREATE TABLE flyway_schema_history (id int); CREATE VIEW "select" AS SELECT 1 AS one;
        CREATE SCHEMA app; CREATE TABLE app."User" (id int); CREATE TABLE app."Group" (id int); CREATE TABLE app."order" (id int);
        CREATE SCHEMA prisma; CREATE TABLE prisma."Order" (id int);"""
    )
    evidence = survey(database)

    reserved = conclude(evidence, "schema.reserved-name")
    assert {found.subject.name: (found.severity, found.observed["names"]) for found in reserved.findings} == {
        "public": (Severity.LOW, ['public."select"', 'public."user"']),
        "app": (Severity.NOTE, ['app."User"', 'app."order"']),
    }
    confusable = conclude(evidence, "schema.confusable-name")
    assert {(found.subject.path[-1], found.discriminator): found.severity for found in confusable.findings} == {
        ("users", "alike"): Severity.LOW,
        (f"p{CYRILLIC_A}y", ""): Severity.MEDIUM,
        ("pay", "alike"): Severity.MEDIUM,
        (f"note{HIDDEN}", ""): Severity.MEDIUM,
        ("end ", ""): Severity.MEDIUM,
    }
    assert all(HIDDEN not in found.title for found in confusable.findings)
    cut = conclude(evidence, "schema.name-at-length-limit")
    assert finding(cut, "public").observed["names"] == [f"public.{long}"]
    quoting = conclude(evidence, "schema.name-needs-quoting")
    assert 'public.orders."createdAt"' in finding(quoting, "public").observed["names"]


def test_habits_of_naming(database: Database) -> None:
    database.execute(
        """CREATE TABLE order_items (value text, id int PRIMARY KEY); COMMENT ON TABLE order_items IS 'A line of an order';
        CREATE TABLE user_roles (id int PRIMARY KEY, data1 text); CREATE TABLE "auditLog" (id int PRIMARY KEY)"""
    )
    evidence = survey(database)

    habits = finding(conclude(evidence, "schema.inconsistent-naming"), "public")
    assert habits.observed["names"] == ['public."auditLog"', "public.user_roles.data1"]
    assert finding(conclude(evidence, "schema.no-comment"), "public").observed["number"] == 2
    assert finding(conclude(evidence, "schema.key-not-first"), "public").observed["names"] == ["public.order_items"]


def test_keys_that_change_or_are_wide(database: Database) -> None:
    database.execute(
        """CREATE TABLE people (email text PRIMARY KEY);
        CREATE TABLE letters (id int PRIMARY KEY, to_email text REFERENCES people);
        CREATE TABLE singleton (id boolean PRIMARY KEY CHECK (id));
        CREATE TABLE lonely (slug text PRIMARY KEY); CREATE TABLE codes (id text PRIMARY KEY);
        CREATE TABLE coded (id int PRIMARY KEY, code_id text REFERENCES codes); CREATE TABLE moments (at timestamptz PRIMARY KEY);
        CREATE TABLE wide (a int, b int, c int, d int, PRIMARY KEY (a, b, c, d));
        CREATE TABLE uses_wide (id int PRIMARY KEY, a int, b int, c int, d int, FOREIGN KEY (a, b, c, d) REFERENCES wide);
        CREATE TABLE pairs (a int, b int, c int, d int, PRIMARY KEY (a, b, c, d));"""
    )
    evidence = survey(database)

    natural = conclude(evidence, "schema.natural-primary-key")
    assert {found.subject.name: found.severity for found in natural.findings} == {
        "public.people.people_pkey": Severity.NOTE,
        "public.moments.moments_pkey": Severity.LOW,
    }
    assert names(conclude(evidence, "schema.wide-primary-key")) == {"public.wide.wide_pkey"}
