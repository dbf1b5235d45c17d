from __future__ import annotations

from checks.evidence.database.facts import Catalog, Column, Statement, Statements, Table
from checks.evidence.repository.facts import CodeStatement, Repository
from checks.evidence.repository.matching import match_statements
from checks.model import Location

CATALOG = Catalog(
    tables=(Table(1, "public", "users", "table", "owner"),),
    columns=tuple(Column(1, n, name, "text", "text") for n, name in enumerate(("id", "email", "name"), 1)),
)


def matched(code: list[str], ran: list[str], identified: dict[str, str] | None = None) -> list[tuple[int, str, str]]:
    """(line of the code, query id, how) of each match: codes are at lines 1, 2, ...; statements have ids 1, 2, ..."""
    repository = Repository(
        "app", statements=tuple(CodeStatement(Location("a.py", n), "python", text) for n, text in enumerate(code, 1))
    )
    entries = tuple(Statement(str(n), text, 1, 1.0, 1.0, 1) for n, text in enumerate(ran, 1))
    found = match_statements(repository, Statements("1.12", None, 0, 0, entries), CATALOG, identified or {})
    return [(match.location.line, match.query_id, match.how) for match in found.matches]


def test_the_servers_identifier_counts_first() -> None:
    code = "SELECT id FROM users WHERE email = $1"
    assert matched([code], ["select id from users where email = $1", "select 1"], {code: "2"}) == [(1, "2", "query_id")]
    assert matched([code], ["select id from users where email = $1"], {code: "99"}) == [(1, "1", "text")]


def test_equal_texts_match_wherever_they_stand() -> None:
    code = ["SELECT id FROM users\n WHERE email = $1", "select id from users where email=$1", "select name from users"]
    assert matched(code, ["SELECT id FROM users WHERE email = $1"]) == [(1, "1", "text"), (2, "1", "text")]


def test_one_pattern_on_each_side_matches() -> None:
    code = ["SELECT u.id, u.name FROM users u WHERE u.email = $1"]
    assert matched(code, ["SELECT users.id AS a, users.name AS b FROM users WHERE users.email = $1"]) == [
        (1, "1", "pattern")
    ]


def test_patterns_that_several_share_do_not_match() -> None:
    code = ["SELECT u.id FROM users u WHERE u.email = $1", "SELECT x.id FROM users x WHERE x.email = $1"]
    assert matched(code, ["SELECT users.id FROM users WHERE users.email = $1"]) == []
    assert (
        matched(
            code[:1], ["SELECT a.id FROM users a WHERE a.email = $1", "SELECT b.id FROM users b WHERE b.email = $1"]
        )
        == []
    )


def test_different_access_never_matches() -> None:
    code = ["SELECT id FROM users u WHERE u.email = $1"]
    for other in (
        "SELECT id, name FROM users WHERE users.email = $1",
        "SELECT id FROM users WHERE users.name = $1",
        "SELECT id FROM users WHERE users.email > $1",
        "SELECT id FROM users WHERE users.email = $1 LIMIT $2",
        "SELECT id FROM users WHERE users.email = $1 ORDER BY name",
        "DELETE FROM users WHERE users.email = $1",
        "SELECT id FROM users",
    ):
        assert matched(code, [other]) == [], other


def test_nothing_observed_matches_nothing() -> None:
    repository = Repository("app", statements=(CodeStatement(Location("a.py", 1), "python", "SELECT 1"),))
    assert match_statements(repository, None, None, {}).matches == ()
