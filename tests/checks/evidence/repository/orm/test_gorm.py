from __future__ import annotations

import time

import pytest

from tests.checks.evidence.repository.orm.calls import only, read, tail

MODELS = """\
    package model
    import "gorm.io/gorm"

    type Base struct {
        gorm.Model
        Owner string
    }

    type User struct {
        Base
        Email     string  `gorm:"size:255;uniqueIndex"`
        APIKey    *string `gorm:"column:secret;type:char(48);not null"`
        Role      int     `gorm:"index:by_role"`
        Embedding []byte  `gorm:"type:vector(3)"`
        Hidden    string  `gorm:"-"`
        Orders    []Order `gorm:"foreignKey:UserID"`
        private   int
    }

    type Order struct {
        ID     int64 `gorm:"primaryKey"`
        UserID int64
        Total  int64
    }

    func (Order) TableName() string { return "shop.purchases" }

    type Unrelated struct {
        Name string
    }
    """
USERS = '"users"."deleted_at" IS NULL'


def of(body: str, parameters: str = "db *gorm.DB, id int") -> dict[str, str]:
    return {"model/user.go": MODELS, "store/store.go": f"package store\nfunc Load({parameters}) error {{\n{body}\n}}\n"}


def test_models() -> None:
    models, _ = read(of(""))
    order, user = models
    assert (order.table, order.schema, user.table, user.schema, user.orm) == (
        "purchases",
        "shop",
        "users",
        None,
        "gorm",
    )
    assert [(c.name, c.attribute, c.type, c.length, c.dimensions, c.nullable, c.primary_key) for c in user.columns] == [
        ("id", "ID", "uint", None, None, True, True),
        ("created_at", "CreatedAt", "time.Time", None, None, True, False),
        ("updated_at", "UpdatedAt", "time.Time", None, None, True, False),
        ("deleted_at", "DeletedAt", "gorm.DeletedAt", None, None, None, False),
        ("owner", "Owner", "string", None, None, True, False),
        ("email", "Email", "string", 255, None, True, False),
        ("secret", "APIKey", "char", 48, None, False, False),
        ("role", "Role", "int", None, None, True, False),
        ("embedding", "Embedding", "vector", None, 3, None, False),
    ]
    assert [(link.attribute, link.target, link.references, link.many) for link in user.relations] == [
        ("Orders", "Order", ("user_id",), True)
    ]
    assert [(index.columns, index.name, index.unique) for index in user.indexes] == [
        (("email",), None, True),
        (("role",), "by_role", False),
    ]
    assert [(c.name, c.location.line) for c in order.columns] == [("id", 21), ("user_id", 22), ("total", 23)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('var user User\nreturn db.Where("email = ?", e).First(&user).Error',
         f'FROM "users" WHERE email = $1 AND {USERS} ORDER BY "users"."id" LIMIT $2'),
        ('users := []model.User{}\ndb.WithContext(ctx).Where("role = ? AND email LIKE ?", r, e)'
         '.Order("id desc").Limit(10).Offset(o).Find(&users)',
         f'FROM "users" WHERE (role = $1 AND email LIKE $2) AND {USERS} ORDER BY id desc LIMIT $3 OFFSET $4'),
        ('db.First(&Order{}, id)',
         'FROM "shop"."purchases" WHERE "purchases"."id" = $1 ORDER BY "purchases"."id" LIMIT $2'),
        ('var n int64\ndb.Model(&Order{}).Where(&Order{UserID: id}).Count(&n)',
         'FROM "shop"."purchases" WHERE "purchases"."user_id" = $1'),
        ('db.Unscoped().Where(map[string]any{"role": 1}).Find(&[]User{})', 'FROM "users" WHERE "users"."role" = $1'),
        ('db.Model(&Order{}).Where("id = ?", id).Update("total", 1)', 'UPDATE "shop"."purchases" SET "total" = $1 WHERE id = $2'),
        ('db.Model(&Order{}).Where("id = ?", id).Updates(map[string]interface{}{"total": 1, "user_id": 2})',
         'UPDATE "shop"."purchases" SET "total" = $1, "user_id" = $2 WHERE id = $3'),
        ('db.Where("user_id = ?", id).Delete(&Order{})', 'DELETE FROM "shop"."purchases" WHERE user_id = $1'),
        ('db.Where("role = ?", 1).Delete(&User{})', f'UPDATE "users" SET "deleted_at" = $1 WHERE role = $2 AND {USERS}'),
        ('var o Order\ndb.Clauses(clause.Locking{Strength: "UPDATE", Options: "SKIP LOCKED"}).Where("total > 0").Take(&o)',
         'FROM "shop"."purchases" WHERE total > $1 LIMIT $2 FOR UPDATE SKIP LOCKED'),
        ('var ids []int64\ndb.Model(&Order{}).Where("total IN (?)", t).Pluck("id", &ids)',
         'FROM "shop"."purchases" WHERE total IN ($1)'),
    ],
)  # fmt: skip
def test_calls(body: str, expected: str) -> None:
    _, calls = read(of(body))
    call = only(calls)
    assert (tail(call), call.partial) == (expected, ())
    assert (call.orm, call.function) == ("gorm", "Load")


@pytest.mark.parametrize(
    ("body", "expected", "partial"),
    [
        ("order := Order{Total: 1}\ndb.Create(&order)",
         'INSERT INTO "shop"."purchases" ("user_id", "total") VALUES ($1, $2)', ("columns",)),
        ("var o []Order\ndb.Where(conditions).Find(&o)", 'FROM "shop"."purchases"', ("where",)),
        ("var o []Order\nquery := db.Where(\"a = 1\")\nquery.Find(&o)",
         'FROM "shop"."purchases"', ("joins", "limit", "order", "where")),
        ("var n int64\nq := db.Model(&Order{}).Where(\"a = 1\")\nq.Count(&n)",
         'FROM "shop"."purchases"', ("joins", "limit", "order", "where")),
        ("o := Order{ID: 1}\ndb.First(&o)", 'FROM "shop"."purchases" ORDER BY "purchases"."id" LIMIT $1', ("where",)),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(body: str, expected: str, partial: tuple[str, ...]) -> None:
    _, calls = read(of(body))
    assert (tail(only(calls)), only(calls).partial) == (expected, partial)


def test_what_is_no_call_of_gorm() -> None:
    _, calls = read(of('var u []User\nlist.Find(&u)\ndb.Raw("SELECT 1").Scan(&u)\ndb.Find(&unknown)\nscanner.Scan(&u)'))
    assert calls == ()


@pytest.mark.parametrize(
    "code",
    [
        "type A struct {\n" * 3_000, 'db' + '.Where("a = 1")' * 3_000 + ".Find(&[]User{})",
        "db.Find(" * 3_000, "var u User\n" * 5_000 + "db.Find(&u)",
        'type A struct {\n' + 'B string `gorm:"a;a;a"`\n' * 10_000 + "}",
        "type A struct { A }\ntype B struct { C }\ntype C struct { B }",
    ],
    ids=range(6),
)  # fmt: skip
def test_hostile_code_never_crashes_or_hangs(code: str) -> None:
    started = time.process_time()
    read({"m.go": MODELS, "a.go": "package gorm\n" + code, "b.go": f"package gorm\nfunc f() {{\n{code}\n}}"})
    assert time.process_time() - started < 10


def test_what_is_done_to_rows_whose_parent_goes() -> None:
    code = """\
    package model
    type User struct {
        ID int64 `gorm:"primaryKey"`
    }
    type Order struct {
        ID     int64 `gorm:"primaryKey"`
        UserID int64
        User   User `gorm:"foreignKey:UserID;constraint:OnUpdate:CASCADE,OnDelete:SET NULL;"`
    }
    """
    models, _ = read({"model.go": code})
    (order,) = (model for model in models if model.name == "Order")
    assert [(relation.columns, relation.on_delete) for relation in order.relations] == [(("user_id",), "set null")]
