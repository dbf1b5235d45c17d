from __future__ import annotations

import pytest

from checks.evidence.repository.facts import ModelIndex, ModelRelation
from tests.checks.evidence.repository.orm.calls import only, read, tail

ENTITIES = """
    import { Entity, Column, PrimaryGeneratedColumn, ManyToOne, OneToMany, JoinColumn, Index, UpdateDateColumn } from 'typeorm'

    export abstract class Base {
        @PrimaryGeneratedColumn('uuid') id: string
        @UpdateDateColumn() updatedAt: Date
    }
    @Entity('users')
    export class User extends Base implements IUser {
        @Index({ unique: true })
        @Column({ type: 'varchar', length: 64, name: 'mail' })
        email: string
        @Column({ nullable: true, type: 'text' }) name?: string | null
        @Column({ type: 'enum', enum: ['a', 'b'] }) kind: Kind
        @OneToMany(() => BlogPost, (post) => post.author) posts: BlogPost[]
    }
    @Entity({ schema: 'app' })
    export class BlogPost extends Base {
        @Column() title: string
        @Column('text', { array: true }) tags: string[]
        @ManyToOne(() => User, (user) => user.posts) author: User
        @ManyToOne('User', null, { onDelete: 'SET NULL' }) @JoinColumn({ name: 'editor_id' }) editor: User
        @DeleteDateColumn() removedAt: Date
    }
    @Entity() export class Place { @PrimaryColumn() id: number; @Column(() => Address) address: Address }
"""


def test_entities_are_read() -> None:
    models, _ = read({"entities.ts": ENTITIES})
    found = {model.name: model for model in models}
    assert [(model.schema, model.table, model.complete) for model in models] == [
        (None, "users", True),
        ("app", "blog_post", True),
        (None, "place", False),
    ]
    columns = {column.attribute: column for column in found["User"].columns}
    assert list(columns) == ["id", "updatedAt", "email", "name", "kind"]
    assert (columns["email"].name, columns["email"].type, columns["email"].length) == ("mail", "varchar", 64)
    assert (columns["id"].primary_key, columns["updatedAt"].on_update, columns["name"].nullable) == (True, True, True)
    assert columns["kind"].values == ("a", "b")
    assert found["User"].indexes == (ModelIndex(("mail",), None, unique=True),)
    assert [column.name for column in found["BlogPost"].columns] == [
        "id", "updatedAt", "title", "tags", "removedAt", "authorId", "editor_id",
    ]  # fmt: skip
    assert found["BlogPost"].relations == (
        ModelRelation("author", "User", ("authorId",), ("id",)),
        ModelRelation("editor", "User", ("editor_id",), ("id",), on_delete="set null"),
    )
    assert found["User"].relations == (ModelRelation("posts", "BlogPost", many=True),)


def test_names_in_snake_case_where_the_strategy_says_so() -> None:
    files = {"entities.ts": ENTITIES, "ds.ts": "new DataSource({ namingStrategy: new SnakeNamingStrategy() })"}
    models, _ = read(files)
    assert [column.name for column in models[1].columns] == [
        "id", "updated_at", "title", "tags", "removed_at", "author_id", "editor_id",
    ]  # fmt: skip


def calls_of(code: str) -> list[str]:
    header = "import { User, BlogPost } from './entities'\nimport { In, Not, IsNull, MoreThan, ILike, Brackets } from 'typeorm'\n"
    header += "class Service {\n constructor(private readonly users: Repository<User>, private posts: Posts) {}\n"
    repository = "export class Posts extends Repository<BlogPost> {\n all() { return this.find() }\n}\n"
    files = {
        "entities.ts": ENTITIES,
        "posts.ts": repository,
        "service.ts": f"{header} async work(x, y) {{\n{code}\n }}\n}}\n",
    }
    _, calls = read(files)
    assert calls[0].location.path == "posts.ts"
    return [f"{tail(call)} {','.join(call.partial)}".strip() for call in calls[1:]]


USERS, POSTS, ALIVE = 'FROM "users"', 'FROM "app"."blog_post"', '"blog_post"."removedAt" IS NULL'


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await this.users.findOneBy({ email: x })", f'{USERS} WHERE "users"."mail" = $1 LIMIT $2'),
        ("await dataSource.getRepository(User).find({ where: { id: In(x), name: Not(IsNull()) }, order: { email: "
         "'DESC' }, take: 5, "
         "skip: y })",
         f'{USERS} WHERE "users"."id" IN ($1) AND "users"."name" IS NOT NULL ORDER BY "users"."mail" DESC LIMIT $2 OFFSET $3'),
        ("await manager.find(User, { where: [{ email: x }, { name: ILike(y), kind: 'a' }] })",
         f'{USERS} WHERE (("users"."mail" = $1) OR ("users"."name" ILIKE $2 AND "users"."kind" = $3))'),
        ("await this.posts.findBy({ title: x })", f'{POSTS} WHERE "blog_post"."title" = $1 AND {ALIVE}'),
        ("await this.posts.find({ where: { author: { id: x } }, withDeleted: true })",
         f'{POSTS} WHERE "blog_post"."authorId" = $1'),
        ("const repo = ds.getRepository(BlogPost);\nawait repo.find({ relations: ['author'] })",
         f'{POSTS} LEFT JOIN "users" AS "blog_post__author" ON "blog_post__author"."id" = "blog_post"."authorId" WHERE '
         f'{ALIVE} columns'),
        ("await this.users.countBy({ kind: x })", f'{USERS} WHERE "users"."kind" = $1'),
        ("await this.users.update({ id: x }, { email: y })",
         'UPDATE "users" SET "mail" = $1, "updatedAt" = $2 WHERE "users"."id" = $3'),
        ("await this.users.delete(x.id)", 'DELETE FROM "users" WHERE "users"."id" = $1'),
        ("await this.users.insert({ email: x, name: y })", 'INSERT INTO "users" ("mail", "name") VALUES ($1, $2)'),
        ("const made = this.users.create({ email: x });\nawait "
         "this.users.save(made)", 'INSERT INTO "users" ("mail") VALUES ($1)'),
        ("let user = await this.users.findOneBy({ id: x });\nuser.name = y;\nawait this.users.save(user)",
         'UPDATE "users" SET "updatedAt" = $1 WHERE "users"."id" = $2 columns'),
        ("await this.posts.softDelete({ id: x })",
         'UPDATE "app"."blog_post" SET "removedAt" = $1, "updatedAt" = $2 WHERE "blog_post"."id" = $3'),
        ("await this.posts.createQueryBuilder('p').innerJoinAndSelect('p.author', 'a').where('a.email = :e', { e: x })"
         ".andWhere('p.title IN (:...t)', { t: y }).orderBy('p.title', 'DESC').take(5).getMany()",
         'FROM "app"."blog_post" AS "p" JOIN "users" AS "a" ON "a"."id" = "p"."authorId" WHERE "a"."mail" = $1 AND '
         '"p"."title" IN ($2) '
         'AND "p"."removedAt" IS NULL ORDER BY "p"."title" DESC LIMIT $3 columns'),
        ("await this.users.createQueryBuilder('u').leftJoin('u.posts', 'p').where(new Brackets((qb) => { "
         "qb.where('u.name = :x', { x })"
         ".orWhere('p.title = :y', { y }) })).getCount()",
         'FROM "users" AS "u" LEFT JOIN "app"."blog_post" AS "p" ON true WHERE ("u"."name" = $1 OR "p"."title" = $2) joins'),
        ("await ds.createQueryBuilder().update(User).set({ name: x }).where('id = :id', { id: y }).execute()",
         'UPDATE "users" SET "name" = $1, "updatedAt" = $2 WHERE id = $3'),
    ],
)  # fmt: skip
def test_calls_become_sql(code: str, expected: str) -> None:
    assert calls_of(code)[-1] == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await this.users.find({ where: x })", f"{USERS} where"),
        ("await this.users.find(x)", f"{USERS} columns,expressions,joins,limit,order,where"),
        ("await this.users.find({ where: { name: Raw((a) => `${a} > 1`) } })", f"{USERS} where"),
        ("await this.users.find({ where: { posts: { title: x } } })", f"{USERS} where"),
        ("await this.users.update(x, y)", 'UPDATE "users" SET "updatedAt" = $1 columns,where'),
        ("const q = this.users.createQueryBuilder('u');\nif (x) q.andWhere('u.name = :x', { x });\nreturn q.getMany()",
         'FROM "users" AS "u" where'),
        ("await this.users.createQueryBuilder('u').where(`u.name = ${x}`).getMany()", 'FROM "users" AS "u" where'),
        ("await this.users.createQueryBuilder('u').where('stranger.name = 1').getMany()", 'FROM "users" AS "u" where'),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    "code",
    [
        "await this.users.save(x)",
        "const all = x.find((each) => each.id)",
        "await cache.delete(x)",
        "const q = this.users.createQueryBuilder('u').where('u.name = 1')",
        "// await this.users.find()",
    ],
)
def test_what_is_no_call_is_none(code: str) -> None:
    assert calls_of(code) == []


def test_a_repositorys_own_methods() -> None:
    code = "import { User } from './entities'\nexport class Users extends Repository<User> {\n  named(x) {\n"
    code += "    return this.findOne({ where: { name: x } })\n  }\n}\n"
    call = only(read({"entities.ts": ENTITIES, "users.ts": code})[1])
    assert (call.location.line, call.function, call.orm, call.limit) == (4, "named", "typeorm", 1)


def test_bad_input_is_read_as_far_as_it_goes() -> None:
    for code in ("await this.users.find({ "
         "where: " + "{ posts: " * 3_000, "let a = this.users.merge(a, b);\nawait this.users.save(a)",
                 "await this.users.find({ where: { email: " + "Not(" * 900 + ")" * 900 + "} })",
                 "await this.users.createQueryBuilder('u').where(" + "new Brackets((q) => "
         "q.where(" * 500 + "))" * 500 + ").getMany()",
                 "@Entity() class A extends B {}\nclass B extends A {}"):  # fmt: skip
        files = {
            "entities.ts": ENTITIES,
            "a.ts": f"import {{ User }} from './entities'\nclass S {{ users: Repository<User>;\n{code}",
        }
        read(files)
