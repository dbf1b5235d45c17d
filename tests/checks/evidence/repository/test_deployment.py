from __future__ import annotations

import pytest

from checks.evidence.repository.deployment import read_deployment
from checks.evidence.repository.files import SourceFile


def facts(path: str, text: str) -> list[tuple[str, str, int]]:
    found = read_deployment(SourceFile(path, text, path.rpartition(".")[2]))
    return [(fact.kind, fact.detail, fact.location.line) for fact in found]


COMPOSE = """services:
  db:
    image: "docker.io/pgvector/pgvector:0.8.2-pg${PG:-18}"
    command: postgres -c wal_level=logical -c log_min_duration_statement=500
  # image: postgres:9
  bouncer:
    image: edoburu/pgbouncer:1.24
    environment:
      POOL_MODE: transaction
      DB_PASSWORD: hunter2
  exporter:
    image: quay.io/prometheuscommunity/postgres-exporter:v0.17
  app:
    image: registry.example/postgres-app:1
    environment:
      - DB_POOL_SIZE=20
      - DATABASE_URL=postgresql://app:hunter2@db/app?connection_limit=7
  backup:
    image: prodrigestivill/postgres-backup-local:17
"""


def test_compose() -> None:
    found = facts("deploy/docker-compose.prod.yml", COMPOSE)
    assert found == [
        ("server_image", "pgvector:0.8.2-pg18", 3), ("setting", "wal_level = logical", 4),
        ("setting", "log_min_duration_statement = 500", 4), ("pooler", "pgbouncer:1.24", 7),
        ("pooler", "pool_mode = transaction", 9), ("metrics_agent", "postgres_exporter", 12),
        ("pool_size", "20 (DB_POOL_SIZE)", 16), ("pool_size", "7 (connection_limit)", 17),
        ("backup", "postgres-backup image", 19),
    ]  # fmt: skip
    assert "hunter2" not in str(found)


def test_terraform() -> None:
    text = 'resource "aws_db_instance" "postgres" {\n  backup_retention_period = 7\n  replicate_source_db = aws.x\n}\n'
    assert facts("infra/db.tf", text) == [
        ("backup", "backup_retention_period = 7", 2),
        ("standby", "replicate_source_db", 3),
    ]
    assert facts("infra/db.tf", "backup_retention_period = 0\n") == []


def test_alert_rules_are_those_on_postgresql() -> None:
    rules = "groups:\n- rules:\n  - alert: ReplicationLag\n    expr: pg_replication_lag > 30\n"
    assert facts("monitoring/rules.yml", rules) == [("alert_rules", "ReplicationLag", 3)]
    assert facts("monitoring/rules.yml", "- alert: HighCpu\n  expr: node_cpu > 1\n") == []


@pytest.mark.parametrize(
    ("path", "line", "expected"),
    [
        ("requirements.txt", "SQLAlchemy[asyncio]>=2.0", [("orm", "SQLAlchemy")]),
        ("pyproject.toml", '    "qdrant-client>=1.9",', [("vector_client", "Qdrant")]),
        ("pyproject.toml", 'alembic = "^1.13"', [("migrations", "Alembic")]),
        ("pyproject.toml", 'name = "qdrant-client"', []),
        ("package.json", '    "drizzle-orm": "^0.30.0",', [("orm", "Drizzle")]),
        ("package.json", '    "mongodb": "6.1.0",', [("document_store", "MongoDB")]),
        ("package.json", '    "prisma": "prisma generate",', []),
        ("requirements.txt", "# pinecone", []),
        ("requirements.txt", "pinecone-text-unrelated==1", []),
    ],
)
def test_dependencies(path: str, line: str, expected: list[tuple[str, str]]) -> None:
    assert [(kind, detail) for kind, detail, _ in facts(path, line)] == expected


@pytest.mark.parametrize(
    ("path", "code", "expected"),
    [
        (
            "app/db.py",
            "engine = create_engine(postgres_url, pool_size=20,\n max_overflow=5)",
            ["20 (pool_size)", "5 (max_overflow)"],
        ),
        ("src/db.ts", 'import { Pool } from "pg";\nnew Pool({ host, max: 12 })', ["12 (Pool max)"]),
        ("app/db.py", "from psycopg_pool import ConnectionPool\np = ConnectionPool(dsn, max_size=9)", ["9 (max_size)"]),
        ("app/cache.py", "cache = Cache(pool_size=20)", []),
        ("tests/test_db.py", "engine = create_engine('postgresql://', pool_size=20)", []),
    ],
)
def test_pools_in_code(path: str, code: str, expected: list[str]) -> None:
    assert [detail for kind, detail, _ in facts(path, code) if kind == "pool_size"] == expected


def test_sessions_settings_and_names_in_code() -> None:
    code = 'e = create_engine("postgresql://", connect_args={"application_name": "api", "options": "-c statement_timeout=5s"})\n'
    assert facts("app/db.py", code + 'text("SET hnsw.ef_search = 100")\n') == [
        ("setting", "statement_timeout = 5s", 1), ("setting", "hnsw.ef_search = 100", 2), ("application_name", "api", 1),
    ]  # fmt: skip


def test_a_value_that_code_computes_is_not_guessed() -> None:
    code = 'e = create_engine("postgresql://")\nopts = {"statement_timeout": str(limit)}\n'
    assert facts("app/db.py", code) == [("setting", "statement_timeout = (set at run time)", 2)]


def test_a_dump_in_continuous_integration_is_no_backup() -> None:
    assert facts(".github/workflows/test.yml", "run: pg_dump app > schema.sql\n") == []
    assert facts(".github/workflows/test.yml", "    image: postgres:18\n") == []
    assert facts("ops/backup.sh", "pg_dump --schema-only app\n") == []
    assert facts("ops/backup.sh", "pg_dump -Fc app | gzip\n") == [("backup", "pg_dump", 1)]


def test_tools_by_their_files() -> None:
    assert facts("api/alembic.ini", "[alembic]\n") == [("migrations", "Alembic", 1)]
    assert facts("prisma/schema.prisma", "") == [("orm", "Prisma", 1)]
