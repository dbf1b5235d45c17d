from __future__ import annotations

from tests.checks.survey import examine, finding, names
from tests.servers import Database


def test_what_twenty_tables_have_in_common_is_one_finding(database: Database) -> None:
    database.execute(
        "DO $$ BEGIN FOR n IN 1..20 LOOP "
        "EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, phone1 text, phone2 text, phone3 text)', n); END LOOP; END $$; "
        "CREATE SCHEMA apart; CREATE TABLE apart.one (id int PRIMARY KEY, phone1 text, phone2 text, phone3 text)"
    )

    result = examine(database, "schema.numbered-columns")

    assert names(result) == {"public", "apart.one"}
    found = finding(result, "public")
    assert found.title == "20 tables of schema public have numbered columns"
    assert found.observed["number"] == 20
    assert found.observed["names"][0] == "public.t1"
    assert len(found.related) == 5
    assert (result.examined, result.unmet) == (21, 21)
