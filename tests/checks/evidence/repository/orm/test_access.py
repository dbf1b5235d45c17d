"""Statements that an ORM sent, as pg_stat_statements shows them, and the one call that sent each."""

from __future__ import annotations

import datetime as dt

import pytest

from checks.evidence.database.facts import Catalog, Column, Statement, Statements, Table
from checks.evidence.evidence import Evidence
from checks.evidence.patterns import workload
from checks.evidence.repository.facts import CodeStatement, Match, OrmCall, Repository
from checks.evidence.repository.matching import match_statements
from checks.model import Location

CATALOG = Catalog(
    tables=(Table(1, "public", "users", "table", "owner"), Table(2, "public", "posts", "table", "owner")),
    columns=tuple(
        Column(table, number, name, "text", "text")
        for table, names in ((1, ("id", "email", "name")), (2, ("id", "user_id", "title")))
        for number, name in enumerate(names, 1)
    ),
)
USERS = 'SELECT "users"."id", "users"."email", "users"."name" FROM "users"'
BY_EMAIL = f'{USERS} WHERE "users"."email" = $1'


def call(line: int, text: str, partial: tuple[str, ...] = (), function: str | None = None, orm: str = "x") -> OrmCall:
    return OrmCall(Location("a.py", line), orm, text, partial, None, function)


def matched(calls: list[OrmCall], *ran: str, code: tuple[CodeStatement, ...] = ()) -> list[tuple[int, str, str]]:
    found = match_statements(Repository("app", statements=code, calls=tuple(calls)), _ran(*ran), CATALOG, {})
    return [(match.location.line, match.query_id, match.how) for match in found.matches]


def _ran(*texts: str) -> Statements:
    entries = tuple(Statement(str(n), text, 1, 1.0, 1.0, 1) for n, text in enumerate(texts, 1))
    return Statements("1.12", None, 0, 0, entries)


@pytest.mark.parametrize(
    ("text", "ran"),
    [
        (BY_EMAIL, "SELECT users.id AS users_id, users.email AS users_email, users.name AS users_name \nFROM users "
                   "\nWHERE users.email = $1::VARCHAR"),
        (BY_EMAIL, 'select "id", "email", "name" from "users" where "users"."email" = $1'),
        (f"{BY_EMAIL} LIMIT $2", 'SELECT "public"."users"."id", "public"."users"."email", "public"."users"."name" FROM '
                                 '"public"."users" WHERE ("public"."users"."email" = $1 AND $4=$5) LIMIT $2 OFFSET $3'),
        (f'{USERS} WHERE "users"."id" IN ($1)', "SELECT users.id, users.email, users.name FROM users WHERE users.id IN ($1, $2)"),
        ('SELECT count(*) FROM "users" WHERE "users"."name" = $1',
         'SELECT COUNT(*) AS "_count$_all" FROM (SELECT "public"."users"."id" FROM "public"."users" WHERE '
         '"public"."users"."name" = $1 OFFSET $2) AS "sub"'),
        ('SELECT "posts"."id" FROM "posts" JOIN "users" AS "users" ON "users"."id" = "posts"."user_id"',
         "SELECT posts.id FROM posts JOIN users ON users.id = posts.user_id"),
        ('UPDATE "users" SET "name" = $1 WHERE "users"."id" = $2', "UPDATE users SET name=$1::VARCHAR WHERE users.id = $2::UUID"),
        ('DELETE FROM "users" WHERE "users"."id" = $1', 'delete from "users" where "users"."id" = $1'),
        ('SELECT "users".* FROM "users" WHERE "users"."email" = $1 LIMIT '
         '$2', 'select * from "users" where "email" = $1 limit $2'),
        ('SELECT "p"."id", "u"."email" FROM "posts" AS "p" JOIN "users" AS "u" ON "u"."id" = "p"."user_id" WHERE '
         '"p"."title" IS NULL',
         'select "p"."id", "u"."email" from "posts" as "p" inner join "users" as "u" on "u"."id" = "p"."user_id" where '
         '"p"."title" is null'),
        (f"{BY_EMAIL} LIMIT $2", 'SELECT "User"."id" AS "User_id", "User"."email" AS "User_email", "User"."name" AS "User_name" '
                                 'FROM "users" "User" WHERE (("User"."email" = $1)) LIMIT $2'),
        (BY_EMAIL, 'SELECT "id", "email", "name" AS "fullName" FROM "users" AS "User" WHERE "User"."email" = $1'),
    ],
)  # fmt: skip
def test_what_an_orm_sent_matches_its_call(text: str, ran: str) -> None:
    assert matched([call(7, text)], ran) == [(7, "1", "pattern")]


def test_an_insert_matches_with_the_defaults_that_the_orm_adds() -> None:
    sent = "INSERT INTO users (id, email, name) VALUES ($1, $2, $3) RETURNING users.id"
    assert matched([call(3, 'INSERT INTO "users" ("email") VALUES ($1)', ("columns",))], sent) == [(3, "1", "pattern")]
    assert matched([call(3, 'INSERT INTO "users" ("email") VALUES ($1)')], "INSERT INTO users (id) VALUES ($1)") == []


@pytest.mark.parametrize(
    "other",
    [
        "SELECT users.id FROM users WHERE users.email = $1",
        "SELECT users.id, users.email, users.name FROM users WHERE users.email > $1",
        "SELECT users.id, users.email, users.name FROM users WHERE users.email = $1 AND users.name = $2",
        "SELECT users.id, users.email, users.name FROM users WHERE users.email = $1 LIMIT $2",
        "SELECT users.id, users.email, users.name FROM users WHERE users.email = $1 OFFSET $2",
        "SELECT users.id, users.email, users.name FROM users WHERE users.email = $1 ORDER BY users.id",
        "SELECT users.id, users.email, users.name FROM users JOIN posts ON true WHERE users.email = $1",
        "SELECT posts.id, posts.title, posts.user_id FROM posts WHERE posts.title = $1",
        "DELETE FROM users WHERE users.email = $1",
    ],
)
def test_another_access_never_matches(other: str) -> None:
    assert matched([call(1, BY_EMAIL)], other) == []


def test_several_calls_match_only_within_one_function() -> None:
    sent = "SELECT users.id, users.email, users.name FROM users WHERE users.email = $1"
    assert matched([call(1, BY_EMAIL, (), "f"), call(9, BY_EMAIL, (), "g")], sent) == []
    assert matched([call(1, BY_EMAIL, (), "f"), call(9, BY_EMAIL, (), "f")], sent) == [
        (1, "1", "pattern"),
        (9, "1", "pattern"),
    ]
    assert matched([call(1, BY_EMAIL), call(9, BY_EMAIL)], sent) == []


def test_a_call_that_may_be_meant_too_prevents_a_match() -> None:
    sent = "SELECT users.id, users.email, users.name FROM users WHERE users.email = $1"
    assert matched([call(1, BY_EMAIL), call(2, USERS, ("where",))], sent) == []
    for other in (
        call(2, USERS, ("columns", "joins")),
        call(2, f"{BY_EMAIL} LIMIT $2", ("joins",)),
        call(2, f'{USERS} ORDER BY "users"."id"', ("where",)),
        call(2, 'SELECT count(*) FROM "users"', ("where",)),
    ):
        assert matched([call(1, BY_EMAIL), other], sent) == [(1, "1", "pattern")], other
    assert matched([call(1, BY_EMAIL), call(2, BY_EMAIL, ("joins",))], sent) == []
    assert matched([call(1, BY_EMAIL), call(2, f'{USERS} WHERE "users"."id" = $1', ("where",))], sent) == [
        (1, "1", "pattern")
    ]
    assert matched([call(2, USERS, ("where",))], sent) == []
    assert matched([call(1, BY_EMAIL, ("expressions",))], sent) == []


def test_sql_of_the_same_access_prevents_a_match() -> None:
    code = (
        CodeStatement(Location("b.py", 1), "python", "SELECT u.id, u.email, u.name FROM users u WHERE u.email = $1"),
    )
    sent = "SELECT users.id, users.email, users.name FROM users WHERE users.email = $1"
    assert matched([call(1, BY_EMAIL)], sent, code=code) == []


def evidence(repository: Repository, *ran: str) -> Evidence:
    return Evidence(
        tool_version="0", observed_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), catalog=CATALOG, statements=_ran(*ran),
        repository=repository,
    )  # fmt: skip


def test_calls_that_never_ran_are_part_of_the_workload() -> None:
    calls = (call(1, BY_EMAIL), call(2, USERS, ("where",)), call(3, f"{USERS} LIMIT $1"))
    found = workload(
        evidence(Repository("app", calls=(*calls, OrmCall(Location("b.py", 4), "x", calls[2].text, (), 5))))
    )
    assert [(pattern.locations[0].line, pattern.partial, pattern.limit) for pattern in found] == [
        (1, (), None),
        (2, ("where",), None),
        (3, (), 0),
        (4, (), 5),
    ]
    assert [pattern.all_filters_known for pattern in found] == [True, False, True, True]
    assert found[0].tables == (1,)


def test_what_ran_is_told_once() -> None:
    sent = "SELECT users.id, users.email, users.name FROM users WHERE users.email = $1"
    calls = (call(1, BY_EMAIL, (), "f"), call(2, BY_EMAIL, (), "g"))
    assert [pattern.query_id for pattern in workload(evidence(Repository("app", calls=calls), sent))] == ["1"]


def test_an_offset_that_only_the_orm_writes_is_none() -> None:
    sent = 'SELECT "public"."users"."id" FROM "public"."users" WHERE $1=$2 LIMIT $3 OFFSET $4'
    plain = call(1, 'SELECT "users"."id" FROM "users" LIMIT $1')
    paged = call(1, 'SELECT "users"."id" FROM "users" LIMIT $1 OFFSET $2')
    match = (Match("1", Location("a.py", 1), "pattern"),)
    assert workload(evidence(Repository("app", matches=match, calls=(plain,)), sent))[0].offset is None
    assert workload(evidence(Repository("app", matches=match, calls=(paged,)), sent))[0].offset == 0
    assert workload(evidence(Repository("app"), sent))[0].offset == 0
