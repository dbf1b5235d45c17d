from __future__ import annotations

from checks.evidence.repository.facts import Remark
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.remarks import read_remarks
from checks.model import Location

PYTHON = """\
class Run(Base):
    \"\"\"A run of something. ``owner_id`` is a foreign key.

    ``thread_id`` is a free-form string, so it is intentionally not
    a foreign key. ``cost`` is a number.
    \"\"\"

    owner_id = 1
    # no real FK: users go
    user_id = 1
    text = \"\"\"no foreign key\"\"\"
    \"\"\"one line\"\"\"
"""


def test_comments_and_docstrings() -> None:
    assert read_remarks(SourceFile("app/db.py", PYTHON, "py")) == [
        Remark(Location("app/db.py", 7), ("thread_id",)),
        Remark(Location("app/db.py", 10)),
    ]
    assert read_remarks(SourceFile("a.ts", "x: 1 // without a foreign key\ny: '// fk'\n", "ts")) == [
        Remark(Location("a.ts", 1))
    ]
    told = "-- No `REFERENCES lines (id)`: the cascade of the order removes them.\nline_id int,\n-- REFERENCES lines\nx int\n"
    assert [remark.location.line for remark in read_remarks(SourceFile("b.sql", told, "sql"))] == [2]
    assert read_remarks(SourceFile("a.sql", "-- no foreign keys here\n", "sql")) == [Remark(Location("a.sql", 2))]


def test_long_comments_end() -> None:
    assert read_remarks(SourceFile("a.py", '"""' + "a foreign key\n" * 5_000, "py")) == []
