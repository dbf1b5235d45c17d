"""Calls that send a statement."""

from __future__ import annotations

import pytest

from tests.checks.evidence.repository.orm.calls import only, read, tail
from tests.checks.evidence.repository.orm.sqlalchemy_code import MODELS


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "inner = select(Post.author_id).where(Post.title == t).subquery()\n"
            "session.execute(select(User.id).join(inner, inner.c.author_id == User.id))",
            'WITH "inner" AS (SELECT "posts"."author_id" FROM "posts" WHERE "posts"."title" = $1) SELECT "users"."id" FROM '
            '"app"."users" JOIN "inner" AS "inner" ON "inner"."author_id" = "users"."id"',
        ),
        ("q = select(Post.id)\nsession.execute(q.offset(start).limit(10))", 'SELECT "posts"."id" FROM "posts" limit'),
        ("q = restrict(select(Post.id), user)\nsession.execute(q)", 'SELECT "posts"."id" FROM "posts" all'),
        (
            "post = await session.get(Post, id)\nawait session.delete(post)",
            'DELETE FROM "posts" WHERE "posts"."id" = $1',
        ),
        (
            "rows = await session.scalars(select(Post))\nfor post in rows.all():\n    await session.delete(post)",
            'DELETE FROM "posts" WHERE "posts"."id" = $1',
        ),
        ("await redis.delete(post)", ""),
        (
            "session.add_all([Post(title=title) for title in titles])",
            'INSERT INTO "posts" ("title") VALUES ($1) columns',
        ),
        (
            "found = []\nfor title in titles:\n    found.append(Post(title=title))\nsession.add_all(found)",
            'INSERT INTO "posts" ("title") VALUES ($1) columns',
        ),
        (
            "session.execute(insert_on_conflict({'title': title}, table=Post).returning(Post.id))",
            'INSERT INTO "posts" ("title") VALUES ($1) columns',
        ),
        ("key = Post.author_id\nsession.execute(select(key))", 'SELECT "posts"."author_id" FROM "posts"'),
        (
            "session.scalar(select(func.count()).where(Post.title == t))",
            'SELECT count(*) FROM "posts" WHERE "posts"."title" = $1',
        ),
        (
            "session.execute(select(*columns).where(Post.id == 1))",
            'SELECT FROM "posts" WHERE "posts"."id" = $1 columns,expressions',
        ),
        (
            "session.execute(select(User.id).join_from(Post, User, Post.author_id == User.id))",
            'SELECT "users"."id" FROM "app"."users" JOIN "posts" AS "posts" ON "posts"."author_id" = "users"."id"',
        ),
    ],
)
def test_statements_are_followed_through_variables(code: str, expected: str) -> None:
    body = "\n".join(f"        {line}" for line in code.splitlines())
    _, calls = read(
        {
            "app/models.py": MODELS,
            "app/service.py": f"""
    from sqlalchemy import func, insert, select
    from app.models import Post, User

    async def run(session, user):
{body}
    """,
        }
    )
    everything = "columns,expressions,joins,limit,order,where"
    found = [f"{call.text} {','.join(call.partial)}".rstrip().replace(everything, "all") for call in calls]
    assert (found or [""])[-1] == expected


def calls_of(
    code: str, header: str = "from sqlalchemy import and_, delete, exists, func, insert, or_, select, update"
) -> list[str]:
    body = "\n".join(f"    {line}" for line in code.strip().splitlines())
    imports = f"{header}\nfrom app.models import Post, User, tags\nfrom app import models\n"
    text = f"{imports}\nasync def work(session, value, other):\n{body}\n"
    _, calls = read({"app/models.py": MODELS, "app/work.py": text})
    return [f"{tail(call)} {','.join(call.partial)}".strip() for call in calls]


USERS, POSTS = 'FROM "app"."users"', 'FROM "posts"'


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("await session.scalars(select(User).where(User.email == value))", f'{USERS} WHERE "users"."mail" = $1'),
        ("p = models.Post\nsession.scalars(select(p).where(p.id == value))", f'{POSTS} WHERE "posts"."id" = $1'),
        (
            "await session.scalar(select(models.User).filter_by(email=value, name=None).limit(5))",
            f'{USERS} WHERE "users"."mail" = $1 AND "users"."name" IS NULL LIMIT $2',
        ),
        (
            "session.execute(select(Post.id).order_by(Post.title.desc().nulls_last(), Post.id).offset(value).limit(20))",
            f'{POSTS} ORDER BY "posts"."title" DESC NULLS LAST, "posts"."id" LIMIT $1 OFFSET $2',
        ),
        (
            "session.execute(select(User).where(or_(User.name.is_(None), ~User.email.ilike(value)), User.id.in_([1, 2])))",
            f'{USERS} WHERE ("users"."name" IS NULL OR "users"."mail" NOT ILIKE $1) AND "users"."id" IN ($2, $3)',
        ),
        (
            "session.execute(select(User).where((func.lower(User.email) == value.lower()) & (User.id > other)))",
            f'{USERS} WHERE (lower("users"."mail") = $1 AND "users"."id" > $2)',
        ),
        (
            "session.execute(select(Post, User).join(User, User.id == Post.author_id).where(User.email == value))",
            'FROM "posts" JOIN "app"."users" AS "users" ON "users"."id" = "posts"."author_id" WHERE "users"."mail" = $1',
        ),
        (
            "session.execute(select(Post).join(Post.author))",
            'FROM "posts" JOIN "app"."users" AS "users" ON "posts"."author_id" = "users"."id"',
        ),
        (
            "session.scalars(select(User).order_by(User.embedding.cosine_distance(value)).limit(8))",
            f'{USERS} ORDER BY ("users"."embedding" <=> $1) LIMIT $2',
        ),
        (
            "session.execute(select(User).where(User.extra['plan'].astext == value))",
            f'{USERS} WHERE ("users"."metadata" ->> \'plan\') = $1',
        ),
        (
            "session.execute(select(User).where(func.lower(cast(User.extra['a']['b'], String)) == func.lower(value)))",
            f"{USERS} WHERE lower(CAST(((\"users\".\"metadata\" -> 'a') -> 'b') AS varchar)) = lower($1)",
        ),
        (
            "session.execute(select(User).where(User.extra.op('->>')('plan') == value, User.extra.op('@>')(other)))",
            f'{USERS} WHERE ("users"."metadata" ->> \'plan\') = $1 AND "users"."metadata" @> $2',
        ),
        (
            "session.execute(select(User).where(User.extra.contains({'plan': value})).order_by(User.extra['n'].astext))",
            f'{USERS} WHERE "users"."metadata" @> $1 ORDER BY ("users"."metadata" ->> \'n\')',
        ),
        ("session.query(Post).filter(Post.title.like(value)).first()", f'{POSTS} WHERE "posts"."title" LIKE $1 LIMIT $2'),
        ("session.query(Post.id).filter(Post.author_id == value).count()", f'{POSTS} WHERE "posts"."author_id" = $1'),
        ("await session.get(Post, value)", f'{POSTS} WHERE "posts"."id" = $1'),
        ("session.execute(select(tags).where(tags.c.post_id == value))", 'FROM "tags" WHERE "tags"."post_id" = $1'),
        (
            "session.execute(delete(Post).where(Post.id == value))",
            'DELETE FROM "posts" WHERE "posts"."id" = $1',
        ),
        (
            "session.execute(update(User).where(User.id == value).values(name=other))",
            'UPDATE "app"."users" SET "name" = $1, "updated_at" = $2 WHERE "users"."id" = $3',
        ),
        (
            "held = select(Post.id).where(Post.author_id == User.id).exists()\nsession.execute(select(User).where(~held))",
            f'{USERS} WHERE NOT (EXISTS (SELECT 1 FROM "posts" WHERE "posts"."author_id" = "users"."id"))',
        ),
        (
            "session.execute(select(User).where(exists().where(Post.author_id == User.id)))",
            f'{USERS} WHERE EXISTS (SELECT 1 FROM "posts" WHERE "posts"."author_id" = "users"."id")',
        ),
        ("session.scalar(select(~exists(select(Post.id).where(Post.id == value))))", f'{POSTS} WHERE "posts"."id" = $1'),
        (
            "batch = select(Post.id).where(Post.title.is_(value)).limit(10)\n"
            "session.execute(delete(Post).where(Post.id.in_(batch)))",
            'DELETE FROM "posts" WHERE "posts"."id" IN '
            '(SELECT "posts"."id" FROM "posts" WHERE "posts"."title" IS NOT DISTINCT FROM $1 LIMIT $2)',
        ),
        (
            "newest = select(Post.id).where(Post.title == value).scalar_subquery()\n"
            "session.execute(delete(Post).where(Post.id <= newest))",
            'DELETE FROM "posts" WHERE "posts"."id" <= (SELECT "posts"."id" FROM "posts" WHERE "posts"."title" = $1)',
        ),
        (
            "session.execute(select(Post.id, User).join_from(Post, User))",
            'FROM "posts" JOIN "app"."users" AS "users" ON "posts"."author_id" = "users"."id"',
        ),
        (
            "session.execute(select(tags.c.id).join(Post).join(User))",
            'FROM "tags" JOIN "posts" AS "posts" ON "tags"."post_id" = "posts"."id" '
            'JOIN "app"."users" AS "users" ON "posts"."author_id" = "users"."id"',
        ),
        (
            "session.execute(insert(Post), [{'title': title} for title in value])",
            'INSERT INTO "posts" ("title") VALUES ($1)',
        ),
        ("session.execute(insert(Post).values(title=value))", 'INSERT INTO "posts" ("title") VALUES ($1)'),
        ("session.execute(insert(Post), rows)", 'INSERT INTO "posts" VALUES ($1) columns'),
        ("session.add(Post(title=value))", 'INSERT INTO "posts" ("title") VALUES ($1) columns'),
        ("post = Post(title=value)\nsession.add(post)", 'INSERT INTO "posts" ("title") VALUES ($1) columns'),
        (
            "session.execute(select(Post).where(Post.id == value).with_for_update(skip_locked=True))",
            f'{POSTS} WHERE "posts"."id" = $1 FOR UPDATE SKIP LOCKED',
        ),
    ],
)  # fmt: skip
def test_calls_become_sql(code: str, expected: str) -> None:
    assert calls_of(code) == [expected]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "session.execute(select(Post).where(Post.title == value, build(other)))",
            f'{POSTS} WHERE "posts"."title" = $1 where',
        ),
        ("session.execute(select(Post).where(*conditions))", f"{POSTS} where"),
        (
            "session.execute(select(Post).where(Post.id.in_(select(Post.author_id))))",
            f'{POSTS} WHERE "posts"."id" IN (SELECT "posts"."author_id" FROM "posts")',
        ),
        (
            "inner = select(Post.id)\nsession.execute(select(Post).where(Post.id.in_(inner)))",
            f'{POSTS} WHERE "posts"."id" IN (SELECT "posts"."id" FROM "posts")',
        ),
        ("session.execute(select(Post).where(Post.id.in_(select(unknown))))", f"{POSTS} where"),
        ("session.execute(select(Post).where(or_(Post.id == 1, unknown)))", f"{POSTS} where"),
        ("session.execute(select(Post).where(Post.id == subquery.c.id))", f"{POSTS} where"),
        ("session.execute(select(Post).where(Post.id == Unknown.post_id))", f"{POSTS} where"),
        ("session.execute(select(Post).order_by(sort_key))", f"{POSTS} order"),
        ("session.execute(select(Post).options(joinedload(Post.author)))", f"{POSTS} columns,joins"),
        ("session.execute(select(Post).options(selectinload(Post.author)))", POSTS),
        (
            "session.execute(select(Post).where(~(Post.id == value), ~Post.title.is_(None)))",
            f'{POSTS} WHERE "posts"."id" <> $1 AND "posts"."title" IS NOT NULL',
        ),
        ("session.execute(paginate(select(Post)))", f"{POSTS} columns,expressions,joins,limit,order,where"),
        ("conditions = exists(select(Post))", f"{POSTS} columns,expressions,joins,limit,order,where"),
        ("sub = select(Post.id).subquery()", f"{POSTS} columns,expressions,joins,limit,order,where"),
        ("return select(Post)", f"{POSTS} columns,expressions,joins,limit,order,where"),
        ("q = select(Post)\nif value:\n    q = q.where(Post.id == value)\nsession.execute(q)", f"{POSTS} where"),
        ("q = select(Post)\nq = q.where(Post.id == value)\nsession.execute(q)", f'{POSTS} WHERE "posts"."id" = $1'),
        (
            "q = select(Post)\nq = restrict(q)\nsession.execute(q)",
            f"{POSTS} columns,expressions,joins,limit,order,where",
        ),
        ("q = session.query(Post)\nif value:\n    q = q.filter(Post.id == value)\nq.all()", f"{POSTS} where"),
        ("session.execute(select(case((Post.id == 1, 1))).select_from(Post))", f"{POSTS} columns,expressions"),
        (
            "session.execute(select(select(Post.id).where(strange(Post)).exists()))",
            f"{POSTS} columns,expressions,joins,limit,order,where",
        ),
    ],
)
def test_what_cannot_be_read_is_said(code: str, expected: str) -> None:
    assert calls_of(code) == ([expected] if expected else [])


@pytest.mark.parametrize(
    "code",
    [
        "cache.get(User.email, value)",
        "seen.add(value)",
        "session.add(value)",
        "requests.get(value)",
        "session.execute(select(Unknown))",
        "menu.select(User)",
        "# session.execute(select(User))",
        "'session.execute(select(User))'",
    ],
)
def test_what_is_no_call_is_none(code: str) -> None:
    assert calls_of(code) == []


def test_attributes_set_on_an_object_that_was_handed_in_are_an_update() -> None:
    _, calls = read(
        {
            "app/models.py": MODELS,
            "app/work.py": """
            from app.models import Post, Thing

            async def rename(post: Post, thing: Thing, title: str) -> None:
                post.title = title
                thing.title = title
                other = post.title == title
            """,
        }
    )
    assert (only(calls).text, only(calls).location.line) == (
        'UPDATE "posts" SET "title" = $1 WHERE "posts"."id" = $2',
        5,
    )


def test_tests_and_migrations_are_left_out() -> None:
    code = "from app.models import User\ndef f(session):\n    return session.get(User, 1)\n"
    for path in ("tests/test_user.py", "alembic/versions/1_users.py"):
        assert read({"app/models.py": MODELS, path: code})[1] == ()
    assert len(read({"app/models.py": MODELS, "app/a.py": code})[1]) == 1


def test_bad_input_is_read_as_far_as_it_goes() -> None:
    deep = "select(User).where(" * 3_000
    for code in (
        deep,
        "class User(",
        "\x00\ufffd" * 50,
        "User." * 5_000,
        "session.add(" * 2_000,
        "x = " * 3_000 + "User()",
    ):
        read({"app/models.py": MODELS, "app/a.py": f"from app.models import User\n{code}"})


def test_children_that_are_loaded_apart_are_a_call_of_their_own() -> None:
    code = (
        "from app.models import User\ndef f(s):\n    return s.scalars(select(User).options(selectinload(User.posts)))\n"
    )
    _, calls = read({"app/models.py": MODELS, "app/a.py": f"from sqlalchemy import select\n{code}"})
    assert [tail(call) for call in calls] == ['FROM "posts" WHERE "posts"."author_id" IN ($1)', 'FROM "app"."users"']


def test_columns_that_are_loaded_only() -> None:
    code = """
        from sqlalchemy import select
        from app.models import Post
        def work(session):
            return session.scalars(select(Post).options(load_only(Post.title)))
    """
    call = only(read({"app/models.py": MODELS, "app/work.py": code})[1])
    assert (call.text, call.partial) == ('SELECT "posts"."id", "posts"."title" FROM "posts"', ())


def test_a_query_within_one_that_cannot_be_read_is_told_as_a_part() -> None:
    code = """
        from sqlalchemy import func, select
        from app.models import Post, User

        def ranked(session, value):
            newest = select(Post.author_id, func.row_number().over(order_by=Post.id).label("rank")).where(Post.id > value).cte()
            return session.execute(strange(newest).limit(3))

        def told(session):
            authors = select(Post.author_id).where(Post.title == "x").subquery()
            return session.execute(select(User.id).join(authors, authors.c.author_id == User.id))

        def added(session, value):
            return session.execute(insert_on_conflict(dict(title=value, author_id=1), table=Post))
    """
    _, calls = read({"app/models.py": MODELS, "app/work.py": code})
    parts = [call for call in calls if call.part]
    assert [(call.function, tail(call)) for call in parts] == [("ranked", f'{POSTS} WHERE "posts"."id" > $1')]
    assert 'INSERT INTO "posts" ("title", "author_id") VALUES ($1, $2)' in [call.text for call in calls]
