"""Tables that classes declare, and which of them a name means."""

from __future__ import annotations

from checks.evidence.repository.facts import Model, ModelIndex, ModelRelation
from checks.model import Location
from tests.checks.evidence.repository.orm.calls import only, read, tail
from tests.checks.evidence.repository.orm.sqlalchemy_code import MODELS


def models() -> dict[str, Model]:
    found, _ = read({"app/models.py": MODELS})
    return {model.name: model for model in found}


def test_users_of_a_library_have_its_table() -> None:
    found, _ = read(
        {
            "app/db.py": """
        class User(SQLAlchemyBaseUserTableUUID, Base):
            credit: Mapped[int] = mapped_column()
    """
        }
    )
    assert [(model.table, [column.name for column in model.columns][:2]) for model in found] == [
        ("user", ["id", "email"])
    ]


def test_models_are_read_with_what_they_inherit() -> None:
    user = models()["User"]
    assert (user.schema, user.table, user.complete) == ("app", "users", True)
    assert user.location == Location("app/models.py", 17)
    columns = {column.name: column for column in user.columns}
    assert set(columns) == {
        "id", "mail", "name", "role", "embedding", "metadata", "created_at", "updated_at", "tenant_id",
    }  # fmt: skip
    assert (columns["mail"].attribute, columns["mail"].length, columns["mail"].unique) == ("email", 255, True)
    assert columns["mail"].nullable is False
    assert columns["name"].nullable is True
    assert columns["role"].values == ("admin", "member")
    assert columns["embedding"].dimensions == 384
    assert columns["metadata"].nullable is False
    assert columns["tenant_id"].references == ("tenants", "id")
    assert columns["updated_at"].on_update
    assert columns["id"].primary_key
    assert user.relations == (ModelRelation("posts", "Post", many=True),)
    assert ModelIndex(("mail", "tenant_id"), "one_email", unique=True) in user.indexes
    assert ModelIndex(("name",), "by_name", method="gin") in user.indexes
    assert ModelIndex((), "by_lower", partial=True) in user.indexes


def test_tables_without_a_class_and_sqlmodel_are_models_too() -> None:
    assert models()["tags"].columns[1].references == ("posts", "id")
    found, calls = read(
        {
            "a.py": """
            from sqlmodel import Field, SQLModel, select

            class HeroBase(SQLModel):
                name: str = Field(max_length=40, index=True)

            class Hero(HeroBase, table=True):
                id: int | None = Field(default=None, primary_key=True)
                team_id: int | None = Field(default=None, foreign_key="team.id")

            class HeroPublic(HeroBase):
                id: int

            def by_name(session, name):
                return session.exec(select(Hero).where(Hero.name == name)).first()
            """
        }
    )
    hero = next(model for model in found if model.name == "Hero")
    assert [(column.name, column.length, column.references) for column in hero.columns] == [
        ("name", 40, ()),
        ("id", None, ()),
        ("team_id", None, ("team", "id")),
    ]
    assert (hero.table, hero.indexes) == ("hero", (ModelIndex(("name",)),))
    assert [model.name for model in found] == ["Hero"]
    assert tail(only(calls)) == 'FROM "hero" WHERE "hero"."name" = $1'


def test_a_base_out_of_sight_and_joined_inheritance_leave_the_model_incomplete() -> None:
    found, calls = read(
        {
            "m.py": """
            from somewhere import Auditable
            class A(Auditable, Base):
                __tablename__ = "a"
                id = Column(Integer, primary_key=True)
            class B(A):
                __tablename__ = "b"
                id = Column(ForeignKey("a.id"), primary_key=True)
            def f(session):
                return session.get(B, 1)
            """
        }
    )
    assert [model.complete for model in found] == [False, False]
    assert only(calls).partial == ("columns", "joins")


def test_a_name_that_several_tables_have_is_the_nearest_or_none() -> None:
    model = "class User(Base):\n    __tablename__ = '{}'\n    id = Column(Integer, primary_key=True)\n"
    code = "from x import User\ndef f(session):\n    return session.get(User, 1)\n"
    files = {"one/models.py": model.format("a"), "two/models.py": model.format("b")}
    assert tail(only(read({**files, "two/work.py": code})[1])) == 'FROM "b" WHERE "b"."id" = $1'
    assert read({**files, "work.py": code})[1] == ()


def test_a_class_may_stand_for_a_table_that_is_declared_apart() -> None:
    models = """
        from sqlalchemy import Column, Integer, Table, Text
        members_table = Table("members", Base.metadata, Column("id", Integer, primary_key=True), Column("name", Text))

        class Member(Base):
            __table__: Table = members_table
            name: Mapped[str]
    """
    code = """
        from sqlalchemy import select
        from app.models import Member

        def work(session, value):
            stmt = select(Member).where(Member.name == value)
            for member in session.execute(stmt).scalars().all():
                session.delete(member)
    """
    _, calls = read({"app/models.py": models, "app/work.py": code})
    assert [call.text for call in calls] == [
        'SELECT "members"."id", "members"."name" FROM "members" WHERE "members"."name" = $1',
        'DELETE FROM "members" WHERE "members"."id" = $1',
    ]


def test_a_base_class_names_the_tables() -> None:
    bases = """
        import re

        def resolve(name):
            return "_".join(part.lower() for part in re.split("(?=[A-Z])", name) if part)

        class Base:
            @declared_attr.directive
            def __tablename__(cls):
                return resolve(cls.__name__)

        class Lower:
            @declared_attr
            def __tablename__(cls) -> str:
                return f"{cls.__name__.lower()}s"

        class Strange:
            @declared_attr
            def __tablename__(cls):
                return named(cls.__name__)
    """
    models = """
        class CaseType(Base):
            id = Column(Integer, primary_key=True)

        class HTTPCall(Base):
            id = Column(Integer, primary_key=True)

        class Dated(Base):
            __abstract__ = True
            id = Column(Integer, primary_key=True)

        class Item(Lower):
            id = Column(Integer, primary_key=True)

        class Other(Strange):
            id = Column(Integer, primary_key=True)

        class Said(Base):
            __tablename__ = "says"
            id = Column(Integer, primary_key=True)
    """
    found, _ = read({"app/base.py": bases, "app/models.py": models})
    assert {model.name: model.table for model in found} == {"CaseType": "case_type", "Item": "items", "Said": "says"}
