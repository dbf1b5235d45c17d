from __future__ import annotations

import pytest

from checks.evidence.repository.facts import ModelRelation
from checks.evidence.repository.orm.sequelize import plural
from tests.checks.evidence.repository.orm.calls import read, tail

DEFINED = """
    import { Sequelize, DataTypes, Op } from 'sequelize';
    export const sequelize = new Sequelize(url, { define: { underscored: true } });
    export const User = sequelize.define('User', {
      email: { type: DataTypes.STRING(64), allowNull: false, unique: true },
      fullName: { type: DataTypes.TEXT, field: 'name' },
      age: DataTypes.INTEGER,
      greeting: { type: DataTypes.VIRTUAL, get() { return 1; } },
    }, { paranoid: true });
    export class Post extends Model {}
    Post.init({ title: DataTypes.STRING }, {
      sequelize, tableName: 'posts', timestamps: false, defaultScope: { where: { a: 1 } },
    });
    export const Tag = sequelize.define('Tag', { label: DataTypes.TEXT }, { timestamps: false });
    Tag.belongsTo(User, { as: 'owner', foreignKey: 'ownerId' });
"""
DECORATED = """
    import { Table, Column, Model, DataType, BelongsTo, ForeignKey, HasMany } from 'sequelize-typescript';
    @Table({ tableName: 'teams', modelName: 'team' })
    class Team extends IdModel {
      @AllowNull(false) @Column(DataType.STRING(32)) name: string;
      @HasMany(() => Member, 'teamId') members: Member[];
    }
    class IdModel extends Model {
      @PrimaryKey @Column(DataType.UUID) id: string;
      @UpdatedAt updatedAt: Date; @CreatedAt createdAt: Date
    }
    @Table
    class Member extends IdModel {
      @BelongsTo(() => Team, 'teamId') team: Team;
      @ForeignKey(() => Team) @Column teamId: string;
      @DeletedAt deletedAt: Date | null;
    }
"""


def test_models_of_define_and_init() -> None:
    models, _ = read({"models.ts": DEFINED})
    found = {model.name: model for model in models}
    assert {model.name: model.table for model in models} == {"User": "users", "Post": "posts", "Tag": "tags"}
    columns = {column.attribute: column for column in found["User"].columns}
    assert {attribute: column.name for attribute, column in columns.items()} == {
        "id": "id", "email": "email", "fullName": "name", "age": "age", "createdAt": "created_at",
        "updatedAt": "updated_at", "deletedAt": "deleted_at",
    }  # fmt: skip
    assert (columns["email"].type, columns["email"].length, columns["email"].nullable, columns["email"].unique) == (
        "string", 64, False, True,
    )  # fmt: skip
    assert (columns["id"].primary_key, columns["updatedAt"].on_update) == (True, True)
    assert found["Tag"].relations == (ModelRelation("owner", "User", ("owner_id",), ("id",)),)
    assert {column.name for column in found["Tag"].columns} == {"label", "id", "owner_id"}


def test_models_of_decorators() -> None:
    models, _ = read({"models.ts": DECORATED})
    found = {model.name: model for model in models}
    assert {model.name: model.table for model in models} == {"Team": "teams", "Member": "Members"}
    assert [column.name for column in found["Team"].columns] == ["id", "updatedAt", "createdAt", "name"]
    assert (found["Team"].columns[3].length, found["Team"].columns[3].nullable) == (32, False)
    assert found["Member"].relations == (ModelRelation("team", "Team", ("teamId",), ("id",)),)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("User", "Users"), ("Category", "Categories"), ("Status", "Statuses"), ("Person", "People"), ("News", "News"),
     ("Key", "Keys"),
     ("UserData", "UserData"), ("Box", "Boxes"), ("Index", "Indices"), ("Users", "Users"), ("Address", "Addresses")],
)  # fmt: skip
def test_plurals(name: str, expected: str) -> None:
    assert plural(name) == expected


def calls_of(code: str) -> list[str]:
    header = "import { User, Post, Tag } from './models';\nimport { Op } from 'sequelize';\n"
    _, calls = read({"models.ts": DEFINED, "a.ts": f"{header}export async function work(x, y) {{\n{code}\n}}\n"})
    return [f"{tail(call)} {','.join(call.partial)}".strip() for call in calls]


USERS, ALIVE = 'FROM "users"', '"users"."deleted_at" IS NULL'


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await User.findOne({ where: { fullName: x } })", f'{USERS} WHERE "users"."name" = $1 AND {ALIVE} LIMIT $2'),
        ("await User.findOne({ where: { email: x } })", f'{USERS} WHERE "users"."email" = $1 AND {ALIVE}'),
        ("await User.findByPk(x, { paranoid: false })", f'{USERS} WHERE "users"."id" = $1'),
        ("await User.findAll({ where: { age: { [Op.gte]: 3, [Op.ne]: null }, id: [1, 2] }, order: [['createdAt', "
         "'DESC']], limit: 5, "
         "offset: y })",
         f'{USERS} WHERE "users"."age" >= $1 AND "users"."age" IS NOT NULL AND "users"."id" IN ($2) AND {ALIVE} '
         'ORDER BY "users"."created_at" DESC LIMIT $3 OFFSET $4'),
        ("await models.User.findAll({ where: { [Op.or]: [{ email: x }, { age: { [Op.between]: [1, 2] } }] }, paranoid: false })",
         f'{USERS} WHERE (("users"."email" = $1) OR ("users"."age" BETWEEN $2 AND $3))'),
        ("const where = { age: null };\nawait User.count({ where })", f'{USERS} WHERE "users"."age" IS NULL AND {ALIVE}'),
        ("await Tag.findAll({ include: [{ model: User, as: 'owner', required: true }] })",
         'FROM "tags" JOIN "users" AS "owner" ON "tags"."owner_id" = "owner"."id" AND "owner"."deleted_at" IS NULL columns'),
        ("await User.create({ email: x })",
         'INSERT INTO "users" ("email", "created_at", "updated_at") VALUES ($1, $2, $3)'),
        ("await User.update({ age: 3 }, { where: { email: x } })",
         f'UPDATE "users" SET "age" = $1, "updated_at" = $2 WHERE "users"."email" = $3 AND {ALIVE}'),
        ("await User.destroy({ where: { email: x } })",
         f'UPDATE "users" SET "deleted_at" = $1 WHERE "users"."email" = $2 AND {ALIVE}'),
        ("await User.destroy({ where: { email: x }, force: true })", 'DELETE FROM "users" WHERE "users"."email" = $1'),
        ("await Tag.destroy({ where: { label: x } })", 'DELETE FROM "tags" WHERE "tags"."label" = $1'),
        ("const tag = await Tag.findByPk(x);\nawait tag.update({ label: y })",
         'UPDATE "tags" SET "label" = $1 WHERE "tags"."id" = $2'),
        ("await Post.unscoped().findAll({ attributes: ['id', 'title'] })", 'FROM "posts"'),
    ],
)  # fmt: skip
def test_calls_become_sql(code: str, expected: str) -> None:
    assert calls_of(code)[-1] == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await Tag.findAll({ where: x })", 'FROM "tags" where'),
        ("await Tag.findAll(x)", 'FROM "tags" columns,expressions,joins,limit,order,where'),
        ("await Tag.findAll({ where: { label: sequelize.literal('a') } })", 'FROM "tags" where'),
        ("await Tag.findAll({ where: { [x]: 1, label: y } })", 'FROM "tags" WHERE "tags"."label" = $1 where'),
        ("await Tag.findAll({ order: [[x, 'ASC']] })", 'FROM "tags" order'),
        ("await Tag.findAll({ include: [Post] })", 'FROM "tags" columns,joins,where'),
        ("await Tag.findAll({ ...x })", 'FROM "tags" columns,expressions,joins,limit,order,where'),
        ("await Post.findAll()", 'FROM "posts" columns,joins,order,where'),
        ("await Post.scope('open').findAll({ attributes: ['id'] })", 'FROM "posts" columns,joins,order,where'),
        ("await Tag.create(x)", 'INSERT INTO "tags" VALUES ($1) columns'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    "code", ["await x.findOne({ where: { a: 1 } })", "Stranger.findAll()", "x.update('a')", "// await Tag.findAll()"]
)
def test_what_is_no_call_is_none(code: str) -> None:
    assert calls_of(code) == []


def test_bad_input_is_read_as_far_as_it_goes() -> None:
    for code in ("await Tag.findAll({ "
         "where: " + "{ [Op.or]: [" * 900 + "]}" * 900 + "})", "await Tag" + ".scope('a')" * 900 + ".findAll()",
                 "await Tag.findAll({ "
         "where: " + "{ [Op.and]: " * 3_000, "const where = { ...where };\nawait Tag.findAll({ where })"):  # fmt: skip
        calls_of(code)
