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
        ("provider", "Amazon RDS", 1),
    ]
    assert facts("infra/db.tf", "backup_retention_period = 0\n") == []


def test_alert_rules_are_those_on_postgresql() -> None:
    rules = "groups:\n- rules:\n  - alert: ReplicationLag\n    expr: pg_replication_lag > 30\n"
    assert facts("monitoring/rules.yml", rules) == [
        ("alert_rules", "ReplicationLag", 3),
        ("alert_topic", "lag", 3),
    ]
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
        ("go.mod", "\tgorm.io/gorm v1.25.7", [("orm", "GORM")]),
        ("go.mod", "require github.com/jackc/pgx/v5 v5.5.0", [("orm", "pgx")]),
        ("go.mod", "\tgithub.com/golang-migrate/migrate/v4 v4.17.0 // indirect", []),
        ("Gemfile", "gem 'rails', '~> 7.1'", [("orm", "ActiveRecord"), ("migrations", "Rails migrations")]),
        ("Gemfile", "# gem 'sequel'", []),
        ("server/Cargo.toml", 'diesel = { version = "2.1", features = ["postgres"] }', [("orm", "Diesel")]),
        ("Cargo.toml", "sqlx.workspace = true", [("orm", "sqlx")]),
        ("Cargo.toml", 'name = "sqlx"', []),
        ("composer.json", '        "doctrine/orm": "^2.14",', [("orm", "Doctrine")]),
        ("src/Api.csproj", '    <PackageReference Include="Dapper" Version="2.1" />', [("orm", "Dapper")]),
        (
            "Directory.Packages.props",
            '<PackageVersion Include="Npgsql.OpenTelemetry" Version="8" />',
            [("tracing", "OpenTelemetry")],
        ),
        ("pom.xml", "      <artifactId>flyway-core</artifactId>", [("migrations", "Flyway")]),
        ("build.gradle.kts", 'implementation("org.jooq:jooq:3.19.0")', [("orm", "jOOQ")]),
        ("build.gradle", "    implementation 'org.liquibase:liquibase-core'", [("migrations", "Liquibase")]),
        ("build.gradle", "    // implementation 'org.jooq:jooq'", []),
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


def test_settings_given_as_pairs_of_name_and_value() -> None:
    code = """e = create_engine("postgresql://")
kept = [("statement_timeout", f"{seconds}s"), ("lock_timeout", '5s')]
text("SELECT set_config('idle_in_transaction_session_timeout', '60000', false)")
shown = ["statement_timeout", "lock_timeout", "transaction_timeout"]
"""
    assert facts("app/db.py", code) == [
        ("setting", "statement_timeout = (set at run time)", 2),
        ("setting", "lock_timeout = 5s", 2),
        ("setting", "idle_in_transaction_session_timeout = 60000", 3),
    ]
    handed_on = 'settings.append(("statement_timeout", f"{limit}s"))\nshown = {"lock_timeout": 5}\n'
    assert facts("app/engine.py", handed_on) == [("setting", "statement_timeout = (set at run time)", 1)]


def test_a_dump_in_continuous_integration_is_no_backup() -> None:
    assert facts(".github/workflows/test.yml", "run: pg_dump app > schema.sql\n") == []
    assert facts(".github/workflows/test.yml", "    image: postgres:18\n") == []
    assert facts("ops/backup.sh", "pg_dump --schema-only app\n") == []
    assert facts("ops/backup.sh", "pg_dump -Fc app | gzip\n") == [("backup", "pg_dump", 1)]


def test_tools_by_their_files() -> None:
    assert facts("api/alembic.ini", "[alembic]\n") == [("migrations", "Alembic", 1)]
    assert facts("prisma/schema.prisma", "") == [("orm", "Prisma", 1)]


CLUSTER = """apiVersion: postgresql.cnpg.io/v1
kind: Cluster
spec:
  instances: 3
  imageName: ghcr.io/cloudnative-pg/postgresql:17.5
  postgresql:
    parameters:
      shared_buffers: "4GB"
      max_slot_wal_keep_size: 10GB
  backup:
    retentionPolicy: "30d"
    barmanObjectStore:
      destinationPath: s3://backups
---
kind: Pooler
spec:
  pgbouncer:
    poolMode: transaction
"""


def test_kubernetes_operator() -> None:
    assert facts("deploy/k8s/cluster.yaml", CLUSTER) == [
        ("pooler", "pool_mode = transaction", 18),
        ("provider", "CloudNativePG", 1),
        ("high_availability", "3 instances", 4),
        ("standby", "2 of 3 instances", 4),
        ("server_image", "postgresql:17.5", 5),
        ("setting", "shared_buffers = 4GB", 8),
        ("setting", "max_slot_wal_keep_size = 10GB", 9),
        ("backup", "retentionPolicy = 30d", 11),
        ("backup", "Barman (CloudNativePG)", 12),
        ("pooler", "CloudNativePG pooler", 15),
    ]


RDS = """resource "aws_db_instance" "main" {
  engine         = "postgres"
  engine_version = "16.4"
  multi_az       = true
  username       = "app"
  password       = "kL9-vX2_qR7"
}
resource "aws_db_parameter_group" "main" {
  family = "postgres16"
  parameter {
    name  = "log_min_duration_statement"
    value = "500"
  }
}
resource "aws_db_proxy" "main" {}
resource "aws_cloudwatch_metric_alarm" "disk" {
  namespace   = "AWS/RDS"
  metric_name = "FreeStorageSpace"
}
resource "aws_cloudwatch_metric_alarm" "cpu" {
  namespace   = "AWS/EC2"
  metric_name = "CPUUtilization"
}
"""


def test_what_terraform_says_over_several_lines() -> None:
    found = facts("infra/main.tf", RDS)
    assert found == [
        ("provider", "Amazon RDS", 1),
        ("server_version", "16.4", 3),
        ("high_availability", "Multi-AZ", 4),
        ("setting", "log_min_duration_statement = 500", 11),
        ("pooler", "RDS Proxy", 15),
        ("alert_rules", "FreeStorageSpace", 16),
        ("alert_topic", "disk", 16),
        ("secret", "password of a database resource", 6),
    ]
    assert "kL9" not in str(found)


def test_infrastructure_written_as_a_program() -> None:
    code = """import * as rds from "aws-cdk-lib/aws-rds";
new rds.DatabaseInstance(this, "db", {
  engine: rds.DatabaseInstanceEngine.postgres({ version: rds.PostgresEngineVersion.VER_16 }),
  multiAz: true,
  backupRetention: Duration.days(14),
});
"""
    assert facts("cdk/lib/stack.ts", code) == [
        ("provider", "Amazon RDS", 2), ("high_availability", "Multi-AZ", 4), ("backup", "retention days = 14", 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "Procfile",
            "web: gunicorn app:app --workers 4\n",
            [("platform", "Heroku", 1), ("processes", "4 (gunicorn workers)", 1)],
        ),
        ("fly.toml", "min_machines_running = 2\n", [("platform", "Fly.io", 1), ("processes", "2 (replicas)", 1)]),
        ("vercel.json", "{}", [("platform", "Vercel", 1)]),
        (
            "render.yaml",
            "databases:\n- name: postgres\n  highAvailability:\n    enabled: true\n",
            [("platform", "Render", 1), ("high_availability", "high availability", 3)],
        ),
        (
            "docker-compose.yml",
            "services:\n  api:\n    command: uvicorn a:b --workers 4\n    deploy:\n      replicas: 2\n",
            [("processes", "4 (uvicorn workers)", 3), ("processes", "2 (replicas)", 5)],
        ),
        (
            ".env.example",
            "DATABASE_URL=postgresql://u:p@x-pooler.eu-1.aws.neon.tech/app\n",
            [("pooler", "Neon pooler", 1), ("provider", "Neon", 1)],
        ),
        (
            ".env.example",
            "DATABASE_URL=postgres://postgres.x:[PASSWORD]@aws-0.pooler.supabase.com:6543/postgres\n",
            [("pooler", "Supavisor, pool_mode = transaction", 1), ("provider", "Supabase", 1)],
        ),
    ],
)
def test_platforms_processes_and_poolers(path: str, text: str, expected: list[tuple[str, str, int]]) -> None:
    assert sorted(facts(path, text)) == sorted(expected)


def test_what_alert_rules_cover() -> None:
    rules = "\n".join(
        f"- alert: {name}\n  expr: {expression}"
        for name, expression in {
            "Full": "sum(pg_stat_activity_count) > 0.8 * pg_settings_max_connections",
            "Wraparound": "pg_database_xid_age > 1e9",
            "Slots": "pg_replication_slots_pg_wal_lsn_diff > 1e10",
            "Old": "time() - pgbackrest_backup_last_full > 86400",
            "Long": "pg_stat_activity_max_tx_duration > 600",
            "Cpu": "node_cpu_seconds_total > 1",
        }.items()
    )
    found = facts("monitoring/rules.yml", rules)
    assert {(detail, line) for kind, detail, line in found if kind == "alert_topic"} == {
        ("saturation", 1), ("wraparound", 3), ("slots", 5), ("backup age", 7), ("long transactions", 9),
    }  # fmt: skip


def test_steps_that_lint_migrations_or_look_at_plans() -> None:
    steps = ["- run: squawk migrations/*.sql", "# - run: atlas migrate lint", "- run: alembic upgrade head"]
    text = "\n".join(["jobs:", "  a:", "    steps:", *(f"    {step}" for step in steps)])
    assert facts(".github/workflows/ci.yml", text) == [("migration_lint", "squawk", 4), ("migration_run", "Alembic", 6)]
    assert facts(".gitlab-ci.yml", "a:\n  script: pg_prove test/*.sql\n") == [("plan_test", "pgTAP", 2)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("DATABASE_URL=postgresql://app:kL9-vX2_qR7@db.internal.acme.io/app", True),
        ("POSTGRES_PASSWORD=kL9-vX2_qR7", True),
        ("POSTGRES_PASSWORD=${POSTGRES_PASSWORD:-postgres}", False),
        ("POSTGRES_PASSWORD=postgres", False),
        ("DATABASE_URL=postgresql://app:change-me@db:5432/app", False),
        ("DATABASE_URL=postgresql://app:kL9-vX2_qR7@localhost/app", False),
        ("DB_PASSWORD=your-password-here", False),
        ("# POSTGRES_PASSWORD=kL9-vX2_qR7", False),
        ("DB_PASSWORD_FILE=/run/secrets/db", False),
    ],
)
def test_only_that_there_is_a_secret_is_kept(line: str, found: bool) -> None:
    kept = facts("deploy/.env", line + "\n")
    assert [kind for kind, _, _ in kept if kind == "secret"] == (["secret"] if found else [])
    assert "kL9" not in str(kept)
