"""Reads generated repositories of mixed code: time and memory without and with what an earlier review kept."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

READ = """
import sys
from pathlib import Path
from checks.evidence.repository.cache import Cache
from checks.evidence.repository.observe import observe_repository
root, kept = map(Path, sys.argv[1:])
found = observe_repository(root, cache=Cache(root, kept))
print(found.lines, len(found.statements), len(found.models), len(found.calls), len(found.behaviours))
"""
TABLES = 60

# By path, what each file begins with, a function that asks the database, and one that does something else.
LANGUAGES: dict[str, tuple[str, str, str]] = {
    "py/service_{n}.py": (
        "from sqlalchemy import select, text\nfrom py.models import Item{t}\n\n\n",
        "def load_{i}(session, owner):\n"
        "    found = session.execute(select(Item{t}).where(Item{t}.owner_id == owner).order_by(Item{t}.id).limit(20)).scalars()\n"
        '    session.execute(text("UPDATE items_{t} SET name = :name WHERE id = :id"), {{"name": "x", "id": owner}})\n'
        "    return found\n\n\n",
        "def shape_{i}(values, factor=2):\n    result = []\n    for value in values:\n        if value % factor == 0:\n"
        '            result.append({{"value": value, "twice": value * 2}})\n        else:\n            result.append(None)\n'
        "    return [entry for entry in result if entry is not None]\n\n\n",
    ),
    "ts/service_{n}.ts": (
        'import {{ eq }} from "drizzle-orm";\nimport {{ items{t} }} from "./schema";\n\n',
        "export async function load{i}(db: Database, owner: number) {{\n"
        "  const found = await db.select().from(items{t}).where(eq(items{t}.ownerId, owner)).limit(20);\n"
        "  await db.execute(sql`DELETE FROM items_{t} WHERE id = ${{owner}}`);\n  return found;\n}}\n\n",
        "export function shape{i}(values: number[], factor = 2): Shape[] {{\n  const result: Shape[] = [];\n"
        "  for (const value of values) {{\n    if (value % factor === 0) {{\n"
        "      result.push({{ value, twice: value * 2 }});\n"
        "    }}\n  }}\n  return result.filter((entry) => entry.value > 0);\n}}\n\n",
    ),
    "go/service_{n}.go": (
        'package service\n\nimport "gorm.io/gorm"\n\n',
        "func Load{i}(db *gorm.DB, owner int64) ([]Item{t}, error) {{\n\tvar found []Item{t}\n"
        '\terr := db.Where("owner_id = ?", owner).Order("id desc").Limit(20).Find(&found).Error\n'
        '\tdb.Exec("UPDATE items_{t} SET name = $1 WHERE id = $2", "x", owner)\n\treturn found, err\n}}\n\n',
        "func shape{i}(values []int, factor int) []int {{\n\tresult := make([]int, 0, len(values))\n"
        "\tfor _, value := range values {{\n\t\tif value%factor == 0 {{\n\t\t\tresult = append(result, value*2)\n\t\t}}\n\t}}\n"
        "\treturn result\n}}\n\n",
    ),
    "rb/app/models/service_{n}.rb": (
        "class Service{n}\n",
        "  def load_{i}(owner)\n    found = Item{t}.where(owner_id: owner).order(:id).limit(20).to_a\n"
        '    Item{t}.find_by_sql(["SELECT id FROM items_{t} WHERE name = ?", owner])\n    found\n  end\n\n',
        "  def shape_{i}(values, factor = 2)\n    result = []\n    values.each do |value|\n"
        "      next unless (value % factor).zero?\n"
        "      result << {{ value: value, twice: value * 2 }}\n    end\n    result.compact\n  end\n\n",
    ),
    "rs/service_{n}.rs": (
        "use crate::schema::items_{t};\nuse diesel::prelude::*;\n\n",
        "pub fn load_{i}(conn: &mut PgConnection, owner: i64) -> QueryResult<Vec<i64>> {{\n"
        "    items_{t}::table.filter(items_{t}::owner_id.eq(owner)).order(items_{t}::id.desc())\n"
        "        .select(items_{t}::id).limit(20).load(conn)\n"
        "}}\n\n",
        "fn shape_{i}(values: &[i64], factor: i64) -> Vec<i64> {{\n    let mut result = Vec::with_capacity(values.len());\n"
        "    for value in values {{\n        if value % factor == 0 {{\n            result.push(value * 2);\n"
        "        }}\n    }}\n    result\n}}\n\n",
    ),
    "java/Service{n}.java": (
        "class Service{n} {{\n",
        "    List<Long> load{i}(long owner) {{\n"
        '        return jdbc.query("SELECT id FROM items_{t} WHERE owner_id = ? " +\n'
        '            "ORDER BY id LIMIT 20", mapper, owner);\n    }}\n\n',
        "    List<Integer> shape{i}(List<Integer> values, int factor) {{\n        List<Integer> result = new ArrayList<>();\n"
        "        for (int value : values) {{\n            if (value % factor == 0) {{\n                result.add(value * 2);\n"
        "            }}\n        }}\n        return result;\n    }}\n\n",
    ),
}


def generate(root: Path, lines: int) -> None:
    """Writes about so many lines: an eighth of the functions ask the database."""
    numbers = range(TABLES)
    files = {
        "py/models.py": "from sqlalchemy import Column, Integer, String\n"
        + "".join(
            f"class Item{n}(Base):\n    __tablename__ = 'items_{n}'\n    id = Column(Integer, primary_key=True)\n"
            "    owner_id = Column(Integer)\n    name = Column(String(80))\n"
            for n in numbers
        ),
        "ts/schema.ts": 'import { pgTable, integer, text } from "drizzle-orm/pg-core";\n'
        + "".join(
            f'export const items{n} = pgTable("items_{n}", {{ id: integer("id").primaryKey(), ownerId: integer("owner_id") }});\n'
            for n in numbers
        ),
        "go/models.go": 'package service\nimport "gorm.io/gorm"\n'
        + "".join(
            f'type Item{n} struct {{\n\tID int64 `gorm:"primaryKey"`\n\tOwnerID int64\n\tName string\n}}\n'
            for n in numbers
        ),
        "rb/db/schema.rb": "".join(
            f'create_table "items_{n}" do |t|\n  t.bigint "owner_id"\n  t.string "name"\nend\n' for n in numbers
        ),
        "rb/app/models/items.rb": "".join(
            f'class Item{n} < ApplicationRecord\n  self.table_name = "items_{n}"\nend\n' for n in numbers
        ),
        "rs/schema.rs": "".join(
            f"diesel::table! {{\n    items_{n} (id) {{\n        id -> Int8,\n        owner_id -> Int8,\n    }}\n}}\n"
            for n in numbers
        ),
        "migrations/0001_init.sql": "".join(
            f"CREATE TABLE items_{n} (id bigint PRIMARY KEY, owner_id bigint, name text);\n" for n in numbers
        ),
    }
    written = sum(text.count("\n") for text in files.values())
    number = 0
    while written < lines:
        for path, (head, asks, shapes) in LANGUAGES.items():
            names = {"n": number, "t": number % TABLES}
            body = [(shapes if i % 8 else asks).format(i=i, **names) for i in range(number % 24 + 12)]
            end = {"rb": "end\n", "java": "}\n"}.get(path.partition("/")[0], "")
            text = head.format(**names) + "".join(body) + end
            files[f"part_{number % 40}/{path.format(n=number)}"] = text
            written += text.count("\n")
        number += 1
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True)


def measure_repository(
    sizes: Sequence[int],
    cost: Callable[[Sequence[str]], Any],
    say: Callable[..., None],
    mebibytes: Callable[[int], str],
) -> None:
    """Says what reading a repository of so many lines takes, without a cache, with one, and with one file changed."""
    for lines in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root, kept = Path(folder, "code"), Path(folder, "cache")
            root.mkdir()
            generate(root, lines)
            command = [sys.executable, "-c", READ, str(root), str(kept)]
            say(f"{lines:,} lines of mixed code")
            for what in ("  for the first time", "  again", "  again, one file changed"):
                if what.endswith("changed"):
                    changed = next(root.glob("part_0/py/*.py"))
                    changed.write_text(changed.read_text() + "\n")
                spent = cost(command)
                assert spent.status == 0, f"exit status {spent.status}"
                say(what, f"{spent.seconds:.1f} s", mebibytes(spent.peak_bytes))
            say("  kept", mebibytes(sum(path.stat().st_size for path in kept.iterdir())))
