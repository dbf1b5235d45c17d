"""Models of SQLAlchemy that the tests of its calls ask."""

from __future__ import annotations

MODELS = """
    from sqlalchemy import Column, Enum, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint
    from pgvector.sqlalchemy import Vector
    from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

    class Base(DeclarativeBase):
        pass

    class Dated:
        created_at: Mapped[datetime] = mapped_column(server_default=func.now())
        updated_at = Column(DateTime, onupdate=func.now())

        @declared_attr
        def tenant_id(cls) -> Mapped[int]:
            return mapped_column(ForeignKey("tenants.id"), index=True)

    class User(Dated, Base):
        __tablename__ = "users"
        __table_args__ = (
            UniqueConstraint("email", "tenant_id", name="one_email"),
            Index("by_name", "name", postgresql_using="gin"),
            Index("by_lower", func.lower("name")),
            {"schema": "app"},
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str] = mapped_column("mail", String(255), unique=True)
        name: Mapped[str | None]
        role: Mapped[str] = mapped_column(Enum("admin", "member", name="roles"))
        embedding = Column(Vector(384))
        extra = Column("metadata", JSONB, nullable=False)
        posts: Mapped[list["Post"]] = relationship(back_populates="author")

    class Post(Base):
        __tablename__ = "posts"
        id = Column(Integer, primary_key=True)
        author_id = Column(ForeignKey("app.users.id"), nullable=False)
        title = Column(Text)
        author = relationship("User")

    tags = Table("tags", metadata, Column("id", Integer, primary_key=True), Column("post_id", ForeignKey("posts.id")))
"""
