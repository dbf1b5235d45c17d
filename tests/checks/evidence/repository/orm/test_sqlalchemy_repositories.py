"""Repositories: classes that speak for one model through methods that they inherit."""

from __future__ import annotations

from checks.evidence.repository.facts import OrmCall
from tests.checks.evidence.repository.orm.calls import only, read, tail

MODELS = """
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str]
        deleted_at: Mapped[datetime | None]

    class Post(Base):
        __tablename__ = "posts"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
"""
BASES = """
    from sqlalchemy import func, select

    class RepositoryProtocol[M](Protocol):
        async def get_all(self, statement: Select[tuple[M]]) -> Sequence[M]: ...

    class RepositoryBase[M]:
        model: type[M]

        def __init__(self, session):
            self.session = session

        @classmethod
        def from_session(cls, session):
            return cls(session)

        async def get_all(self, statement):
            result = await self.session.execute(statement)
            return result.scalars().all()

        async def paginate(self, statement, page):
            return await self.session.execute(statement.limit(20).offset(page * 20))

        def get_base_statement(self):
            return select(self.model)

        async def create(self, object: M, *, flush: bool = False) -> M:
            self.session.add(object)
            return object

        async def update(self, object: M, *, update_dict=None) -> M:
            for name, value in update_dict.items():
                setattr(object, name, value)
            return object

    class DeletedMixin:
        def get_base_statement(self, *, include_deleted: bool = False):
            statement = super().get_base_statement()
            if not include_deleted:
                statement = statement.where(self.model.deleted_at.is_(None))
            return statement

        async def get_by_id(self, id, *, include_deleted: bool = False) -> M | None:
            statement = self.get_base_statement(include_deleted=include_deleted).where(self.model.id == id)
            result = await self.session.execute(statement)
            return result.scalar_one_or_none()
"""
REPOSITORIES = """
    from app.bases import DeletedMixin, RepositoryBase
    from app.models import Post, User

    class UserRepository(DeletedMixin[User], RepositoryBase[User]):
        model = User

        async def list_by_email(self, email):
            return await self.get_all(self.get_base_statement().where(User.email == email))

        def get_statement_of(self, names, by_title=None):
            statement = self.get_base_statement().where(User.email.in_(names))
            if by_title:
                statement = statement.order_by(User.email)
            return statement

    class PostRepository(RepositoryBase[Post]):
        pass
"""


def of(code: str, **files: str) -> list[tuple[str | None, str, tuple[str, ...]]]:
    given = {"app/models.py": MODELS, "app/bases.py": BASES, "app/repositories.py": REPOSITORIES, "app/work.py": code}
    _, calls = read({**given, **{f"app/{name}.py": text for name, text in files.items()}})
    return [_told(call) for call in calls if call.location.path not in ("app/repositories.py", "app/bases.py")]


def _told(call: OrmCall) -> tuple[str | None, str, tuple[str, ...]]:
    return call.function, tail(call), call.partial


EVERYTHING = ("columns", "expressions", "joins", "limit", "order", "where")


def test_a_statement_of_a_base_class_is_about_the_model_of_the_class() -> None:
    _, calls = read({"app/models.py": MODELS, "app/bases.py": BASES, "app/repositories.py": REPOSITORIES})
    assert [_told(call) for call in calls] == [
        ("list_by_email", 'FROM "users" WHERE "users"."deleted_at" IS NULL AND "users"."email" = $1', ()),
        ("get_statement_of", 'FROM "users" WHERE "users"."deleted_at" IS NULL AND "users"."email" IN ($1)', EVERYTHING),
    ]


def test_what_methods_of_other_classes_give_and_send() -> None:
    code = """
        from app.models import Post, User
        from app.repositories import PostRepository, UserRepository

        async def found(session, id):
            users = UserRepository.from_session(session)
            return await users.get_by_id(id)

        async def found_deleted(session, id):
            return await UserRepository(session).get_by_id(id, include_deleted=True)

        async def perhaps_deleted(users: UserRepository, id, too):
            return await users.get_by_id(id, include_deleted=too)

        async def titled(posts: PostRepository, title):
            return await posts.get_all(posts.get_base_statement().where(Post.title == title))

        async def paged(posts: PostRepository, page):
            statement = posts.get_base_statement().order_by(Post.id)
            return await posts.paginate(statement, page)

        async def sorted_(session, names):
            statement = UserRepository.from_session(session).get_statement_of(names, names)
            return await session.scalars(statement.limit(5))

        async def written(session, posts: PostRepository, title):
            post = await posts.create(Post(title=title))
            await posts.update(post, update_dict={"title": title})

        async def of_others(session, id, title):
            await something.get_by_id(id)
            await session.titles.create(title)
            await UserRepository(session).get_by_email(id)
    """
    assert of(code) == [
        ("found", 'FROM "users" WHERE "users"."deleted_at" IS NULL AND "users"."id" = $1', ()),
        ("found_deleted", 'FROM "users" WHERE "users"."id" = $1', ()),
        ("perhaps_deleted", 'FROM "users" WHERE "users"."id" = $1', ("where",)),
        ("titled", 'FROM "posts" WHERE "posts"."title" = $1', ()),
        ("paged", 'FROM "posts" ORDER BY "posts"."id"', EVERYTHING),
        ("sorted_", 'FROM "users" WHERE "users"."deleted_at" IS NULL AND "users"."email" IN ($1)', ("limit", "order")),
        ("written", 'INSERT INTO "posts" ("title") VALUES ($1)', ("columns",)),
        ("written", 'UPDATE "posts" SET "title" = $1 WHERE "posts"."id" = $2', ()),
    ]


def test_a_class_that_is_given_its_model_when_it_is_made() -> None:
    bases = """
        class CRUDBase(Generic[ModelType, CreateType]):
            def __init__(self, model):
                self.model = model

            def get(self, db, id):
                return db.query(self.model).filter(self.model.id == id).first()

            def create(self, db, *, obj_in):
                row = self.model(**obj_in.dict())
                db.add(row)
                return row

            def remove(self, db, *, id):
                row = db.query(self.model).get(id)
                db.delete(row)
    """
    crud = """
        from app.crud_base import CRUDBase
        from app.models import Post

        class CRUDPost(CRUDBase[Post, PostCreate]):
            pass

        post = CRUDPost(Post)
    """
    code = """
        from app.crud_post import post
        from app import crud

        def read(db, id):
            return post.get(db, id)

        def write(db, given):
            crud.post.create(db, obj_in=given)

        def get_setting(settings):
            return settings.get("post")
    """
    assert of(code, crud_base=bases, crud_post=crud) == [
        ("read", 'FROM "posts" WHERE "posts"."id" = $1 LIMIT $2', ()),
        ("write", 'INSERT INTO "posts" VALUES ($1)', ("columns",)),
    ]


def test_rows_that_a_method_returns_are_changed() -> None:
    users = """
        from app.bases import DeletedMixin, RepositoryBase
        from app.models import User

        class Users(DeletedMixin[User], RepositoryBase[User]):
            model = User

            async def newest(self) -> User | None:
                return await self.latest()
    """
    code = """
        from app.models import User
        from app.users import Users

        async def renamed(session, email):
            user = await Users.from_session(session).newest()
            user.email = email

        async def closed(session, id):
            user = await Users.from_session(session).newest()
            user.close()
            session.add(user)

        async def handed_in(session, user: User):
            session.add(user)

        async def told(session, user: User):
            user.close()
            session.add(user)
    """
    changed = 'WHERE "users"."id" = '
    assert of(code, users=users) == [
        ("renamed", f'UPDATE "users" SET "email" = $1 {changed}$2', ()),
        ("closed", f'UPDATE "users" SET $1 {changed}$2', ("columns",)),
        ("told", f'UPDATE "users" SET $1 {changed}$2', ("columns",)),
    ]


def test_repositories_of_the_same_name_are_those_of_the_module() -> None:
    repository = """
        from app.bases import RepositoryBase
        from app.models import {0}

        class RowRepository(RepositoryBase[{0}]):
            model = {0}
    """
    code = """
        from app.one.rows import RowRepository
        from .two.rows import RowRepository as Others
        from elsewhere import RowRepository as Unknown

        async def work(session):
            await session.execute(RowRepository(session).get_base_statement())
            await session.execute(Others(session).get_base_statement())
            await session.execute(Unknown(session).get_base_statement())
    """
    _, calls = read(
        {
            "app/models.py": MODELS,
            "app/bases.py": BASES,
            "app/one/rows.py": repository.format("User"),
            "app/two/rows.py": repository.format("Post"),
            "app/work.py": code,
        }
    )
    assert [tail(call) for call in calls] == ['FROM "users"', 'FROM "posts"']


def test_classes_that_inherit_in_circles_end() -> None:
    circular = """
        from sqlalchemy import select
        from app.models import User

        class One(Two[User]):
            def given(self):
                return self.given().where(User.id == 1)

            def other(self):
                return super().given()

        class Two(One[User]):
            def given(self):
                return self.other()

        async def work(session):
            return await session.execute(One(session).given())
    """
    assert of(circular) == []


def test_a_revision_of_alembic_declares_no_model() -> None:
    revision = 'down_revision = "a"\n\nclass User(Base):\n    __tablename__ = "old"\n    id = Column(Integer, primary_key=True)\n'
    code = "from app.models import User\ndef f(session):\n    return session.get(User, 1)\n"
    files = {"app/models.py": MODELS, "app/changes/0001.py": revision, "app/work.py": code}
    assert tail(only(read(files)[1])) == 'FROM "users" WHERE "users"."id" = $1'
