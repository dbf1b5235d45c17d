from __future__ import annotations

from tests.checks.evidence.repository.behaviour.behaviours import behaviours

DJANGO = """
from django.db import models
class Customer(models.Model):
    email = models.CharField(max_length=100)
class Order(models.Model):
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE)
    total = models.IntegerField()
"""
SQLALCHEMY = """
from sqlalchemy import Column, ForeignKey, Integer, Text
from sqlalchemy.orm import declarative_base, relationship
Base = declarative_base()
class User(Base):
    __tablename__ = "users"
    id = Column(Integer, primary_key=True)
    posts = relationship("Post", back_populates="user")
    tags = relationship("Tag", lazy="selectin")
class Post(Base):
    __tablename__ = "posts"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer, ForeignKey("users.id"))
    user = relationship("User", back_populates="posts")
class Tag(Base):
    __tablename__ = "tags"
    id = Column(Integer, primary_key=True)
    user_id = Column(Integer, ForeignKey("users.id"))
"""


def loads(code: str, models: str) -> list[tuple[int, str, str | None]]:
    found = behaviours({"shop/models.py": models, "shop/views.py": code})
    return [(entry.location.line, entry.detail, entry.table) for entry in found if entry.kind == "lazy_load"]


def test_relations_of_django_in_loops() -> None:
    code = """\
    from shop.models import Order

    def slow():
        for order in Order.objects.filter(total=3):
            print(order.total, order.customer.email)
        orders = Order.objects.all()
        return [order.customer for order in orders]

    def quick():
        for order in Order.objects.select_related("customer").filter(total=3):
            print(order.customer.email)

    def keys():
        for order in Order.objects.filter(total=3):
            print(order.customer_id)
    """
    assert loads(code, DJANGO) == [(5, "customer", "shop_customer"), (7, "customer", "shop_customer")]


def test_relations_of_sqlalchemy_in_loops() -> None:
    code = """\
    from sqlalchemy import select
    from shop.models import User

    def slow(session):
        for user in session.query(User).all():
            print(user.posts, user.tags)

    def also_slow(session):
        users = session.scalars(select(User)).all()
        for user in users:
            print(len(user.posts))

    def quick(session):
        for user in session.query(User).options(selectinload(User.posts)).all():
            print(user.posts)

    async def fails(session):
        users = (await session.scalars(select(User))).all()
        for user in users:
            print(user.posts)
    """
    assert loads(code, SQLALCHEMY) == [(6, "posts", "posts"), (11, "posts", "posts")]
