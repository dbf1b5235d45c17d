"""Memory, growth, input and output."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from checks.evidence.database.facts import (
    Catalog,
    Files,
    Host,
    IoUsage,
    Rates,
    Server,
    SlruUsage,
    TableRate,
)
from checks.evidence.evidence import Evidence
from checks.model import Outcome, Reason, Severity
from tests.checks.altered import aged, of_flavour, with_setting
from tests.checks.observability.test_vacuum import used
from tests.checks.survey import conclude, finding, names, survey
from tests.servers import Database

MEMORY, GROWTH, IO = "observability.memory-overcommit", "observability.growth", "observability.io-profile"
GB = 1024**3
Repository = Callable[[Mapping[str, str | bytes]], Path]

COMPOSE = """
services:
  api:
    image: example/api
    mem_limit: 128m
  db:
    image: pgvector/pgvector:pg18
    deploy:
      resources:
        limits:
          cpus: "2"
          memory: {memory}
        reservations:
          memory: 1M
  cache:
    image: redis:7
    mem_limit: 64m
"""


def with_host(evidence: Evidence, **told: object) -> Evidence:
    return msgspec.structs.replace(evidence, host=msgspec.structs.replace(evidence.get(Host), **told))


def test_memory_that_is_not_there(database: Database, repository: Repository) -> None:
    small = survey(database, repository({"docker-compose.yml": COMPOSE.format(memory="512M")}))
    large = survey(database, repository({"docker-compose.yml": COMPOSE.format(memory="8G")}))

    assert conclude(small, MEMORY).outcome is Outcome.PASSED
    hungry = with_setting(small, "work_mem", "65536")
    (found,) = conclude(hungry, MEMORY).findings
    assert (found.subject.name, found.severity) == ("work_mem", Severity.MEDIUM)
    assert found.observed["memory_bytes"] == 512 * 1024**2
    assert found.locations[0].path == "docker-compose.yml"
    assert conclude(with_setting(large, "work_mem", "65536"), MEMORY).outcome is Outcome.PASSED
    (found,) = conclude(with_setting(small, "shared_buffers", str(GB // 8192)), MEMORY).findings
    assert (found.subject.name, found.severity) == ("shared_buffers", Severity.HIGH)


def test_memory_that_nobody_tells(database: Database, repository: Repository) -> None:
    alone = conclude(survey(database), MEMORY)
    silent = conclude(survey(database, repository({"compose.yml": COMPOSE.format(memory="?")})), MEMORY)

    assert (alone.outcome, alone.reason) == (Outcome.UNKNOWN, Reason.REPO_NOT_GIVEN)
    assert (silent.outcome, silent.reason) == (Outcome.UNKNOWN, Reason.NEEDS_ANSWER)
    assert conclude(of_flavour(survey(database), "rds"), MEMORY).outcome is Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("path", "text", "memory"),
    [
        ("terraform/db.tf", 'resource "aws_db_instance" "a" {\n  instance_class = "db.t4g.micro"\n}\n', GB),
        ("terraform/db.tf", 'resource "aws_db_instance" "a" {\n  instance_class = "db.r6g.2xlarge"\n}\n', 64 * GB),
        (
            "terraform/db.tf",
            'resource "google_sql_database_instance" "a" {\n  tier = "db-custom-2-7680"\n}\n',
            7680 * 1024**2,
        ),
        (
            "k8s/postgres.yaml",
            "kind: StatefulSet\nspec:\n  template:\n    spec:\n      containers:\n"
            "        - name: postgres\n          image: postgres:17\n          resources:\n            limits:\n"
            "              memory: 4Gi\n"
            "        - name: exporter\n          image: example/exporter\n          resources:\n            limits:\n"
            "              memory: 128Mi\n",
            4 * GB,
        ),
        (
            "k8s/cluster.yaml",
            "apiVersion: postgresql.cnpg.io/v1\nkind: Cluster\nspec:\n  resources:\n    limits:\n      memory: 2Gi\n",
            2 * GB,
        ),
        ("compose.yml", "services:\n  db:\n    mem_limit: 1g\n    image: postgres:17\n", GB),
    ],
)
def test_what_tells_of_memory(database: Database, repository: Repository, path: str, text: str, memory: int) -> None:
    evidence = with_setting(survey(database, repository({path: text})), "work_mem", str(64 * 1024**2))

    (found,) = conclude(evidence, MEMORY).findings

    assert found.observed["memory_bytes"] == memory


def test_tables_that_grow(database: Database) -> None:
    database.execute(
        "CREATE TABLE events (id int PRIMARY KEY, at timestamptz); CREATE TABLE loaded (id int PRIMARY KEY);"
        "CREATE TABLE calm (id int PRIMARY KEY); CREATE TABLE emptied (id int PRIMARY KEY);"
        "CREATE TABLE parted (id int, day date) PARTITION BY RANGE (day);"
        "INSERT INTO events SELECT g, now() FROM generate_series(1, 10000) g;"
        "INSERT INTO loaded SELECT generate_series(1, 10000); INSERT INTO calm SELECT generate_series(1, 10000);"
        "INSERT INTO emptied SELECT generate_series(1, 100)",
        "ANALYZE",
    )
    evidence = used(
        aged(survey(database, limits={"growth_bytes_per_day": 1_000}), 30),
        events={"inserted": 4_000, "deleted": 10},
        loaded={"inserted": 10_000},
        calm={"inserted": 3_000, "deleted": 2_990},
        emptied={"inserted": 90_000},
    )

    result = conclude(evidence, GROWTH)

    assert names(result) == {"public.events"}
    found = finding(result, "public.events")
    assert found.severity is Severity.LOW
    assert 70 < found.observed["doubles_in_days"] < 80
    loaded = evidence.get(Catalog).table_by_name["public", "loaded"].oid
    watched = msgspec.structs.replace(evidence, rates=Rates(5.0, tables=(TableRate(loaded, 0.004, 0, 0, 0),)))
    assert names(conclude(watched, GROWTH)) == {"public.events", "public.loaded"}


def test_a_log_that_grows(database: Database) -> None:
    database.execute("CREATE TABLE t (id int)")
    evidence = aged(survey(database), 30)
    now = evidence.get(Server).observed_at
    much = Files(40, 70 * GB, now - dt.timedelta(days=7), now)

    assert names(conclude(with_host(evidence, log=much), GROWTH)) == {"log_min_duration_statement"}
    little = Files(7, 7 * GB, now - dt.timedelta(days=7), now)
    assert conclude(with_host(evidence, log=little), GROWTH).outcome is Outcome.PASSED


def test_who_reads_and_writes(database: Database) -> None:
    evidence = aged(survey(database, limits={"window_days": 0}), 10)
    assert conclude(evidence, IO).findings == ()

    def io(*rows: IoUsage, slru: tuple[SlruUsage, ...] = ()) -> Evidence:
        return with_host(evidence, io=rows, slru=slru)

    million = 1_000_000
    by_sessions = IoUsage("client backend", "relation", "normal", writes=90 * million)
    by_checkpoints = IoUsage("checkpointer", "relation", "normal", writes=20 * million)
    bulk = IoUsage("client backend", "relation", "bulkwrite", writes=900 * million)
    (found,) = conclude(io(by_sessions, by_checkpoints, bulk), IO).findings
    assert (found.subject.name, found.observed["share"]) == ("bgwriter_lru_maxpages", 0.8182)
    assert conclude(io(by_checkpoints, bulk), IO).outcome is Outcome.PASSED

    savepoints = SlruUsage("subtransaction", 10, 9 * million)
    commits = SlruUsage("transaction", 10, 9 * million)
    (found,) = conclude(io(slru=(savepoints, commits)), IO).findings
    assert found.subject.name == "subtransaction_buffers"
    assert (found.fix.sql is not None) == (database.major >= 17)
    old = conclude(with_host(evidence, io=None, slru=()), IO)
    assert (old.outcome, old.examined, old.of) == (Outcome.UNKNOWN, 3, 4)


def test_a_server_that_tells(database: Database) -> None:
    database.execute("CREATE TABLE t AS SELECT generate_series(1, 10000) AS id")

    host = survey(database).get(Host)

    assert (host.io is not None) == (database.major >= 16)
    assert host.wal is not None
    assert host.wal.files > 0
    assert host.log is None
    assert {entry.name for entry in host.slru} >= {"transaction"}
