from __future__ import annotations

import time

import pytest

from checks.evidence.repository.deployment import read_deployment
from checks.evidence.repository.files import SourceFile
from tests.checks.evidence.repository.behaviour.behaviours import behaviours

QUERY = 'cur.execute("SELECT a FROM t WHERE id = %s", (x,))'
SCRIPT = 'await pool.query("SELECT a FROM t WHERE id = $1", [x]);'


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (
            "a.py",
            "def f(cur, xs):\n" + "".join(f"{' ' * (n + 1)}for x in xs:\n" for n in range(400)) + " " * 401 + QUERY,
        ),
        (
            "a.py",
            "\n".join(
                f"def f{n}(cur, xs):\n    for x in xs:\n        {QUERY}\n        f{n + 1}(cur, xs)\n"
                for n in range(1_500)
            ),
        ),
        ("a.py", "def f(cur, xs):\n    for x in xs:\n" + f"        {QUERY}\n" * 3_000),
        ("a.py", "def f(cur, xs):\n    x = " + "(" * 5_000 + QUERY),
        ("a.py", "cur.execute(" * 3_000 + '"SELECT a FROM t"'),
        ("a.ts", "xs.map((x) => " * 1_500 + SCRIPT),
        ("a.ts", "export async function f(xs) {\n" + "for (const x of xs) {" * 1_000 + SCRIPT),
        ("a.ts", "await prisma.$transaction(async (tx) => {" * 800 + "fetch(u);" + SCRIPT),
        ("a.ts", "if (a) {" * 3_000 + SCRIPT),
        ("a.ts", "`SELECT ${" * 3_000),
        ("a.py", "\x00\ufffd" * 1_000 + QUERY),
        ("a.py", "x = '" + "text-embedding-3-small" * 5_000 + "'"),
        ("a.py", "from pinecone import Pinecone\n" + "index.query(" * 2_000),
        ("a.ts", "import {" + "a," * 50_000 + "} from 'langchain'"),
    ],
    ids=range(14),
)
def test_hostile_code_never_crashes_or_hangs(path: str, code: str) -> None:
    started = time.process_time()
    behaviours({f"app/{path}": code})
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("infra/a.tf", 'resource "aws_db_instance" {\n' + "name = \"work_mem\"\n" * 20_000),
        ("monitoring/a.yml", "- alert: a\n  expr: pg_up\n" * 10_000),
        (".env", "DATABASE_URL=postgres://" + "a:" * 50_000 + "@x"),
        ("k8s/a.yaml", "postgres: " + " " * 1_900 + "\n" * 10_000),
        (".github/workflows/a.yml", "run: prisma migrate diff " + "x " * 900 + "\n" + "flyway " * 200),
        ("docker-compose.yml", "gunicorn " * 200 + "\n" + "celery -" * 200),
    ],
    ids=range(6),
)  # fmt: skip
def test_hostile_deployment_files_never_hang(path: str, text: str) -> None:
    started = time.process_time()
    read_deployment(SourceFile(path, text, path.rpartition(".")[2]))
    assert time.process_time() - started < 5
