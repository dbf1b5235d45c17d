from __future__ import annotations

import pytest

from checks.evidence.repository.facts import Model, ModelIndex, OrmCall
from tests.checks.evidence.repository.orm.calls import only, read, tail

SETTINGS = 'AUTH_USER_MODEL = "accounts.User"\nDEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"\n'
ACCOUNTS = """
    from django.contrib.auth.models import AbstractUser
    from django.db import models

    class User(AbstractUser):
        phone = models.CharField(max_length=20, null=True)
"""
SHOP = """
    import uuid
    from django.conf import settings
    from django.db import models
    from django.contrib.postgres.fields import ArrayField
    from pgvector.django import HnswIndex, VectorField

    class Live(models.Manager):
        def get_queryset(self):
            return super().get_queryset().filter(deleted_at__isnull=True)

    class Guarded(models.Manager):
        def get_queryset(self):
            if current():
                return super().get_queryset()
            return super().get_queryset().none()

    class Dated(models.Model):
        made = models.DateTimeField(auto_now_add=True)
        changed = models.DateTimeField(auto_now=True)

        class Meta:
            abstract = True
            ordering = ["-made"]

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        SHUT = "shut", "Shut"

    class Shop(models.Model):
        name = models.SlugField(unique=True)

    class Product(Dated):
        id = models.UUIDField(primary_key=True, default=uuid.uuid4)
        sku = models.CharField("SKU", max_length=30, db_column="code")
        status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
        size = models.CharField(max_length=1, choices=[("s", "Small"), ("l", "Large")])
        shop = models.ForeignKey(Shop, on_delete=models.CASCADE, related_name="products")
        owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
        data = models.JSONField(default=dict)
        labels = ArrayField(models.TextField())
        embedding = VectorField(dimensions=384)
        tags = models.ManyToManyField("Tag")
        deleted_at = models.DateTimeField(null=True)
        objects = models.Manager()
        live = Live()
        guarded = Guarded()

        class Meta(Dated.Meta):
            unique_together = ("shop", "sku")
            indexes = [models.Index(fields=["-made"], name="made_idx"), HnswIndex(fields=["embedding"], name="near")]
            constraints = [
                models.UniqueConstraint(fields=["sku"], condition=models.Q(deleted_at=None), name="one_live"),
                models.CheckConstraint(check=models.Q(size="s"), name="small"),
            ]

    class Tag(models.Model):
        name = models.CharField(max_length=40)

        class Meta:
            db_table = "labels"

    class Book(Product):
        pages = models.IntegerField()

    class Cheap(Product):
        class Meta:
            proxy = True
"""
FILES = {"app/settings.py": SETTINGS, "app/accounts/models.py": ACCOUNTS, "app/shop/models.py": SHOP}


def models() -> dict[str, Model]:
    return {model.name: model for model in read(FILES)[0]}


def calls(code: str) -> tuple[OrmCall, ...]:
    head = "from .models import Product, Shop, Tag, Book\nfrom django.db.models import Q, F, Count, Exists, OuterRef\n"
    _, found = read({**FILES, "app/shop/views.py": head + code})
    return found


def test_models_and_their_tables() -> None:
    found = models()
    assert {model.name: model.table for model in found.values()} == {
        "User": "accounts_user", "Shop": "shop_shop", "Product": "shop_product", "Product.tags": "shop_product_tags",
        "Tag": "labels", "Book": "shop_book", "Cheap": "shop_product",
    }  # fmt: skip
    assert all(model.complete for name, model in found.items() if name != "Book")
    assert {column.name for column in found["User"].columns} >= {"id", "password", "username", "is_staff", "phone"}
    assert [column.name for column in found["Product.tags"].columns] == ["id", "product_id", "tag_id"]
    assert [column.name for column in found["Book"].columns] == ["product_ptr_id", "pages"]


def test_columns_say_what_the_fields_say() -> None:
    columns = {column.name: column for column in models()["Product"].columns}
    assert list(columns) == [
        "made", "changed", "id", "code", "status", "size", "shop_id", "owner_id", "data", "labels", "embedding", "deleted_at",
    ]  # fmt: skip
    assert (columns["code"].attribute, columns["code"].length, columns["code"].nullable) == ("sku", 30, False)
    assert columns["status"].values == ("open", "shut")
    assert columns["size"].values == ("s", "l")
    assert columns["shop_id"].references == ("shop_shop", "id")
    assert columns["owner_id"].references == ("accounts_user", "id")
    assert columns["owner_id"].nullable
    assert columns["embedding"].dimensions == 384
    assert columns["id"].primary_key
    assert columns["changed"].on_update
    assert models()["Product"].indexes == (
        ModelIndex(("shop_id", "code"), unique=True),
        ModelIndex(("made",), "made_idx"),
        ModelIndex(("embedding",), "near", method="hnsw"),
        ModelIndex(("code",), "one_live", unique=True, partial=True),
        ModelIndex(("shop_id",)),
        ModelIndex(("owner_id",)),
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("Tag.objects.get(pk=1)", 'FROM "labels" WHERE "labels"."id" = $1 LIMIT $2'),
        ("Tag.objects.first()", 'FROM "labels" ORDER BY "labels"."id" LIMIT $1'),
        ("list(Tag.objects.filter(name__icontains=text).order_by('-name')[:10])",
         'FROM "labels" WHERE upper("labels"."name"::text) LIKE upper($1) ORDER BY "labels"."name" DESC LIMIT $2'),
        ("Tag.objects.filter(name__in=['a', 'b']).exists()", 'FROM "labels" WHERE "labels"."name" IN ($1, $2) LIMIT $3'),
        ("Tag.objects.exclude(name='x').count()", 'FROM "labels" WHERE NOT ("labels"."name" = $1)'),
        ("Tag.objects.filter(Q(name='a') | ~Q(id__gt=3)).count()",
         'FROM "labels" WHERE ("labels"."name" = $1 OR NOT ("labels"."id" > $2))'),
        ("Product.objects.filter(shop=shop, shop_id=1, shop__id=2).count()",
         'FROM "shop_product" WHERE "shop_product"."shop_id" = $1 AND "shop_product"."shop_id" = $2 AND '
         '"shop_product"."shop_id" = $3'),
        ("Product.objects.filter(shop__name='x', owner__isnull=True).count()",
         'FROM "shop_product" JOIN "shop_shop" AS "shop_shop" ON "shop_product"."shop_id" = "shop_shop"."id" WHERE '
         '"shop_shop"."name" = $1 AND "shop_product"."owner_id" IS NULL'),
        ("Shop.objects.filter(products__sku='x').count()",
         'FROM "shop_shop" JOIN "shop_product" AS "shop_product" ON "shop_shop"."id" = "shop_product"."shop_id" WHERE '
         '"shop_product"."code" = $1'),
        ("Product.objects.filter(tags=tag).count()",
         'FROM "shop_product" JOIN "shop_product_tags" AS "shop_product_tags" ON "shop_product"."id" = '
         '"shop_product_tags"."product_id" WHERE "shop_product_tags"."tag_id" = $1'),
        ("Product.objects.filter(data__kind='a', data__name__icontains='b').count()",
         """FROM "shop_product" WHERE ("shop_product"."data" -> 'kind') = $1 AND """
         """upper(("shop_product"."data" ->> 'name')::text) LIKE upper($2)"""),
        ("Product.objects.filter(data__contains={'a': 1}, labels__overlap=['x']).count()",
         'FROM "shop_product" WHERE "shop_product"."data" @> $1 AND "shop_product"."labels" && $2'),
        ("Product.objects.filter(made__date=day, changed__gt=F('made')).count()",
         'FROM "shop_product" WHERE ("shop_product"."made" AT TIME ZONE $1)::date = $2 AND '
         '"shop_product"."changed" > "shop_product"."made"'),
        ("Product.live.filter(sku='x').count()",
         'FROM "shop_product" WHERE "shop_product"."deleted_at" IS NULL AND "shop_product"."code" = $1'),
        ("Product.objects.filter(shop__in=Shop.objects.filter(name='a')).count()",
         'FROM "shop_product" WHERE "shop_product"."shop_id" IN (SELECT "shop_shop"."id" FROM "shop_shop" WHERE '
         '"shop_shop"."name" = $1)'),
        ("Shop.objects.filter(Exists(Product.objects.filter(shop=OuterRef('pk')))).count()",
         'FROM "shop_shop" WHERE EXISTS (SELECT "shop_product"."made", "shop_product"."changed", "shop_product"."id", '
         '"shop_product"."code", "shop_product"."status", "shop_product"."size", "shop_product"."shop_id", '
         '"shop_product"."owner_id", "shop_product"."data", "shop_product"."labels", "shop_product"."embedding", '
         '"shop_product"."deleted_at" FROM "shop_product" WHERE "shop_product"."shop_id" = $1)'),
        ("list(Product.objects.order_by(CosineDistance('embedding', v))[:5])",
         'FROM "shop_product" ORDER BY ("shop_product"."embedding" <=> $1) LIMIT $2'),
        ("list(Product.objects.all())", 'FROM "shop_product" ORDER BY "shop_product"."made" DESC'),
        ("Tag.objects.create(name='a')", 'INSERT INTO "labels" ("name") VALUES ($1)'),
        ("Tag.objects.bulk_create(tags, ignore_conflicts=True)",
         'INSERT INTO "labels" ("name") VALUES ($1) ON CONFLICT DO NOTHING'),
        ("Tag.objects.filter(id=1).update(name='b')", 'UPDATE "labels" SET "name" = $1 WHERE "labels"."id" = $2'),
        ("Tag.objects.filter(id=1).delete()", 'DELETE FROM "labels" WHERE "labels"."id" = $1'),
        ("await Tag.objects.filter(id=1).afirst()", 'FROM "labels" WHERE "labels"."id" = $1 ORDER BY "labels"."id" LIMIT $2'),
        ("Tag.objects.select_for_update(skip_locked=True).get(id=1)",
         'FROM "labels" WHERE "labels"."id" = $1 LIMIT $2 FOR UPDATE SKIP LOCKED'),
        ("get_object_or_404(Tag, name='a')", 'FROM "labels" WHERE "labels"."name" = $1 LIMIT $2'),
    ],
)  # fmt: skip
def test_querysets_as_sql(code: str, expected: str) -> None:
    found = only(calls(f"def view():\n    return {code}\n"))
    assert tail(found) == expected
    assert found.partial == ()


def test_what_is_selected() -> None:
    code = """
def view():
    a = list(Product.objects.filter(id=1).select_related("shop").order_by().only("sku"))
    b = list(Tag.objects.values_list("name", flat=True))
    c = list(Product.objects.values("status").annotate(n=Count("id")).order_by("status"))
    d = Tag.objects.aggregate(Count("id"))
"""
    found = {call.location.line: call for call in calls(code)}
    assert found[6].text == 'SELECT "labels"."name" FROM "labels"'
    assert found[7].text == (
        'SELECT "shop_product"."status", count("shop_product"."id") FROM "shop_product" GROUP BY "shop_product"."status" '
        'ORDER BY "shop_product"."status"'
    )
    assert found[8].text == 'SELECT count("labels"."id") FROM "labels"'


def test_a_statement_for_each_part() -> None:
    code = """
def view(request):
    tag, new = Tag.objects.update_or_create(name="a", defaults={"name": "b"})
    for shop in Shop.objects.prefetch_related("products"):
        print(shop)
"""
    assert [tail(call) for call in sorted(calls(code), key=lambda call: (call.location, call.text))] == [
        'INSERT INTO "labels" ("name") VALUES ($1)',
        'FROM "labels" WHERE "labels"."name" = $1 LIMIT $2 FOR UPDATE',
        'UPDATE "labels" SET "name" = $1 WHERE "labels"."id" = $2',
        'FROM "shop_product" WHERE "shop_product"."shop_id" IN ($1)',
        'FROM "shop_shop"',
    ]


def test_querysets_in_variables_and_objects() -> None:
    code = """
def view(request, shop: Shop):
    rows = Tag.objects.filter(id=1)
    rows = rows.filter(name="x")
    if request.GET:
        rows = rows.order_by("name")
    for row in rows:
        print(row)
    tag = Tag.objects.get(id=1)
    tag.name = "y"
    tag.save(update_fields=["name"])
    other = Tag(name="z")
    other.save()
    shop.delete()
    image.save("x.png")
"""
    assert [(call.location.line, tail(call), call.partial) for call in calls(code)] == [
        (5, 'FROM "labels" WHERE "labels"."id" = $1 AND "labels"."name" = $2', ("order",)),
        (11, 'FROM "labels" WHERE "labels"."id" = $1 LIMIT $2', ()),
        (13, 'UPDATE "labels" SET "name" = $1 WHERE "labels"."id" = $2', ()),
        (15, 'INSERT INTO "labels" ("name") VALUES ($1)', ()),
        (16, 'DELETE FROM "shop_shop" WHERE "shop_shop"."id" = $1', ()),
    ]


def test_what_cannot_be_read_is_said() -> None:
    code = """
def view(request):
    a = Tag.objects.filter(**request.GET).count()
    b = Tag.objects.filter(name__sounds_like="x").count()
    c = Product.guarded.count()
    d = Tag.objects.published().count()
    return Tag.objects.filter(id=1)
"""
    found = {call.location.line: set(call.partial) for call in calls(code)}
    assert found[5] == {"where"}
    assert found[6] == {"where"}
    assert found[7] == {"where"}
    assert "where" in found[8]
    assert "where" in found[9]


def test_what_is_no_statement() -> None:
    code = """
def view(request):
    a = Tag.objects.none()
    b = Tag.objects.filter(id=1).union(Tag.objects.all())
    Tag.objects.filter(id=1)
    # Tag.objects.get(id=1)
    text = "Tag.objects.get(id=1)"
    c = Unknown.objects.get(id=1)
"""
    assert calls(code) == ()


@pytest.mark.parametrize(
    "code",
    [
        "Tag.objects.filter(" + "Q(" * 2_000 + ")" * 2_000 + ").count()",
        "Tag.objects" + ".filter(id=1)" * 2_000,
        "Tag.objects.filter(" + "__".join(["products"] * 500) + "=1).count()",
        "class A(A): objects = A()\nA.objects.get()",
        "from django.db import models\nclass A(B, models.Model):\n  x = models.ForeignKey('self')\nclass B(A): pass\n"
        "A.objects.get(x__x__x=1)",
        "Tag.objects.filter(" + "a=Count('id', filter=Q(" * 1_000 + "))" * 1_000 + ").count()",
        "Tag.objects.filter(id__in=" * 1_000 + "1" + ")" * 1_000 + ".count()",
        "Tag.objects.filter(" + "~" * 3_000 + "Q(id=1)).count()",
        "Tag.objects.filter(id=" + "(" * 3_000 + "1" + ")" * 3_000 + ").count()",
        "Tag.objects[",
    ],
)  # fmt: skip
def test_hostile_code_never_crashes(code: str) -> None:
    calls(code)


def test_rows_that_a_delete_of_their_own_keeps_are_updated() -> None:
    declared = """
        from django.db import models

        class Kept(models.QuerySet):
            def delete(self, soft=True):
                return self.update(deleted_at=timezone.now()) if soft else super().delete()

        class Keeping(models.Manager):
            def get_queryset(self):
                return Kept(self.model, using=self._db).filter(deleted_at__isnull=True)

        class Page(models.Model):
            title = models.CharField(max_length=40)
            deleted_at = models.DateTimeField(null=True)
            objects = Keeping()

            def delete(self, soft=True):
                self.deleted_at = timezone.now()
                self.save()
    """
    code = """
        from pages.models import Page

        def work(title):
            Page.objects.filter(title=title).delete()
            Page.objects.filter(title=title).delete(soft=False)
            page = Page.objects.get(id=1)
            page.delete()
            found = Page.objects.filter(title=title).values_list("id")
            found = [entry for entry in found]
            return found
    """
    _, calls = read({"pages/models.py": declared, "pages/views.py": code})
    texts = [tail(call) for call in calls]
    assert texts == [
        'UPDATE "pages_page" SET "deleted_at" = $1 WHERE "pages_page"."deleted_at" IS NULL AND "pages_page"."title" = $2',
        'FROM "pages_page" WHERE "pages_page"."deleted_at" IS NULL AND "pages_page"."id" = $1 LIMIT $2',
        'UPDATE "pages_page" SET "title" = $1, "deleted_at" = $2 WHERE "pages_page"."id" = $3',
        'FROM "pages_page" WHERE "pages_page"."deleted_at" IS NULL AND "pages_page"."title" = $1',
    ]


def test_an_entry_of_an_aggregate_is_no_slice() -> None:
    code = (
        "from shop.models import Tag\ndef work():\n    return Tag.objects.aggregate(longest=Max('name'))['longest']\n"
    )
    _, found = read({"shop/models.py": SHOP, "shop/views.py": code})
    assert [call.text for call in found] == ['SELECT max("labels"."name") FROM "labels"']
