"""Changelogs of Liquibase in XML, YAML and JSON."""

from __future__ import annotations

import json

import pytest

from checks.evidence.repository.declarations import DeclarationReader
from checks.evidence.repository.facts import DeclaredTable
from checks.evidence.repository.files import SourceFile
from checks.evidence.repository.orm.django import Project
from checks.evidence.repository.scripts import Migrations
from checks.model import Location

MASTER = """\
<?xml version="1.0" encoding="UTF-8"?>
<databaseChangeLog xmlns="http://www.liquibase.org/xml/ns/dbchangelog">
  <property name="text.type" value="longtext" dbms="mysql"/>
  <property name="text.type" value="text" dbms="postgresql,h2"/>
  <include file="changes/one.xml" relativeToChangelogFile="true"/>
  <includeAll path="db/changes/more"/>
  <include file="changes/last.yaml" relativeToChangelogFile="true"/>
</databaseChangeLog>
"""
ONE = """\
<databaseChangeLog>
  <changeSet id="1" author="a">
    <preConditions onFail="MARK_RAN"><not><tableExists tableName="person"/></not></preConditions>
    <createTable tableName="PERSON">
      <column name="id" type="int" autoIncrement="true">
        <constraints primaryKey="true" nullable="false"/>
      </column>
      <column name="firstName" type="varchar(50)"/>
      <column name="state" type="${text.type}" defaultValue="x"><constraints nullable="false" unique="true"/></column>
      <column name="weight" type="decimal(8, 2)"/>
      <column name="made" type="java.sql.Types.TIMESTAMP"/>
      <column name="other" type="${unknown}"/>
    </createTable>
    <rollback><dropTable tableName="person"/></rollback>
  </changeSet>
  <changeSet id="2" author="a" dbms="mysql"><dropTable tableName="person"/></changeSet>
  <changeSet id="3" author="a" context="test">
    <addColumn tableName="person"><column name="hidden" type="int"/></addColumn>
  </changeSet>
</databaseChangeLog>
"""
MORE = """\
--liquibase formatted sql
--changeset a:4
CREATE TABLE pets (id bigint PRIMARY KEY, person_id int);
"""
LAST = """\
databaseChangeLog:
  - changeSet:
      id: 5
      author: a
      changes:
        - addForeignKeyConstraint:
            baseTableName: pets
            baseColumnNames: person_id
            constraintName: fk_pets_person
            referencedTableName: person
            referencedColumnNames: id
            onDelete: CASCADE
        - createIndex:
            indexName: idx_pets_person
            tableName: pets
            unique: true
            columns:
              - column:
                  name: person_id
        - addColumn:
            tableName: pets
            columns:
              - column: 
                  name: name   # shown
                  type: varchar(20)
                  constraints:
                    nullable: false
        - modifyDataType: {tableName: pets, columnName: id}
"""
LAST = (
    LAST[: LAST.index("        - modifyDataType")]
    + """\
        - sql:
            sql: |
              CREATE VIEW named AS
                SELECT name FROM pets;
        - dropColumn:
            tableName: person
            columnName: weight
"""
)
FILES = {
    "src/db/master.xml": MASTER,
    "src/db/changes/one.xml": ONE,
    "src/db/changes/more/a.sql": MORE,
    "src/db/changes/last.yaml": LAST,
}


def read(files: dict[str, str]) -> Migrations:
    reader = DeclarationReader()
    for path, text in files.items():
        reader.read(SourceFile(path, text, path.rpartition(".")[2]))
    return reader.finish(Project(), list(files))


def tables(found: Migrations) -> dict[str, DeclaredTable]:
    return {table.name: table for lineage in found.lineages for table in lineage.tables}


def test_a_changelog_with_what_it_includes() -> None:
    found = read(FILES)
    (lineage,) = found.lineages
    assert (lineage.tool, lineage.folder, lineage.files, lineage.complete) == (
        "liquibase",
        "src/db/master.xml",
        4,
        True,
    )
    assert [file.path for file in found.files] == [
        "src/db/changes/one.xml",
        "src/db/changes/more/a.sql",
        "src/db/changes/last.yaml",
    ]
    person, pets = tables(found)["person"], tables(found)["pets"]
    assert [(column.name, column.type, column.not_null, column.has_default) for column in person.columns] == [
        ("id", "integer", True, True),
        ("firstName", "character varying(50)", False, False),
        ("state", "text", True, True),
        ("made", "timestamp without time zone", False, False),
        ("other", None, False, False),
    ]
    assert [(entry.kind, entry.columns) for entry in person.constraints] == [
        ("primary_key", ("id",)),
        ("unique", ("state",)),
    ]
    assert person.columns[1].location == Location("src/db/changes/one.xml", 8)
    assert [(column.name, column.not_null) for column in pets.columns] == [
        ("id", True),
        ("person_id", False),
        ("name", True),
    ]
    assert [(entry.name, entry.on_delete) for entry in pets.constraints] == [
        ("pets_pkey", ""),
        ("fk_pets_person", "cascade"),
    ]
    assert [(index.name, index.unique, index.location.line) for index in pets.indexes] == [
        ("idx_pets_person", True, 13)
    ]
    assert [entry.subject.path for entry in lineage.objects] == [("public", "named")]
    assert "hidden" in lineage.uncertain


def test_json_says_the_same() -> None:
    columns = [{"column": {"name": "id", "type": "bigint", "constraints": {"primaryKey": True}}}]
    changes = [
        {"createTable": {"tableName": "a", "columns": columns}},
        {"renameColumn": {"tableName": "a", "oldColumnName": "id", "newColumnName": "key"}},
    ]
    text = json.dumps({"databaseChangeLog": [{"changeSet": {"id": "1", "author": "a", "changes": changes}}]})
    (table,) = tables(read({"db/log.json": text})).values()
    assert [(column.name, column.type, column.not_null) for column in table.columns] == [("key", "bigint", True)]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("a.xml", '<!DOCTYPE x [<!ENTITY a "aaaa">]><databaseChangeLog>&a;</databaseChangeLog>'),
        ("a.xml", "<databaseChangeLog>" + "<changeSet>" * 100_000),
        ("a.xml", '<databaseChangeLog><include file="a.xml"/><include file="a.xml"/></databaseChangeLog>'),
        ("a.xml", "<databaseChangeLog><changeSet><createTable/><createIndex/><sql/></changeSet></databaseChangeLog>"),
        ("a.yaml", "databaseChangeLog:\n" + "".join(f"{' ' * n}a:\n" for n in range(1, 3_000))),
        ("a.yaml", "databaseChangeLog:\n- &a [*a, *a]\n"),
        ("a.yaml", "databaseChangeLog:\n- changeSet:\n    changes:\n      - createTable:\n          tableName: '\n"),
        ("a.json", '{"databaseChangeLog":' + "[" * 100_000),
    ],
    ids=range(8),
)
def test_hostile_changelogs_never_crash(path: str, text: str) -> None:
    read({path: text})
