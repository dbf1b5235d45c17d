"""Functions that are imported from other files of the repository."""

from __future__ import annotations

from tests.checks.evidence.repository.behaviour.behaviours import behaviours

MODELS = """
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class User(DeclarativeBase):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str]
"""
USERS = """
    from sqlalchemy import select
    from sqlalchemy.ext.asyncio import AsyncSession
    from shop.models import User

    async def by_email(session: AsyncSession, email: str) -> User | None:
        return await session.scalar(select(User).where(User.email == email))

    async def create(session: AsyncSession, email: str) -> User:
        user = User(email=email)
        session.add(user)
        await session.flush()
        return user

    async def create_once(session: AsyncSession, email: str) -> None:
        try:
            session.add(User(email=email))
            await session.flush()
        except IntegrityError:
            pass
"""
MODEL = """
    from openai import AsyncOpenAI

    client = AsyncOpenAI()

    async def complete(question: str) -> str:
        return await client.chat.completions.create(model="m", messages=[question])
"""


def found(code: str, **more: str) -> list[tuple[str, str, int, str, int, bool]]:
    files = {
        "api/shop/models.py": MODELS,
        "api/shop/users.py": USERS,
        "api/shop/llm.py": MODEL,
        "api/shop/service.py": code,
    }
    return [
        (entry.kind, entry.location.path.rpartition("/")[2], entry.location.line, *of(entry.other), entry.certain)
        for entry in behaviours(files | {path.replace("__", "/") + ".py": text for path, text in more.items()})
    ]


def of(place: object) -> tuple[str, int]:
    return place.path.rpartition("/")[2], place.line  # type: ignore[attr-defined]


def test_a_request_that_waits_for_a_model_with_its_transaction_open() -> None:
    service = """
        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import AsyncSession
        from shop import llm

        async def answer(session: AsyncSession, question: str) -> str:
            await session.execute(text("SELECT id FROM users WHERE id = :id FOR UPDATE"), {"id": 1})
            return await llm.complete(question)

        async def first(session: AsyncSession, question: str) -> None:
            reply = await llm.complete(question)
            await session.execute(text("UPDATE users SET email = :email WHERE id = :id"), {"email": reply})

        async def apart(session: AsyncSession, question: str) -> None:
            await session.execute(text("DELETE FROM users WHERE id = :id"), {"id": 1})
            await session.commit()
            await llm.complete(question)
    """
    assert found(service) == [("external_call_in_transaction", "service.py", 7, "llm.py", 7, True)]


def test_a_loop_that_calls_a_query_of_another_file() -> None:
    service = """
        from .users import by_email, create as add
        from shop.elsewhere import by_email as other

        async def all(session, emails):
            for email in emails:
                await by_email(session, email)
            for email in emails:
                await other(session, email)
            return [await add(session, email) for email in emails]
    """
    assert found(service) == [
        ("query_in_loop", "users.py", 7, "service.py", 6, True),
        ("insert_in_loop", "users.py", 11, "service.py", 10, True),
    ]


def test_a_look_and_an_insert_of_another_file() -> None:
    service = """
        from shop import users

        async def register(session, email):
            if await users.by_email(session, email):
                raise ValueError
            await users.create(session, email)

        async def again(session, email):
            existing = await users.by_email(session, email)
            if existing is None:
                await users.create_once(session, email)
    """
    assert found(service) == [("check_then_insert", "service.py", 5, "service.py", 7, True)]


def test_what_two_files_may_mean_is_not_certain() -> None:
    service = """
        from users import by_email

        async def all(session, emails):
            for email in emails:
                await by_email(session, email)
    """
    files = {"models.py": MODELS, "one/users.py": USERS, "two/users.py": USERS, "app/service.py": service}
    assert {(entry.kind, entry.certain) for entry in behaviours(files)} == {("query_in_loop", False)}


def test_imports_of_typescript_through_an_alias_and_a_barrel() -> None:
    files = {
        "web/src/db/users.ts": """
            export async function findUser(id: string) {
              return pool.query("SELECT id FROM users WHERE id = $1", [id]);
            }
            export const ask = async (text: string) => fetch("https://models.test", { body: text });
        """,
        "web/src/db/index.ts": 'export * from "./users";\n',
        "web/src/api/route.ts": """
            import { findUser } from "@/db";
            import * as users from "../db/users.js";
            import type { User } from "../db/users";
            export async function POST(ids: string[]) {
              await Promise.all(ids.map((id) => findUser(id)));
              await db.transaction(async (tx) => {
                await tx.query("UPDATE users SET name = $1 WHERE id = $2", [name, id]);
                await users.ask(name);
              });
            }
        """,
        "web/src/api/own.ts": """
            import { findUser as found } from "@/db";
            const findUser = (id: string) => id;
            for (const id of ids) { findUser(id); }
        """,
    }
    assert [
        (entry.kind, str(entry.location.path), entry.location.line, entry.other and entry.other.line)
        for entry in behaviours(files)
    ] == [
        ("external_call_in_transaction", "web/src/api/route.ts", 8, 5),
        ("query_in_loop", "web/src/db/users.ts", 3, 6),
    ]


REPOSITORY = """
    from sqlalchemy import select
    from shop.models import User
    from openai import OpenAI

    class UserRepository:
        def __init__(self, session):
            self.session = session

        def by_email(self, email):
            return self.session.scalar(select(User).where(User.email == email))

        @staticmethod
        def described(email):
            return OpenAI().chat.completions.create(model="m", messages=[email])

    repository = UserRepository(None)
"""


def test_methods_of_classes_of_other_files_are_followed() -> None:
    for code in (
        "from shop.repo import UserRepository\ndef f(emails, s):\n    users = UserRepository(s)\n    for e in emails:\n"
        "        users.by_email(e)\n",
        "from shop.repo import repository\ndef f(emails):\n    for e in emails:\n        repository.by_email(e)\n",
        "from shop.repo import UserRepository\ndef f(emails, users: UserRepository):\n    for e in emails:\n"
        "        users.by_email(e)\n",
        "from shop.repo import UserRepository\nclass S:\n    def __init__(self, users: UserRepository):\n"
        "        self.users = users\n    def f(self, emails):\n        for e in emails:\n            self.users.by_email(e)\n",
    ):
        assert [(kind, path, other) for kind, path, _, other, _, _ in found(code, api__shop__repo=REPOSITORY)] == [
            ("query_in_loop", "repo.py", "service.py")
        ], code
    code = """
        from shop.repo import UserRepository
        def f(session, email):
            with session.begin():
                session.add(User(email=email))
                UserRepository.described(email)
    """
    kinds = [(kind, other) for kind, _, _, other, _, _ in found(code, api__shop__repo=REPOSITORY)]
    assert kinds == [("external_call_in_transaction", "repo.py")]


def test_a_method_of_a_class_that_is_not_told_is_not_followed() -> None:
    for code in (
        "from shop.repo import UserRepository\ndef f(emails, users):\n    for e in emails:\n        users.by_email(e)\n",
        "from shop.repo import UserRepository\ndef f(emails, s):\n    users = UserRepository(s)\n    users = Other(s)\n"
        "    for e in emails:\n        users.by_email(e)\n",
    ):
        assert found(code, api__shop__repo=REPOSITORY) == [], code


def test_packages_of_the_workspace_are_followed() -> None:
    files = {
        "packages/db/package.json": '{\n  "name": "@acme/db",\n  "version": "1"\n}',
        "packages/db/src/index.ts": 'export * from "./users";',
        "packages/db/src/users.ts": """
            export class Users {
              constructor(private readonly pool: Pool) {}
              async find(id: string) {
                return this.pool.query("SELECT name FROM users WHERE id = $1", [id]);
              }
            }
        """,
        "apps/web/src/list.ts": """
            import { Users } from "@acme/db";
            export class Page {
              constructor(private readonly users: Users) {}
              async names(ids: string[]) {
                for (const id of ids) {
                  await this.users.find(id);
                }
              }
            }
        """,
    }
    assert [(entry.kind, entry.location.path, of(entry.other)) for entry in behaviours(files)] == [
        ("query_in_loop", "packages/db/src/users.ts", ("list.ts", 6))
    ]
