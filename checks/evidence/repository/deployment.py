"""What deployment files, dependency lists and connection code say of the database and of what stands around it.

Read line by line, by keys that mean one thing only: a fact that is not certain is left out. No value that could be a secret
is kept: only names, numbers and image tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.alerts import alerts_of
from checks.evidence.repository.facts import DeploymentFact
from checks.evidence.repository.files import SourceFile, is_test
from checks.evidence.repository.infrastructure import infrastructure_of, is_infrastructure_code, platform_of
from checks.evidence.repository.packages import NODE_PACKAGES, PYTHON_PACKAGES, is_manifest, packages_of
from checks.evidence.repository.pipelines import PIPELINE, is_switched_off, pipeline_of, processes_of, query_tests_of
from checks.evidence.repository.placement import is_host_based_access, placement_of
from checks.evidence.repository.secrets import secrets_of
from checks.model import Location

_MAXIMUM_CHARACTERS = 400_000
_MAXIMUM_PER_FILE = 60

_DEPLOYMENT = re.compile(
    r"(?:^|/)(?:(?:docker-)?compose[^/]*\.ya?ml|[^/]*Dockerfile[^/]*|Containerfile|Procfile|fly\.toml|render\.ya?ml"
    r"|railway\.(?:toml|json)|vercel\.json|netlify\.toml|wrangler\.(?:toml|jsonc?)|serverless\.ya?ml|[^/]*\.(?:tf|tfvars|hcl)|crontab|[^/]*\.env(?:\.[^/]*)?|pgbouncer\.ini|pgcat\.toml|odyssey\.conf"
    r"|postgresql[^/]*\.conf|values[^/]*\.ya?ml)$"
    r"|(?:^|/)(?:k8s|kubernetes|helm|charts?|manifests?|deploy(?:ment)?s?|infra(?:structure)?|terraform|ops|cron(?:tab|jobs?)?"
    r"|monitoring|prometheus|grafana|alerts?|alertmanager|backups?|\.github/workflows|ansible|pulumi|cdk)"
    r"/.*\.(?:ya?ml|json|toml|conf|ini|sh|tf|tpl|cron)$",
    re.IGNORECASE,
)
_DEPENDENCIES = re.compile(
    r"(?:^|/)(?:requirements[^/]*\.(?:txt|in)|requirements/[^/]*\.txt|pyproject\.toml|Pipfile|setup\.(?:py|cfg)|package\.json"
    r"|environment\.ya?ml)$",
    re.IGNORECASE,
)
_CODE = frozenset(["py", "ts", "tsx", "js", "mjs", "cjs", "mts"])
_DRIVERS = (
    "postgres",
    "psycopg",
    "asyncpg",
    "sqlalchemy",
    "pg.Pool",
    "from 'pg'",
    'from "pg"',
    "require('pg')",
    'require("pg")',
)
_CODE_HINT = re.compile(
    r"create_(?:async_)?engine|pool_size|max_overflow|ConnectionPool|create_pool|new (?:pg\.)?Pool\b|postgres\("
    r"|application_?name|sqlcommenter|_timeout\b|hnsw\.|ivfflat\.",
    re.IGNORECASE,
)
_IMAGE = re.compile(
    r"""^\s*(?:-\s*)?(?:image|FROM)\s*:?\s+["']?((?:[\w.-]+(?::\d+)?/)*([\w.-]+)(?::([\w.${}:-]+))?)""", re.IGNORECASE
)
_DEFAULT = re.compile(r"\$\{\w+:?-([\w.-]*)\}")
_OTHER_SERVICES = re.compile(
    r"(?:^|/)examples?/|postgres|redis|valkey|clickhouse|minio|kafka|rabbit|exporter|pgbouncer|prometheus|grafana",
    re.IGNORECASE,
)
_SERVERS = frozenset(
    "postgres postgresql postgis pgvector timescaledb timescaledb-ha supabase-postgres postgresql-repmgr spilo cloudnative-pg "
    "paradedb pgvecto-rs".split()
)
_POOLERS = frozenset("pgbouncer pgcat odyssey supavisor pgpool pgbouncer-exporter".split())
_POOL_MODE = re.compile(
    r"""\b(?:pool_mode|POOL_MODE|PGBOUNCER_POOL_MODE|poolMode|pooler_mode)\b["']?\s*[:=]\s*["']?(session|transaction|statement)\b"""
)
_POOLER_TIMEOUT = re.compile(
    r"""^\s*(?:-\s*)?["']?(?:PGBOUNCER_)?(server_idle_timeout|client_idle_timeout|idle_transaction_timeout)["']?\s*[:=]"""
    r"""\s*["']?(\d{1,7})\b""",
    re.IGNORECASE,
)
_BACKUP_WORDS = {
    "wal-g": re.compile(r"\bwal-g\b", re.IGNORECASE),
    "pgBackRest": re.compile(r"\bpgbackrest\b", re.IGNORECASE),
    "Barman": re.compile(r"\bbarman(?:-cloud[\w-]*)?\b", re.IGNORECASE),
    "WAL-E": re.compile(r"\bwal-e\b", re.IGNORECASE),
    "pg_dump": re.compile(r"\bpg_dump(?:all)?\b(?!\.)(?!.*(?:--schema-only|\s-s\b))"),
    "pg_basebackup": re.compile(r"\bpg_basebackup\b"),
    "postgres-backup image": re.compile(r"\bpostgres-backup[\w-]*\b"),
}
# Copying the files of a server that runs gives no state that it could start from.
COPY_OF_FILES = "copy of the data folder"
_COPY_OF_FILES = re.compile(
    r"""\bbackup\w*\b.*/var/lib/postgresql/data|\b(?:tar|rsync|cp)\b.*(?:/var/lib/postgresql/data|\bpgdata\b).*(?:backup|\.tar|\.tgz)""",
    re.IGNORECASE,
)
_RETENTION = re.compile(
    r"""\b(backup_retention_period|backup_retention_days|backupRetentionPeriod|backupRetentionDays|retained_backups"""
    r"""|point_in_time_recovery_enabled|pointInTimeRecoveryEnabled|transaction_log_retention_days|preferred_backup_window)\b"""
    r"""["']?\s*[:=]\s*["']?([\w:.-]+)"""
)
_STANDBY = re.compile(
    r"""\b(replicate_source_db|read_replica_\w+|primary_conninfo|readReplicas|POSTGRESQL_REPLICATION_MODE)\b["']?\s*[:=]"""
)
_AGENTS = {
    "postgres_exporter": re.compile(r"\b(?:postgres[_-]exporter|crunchy-postgres-exporter)\b"),
    "pgwatch": re.compile(r"\bpgwatch[23]?\b"),
    "pganalyze": re.compile(r"\bpganalyze\b"),
    "Datadog": re.compile(r"\bdatadog/agent\b|\bDD_(?:DBM\w*|AGENT_HOST)\b"),
    "pgMonitor": re.compile(r"\bpgmonitor\b"),
    "sql_exporter": re.compile(r"\bsql[_-]exporter\b"),
    "New Relic": re.compile(r"\bnri-postgresql\b"),
    "PMM": re.compile(r"\bpmm-client\b"),
    "Telegraf": re.compile(r"\binputs\.postgresql\b"),
}
_ALERT = re.compile(r"""^\s*-?\s*["']?alert["']?\s*:\s*["']?([\w .:/()%-]{1,80})""")
_POSTGRES = re.compile(r"\bpg_[a-z_]+|\bpostgres(?:ql)?\b|\bpgbouncer_", re.IGNORECASE)
_SERVER_SETTING = re.compile(
    r"""^\s*(?:-\s*)?(?:-c\s+)?["']?((?:(?:log|auto_explain|pg_stat_statements|track|max_wal|wal|archive|autovacuum|idle)_?[a-z_.]*"""
    r"""|shared_preload_libraries|statement_timeout|lock_timeout|shared_buffers|work_mem|max_connections|effective_cache_size"""
    r"""|synchronous_commit|random_page_cost|hot_standby|max_slot_wal_keep_size))"""
    r"""\s*=\s*["']?([\w.,/ -]{1,60}?)["']?\s*(?:#.*)?$"""
)
_SETTING_VALUE = re.compile(r"-?[\d.]+\s*[A-Za-z]{0,3}|[a-z]{1,8}(?:_[a-z]{1,8})?")
_COMMAND_SETTING = re.compile(r"-c\s+([a-z_.]+)=([\w.,/-]{1,60})")
_TIMEOUT_IN_CODE = re.compile(
    r"""\b(statement_timeout|lock_timeout|idle_in_transaction_session_timeout|transaction_timeout|hnsw\.ef_search"""
    r"""|hnsw\.iterative_scan|ivfflat\.probes)\b["']?\s*(?:=|:|\bTO\b)\s*["']?(\d{1,9}\s*(?:ms|s|min)?\b|relaxed_order|strict_order|off)?""",
    re.IGNORECASE,
)
# set_config('lock_timeout', '5s', true), and pairs of names and values.
_TIMEOUT_IN_PAIR = re.compile(
    r"""["'](statement_timeout|lock_timeout|idle_in_transaction_session_timeout|transaction_timeout)["']\s*,\s*"""
    r"""[f$]?["'`](?:(\d{1,9}\s*(?:ms|s|min)?)["'`]|[{$])""",
)
_POOL_IN_CODE = re.compile(r"""(?<![\w.])(pool_size|max_overflow|poolSize|maxPoolSize)\s*[=:]\s*(\d{1,5})\b""")
_POOL_OF_PSYCOPG = re.compile(r"(?:ConnectionPool|create_pool)\([^)]{0,400}?\b(max_size)\s*=\s*(\d{1,5})\b")
_POOL_IN_ENVIRONMENT = re.compile(
    r"""^\s*(?:-\s*)?["']?"""
    r"""((?:(?:[A-Z0-9]+_)*(?:DB|DATABASE|PG\w*|POSTGRES\w*|SQL\w*|CONNECTION|CONN|DEFAULT|PRISMA|PGBOUNCER)_)?"""
    r"""(?:POOL_SIZE|MAX_OVERFLOW|POOL_MAX|MAX_POOL_SIZE|CONNECTION_LIMIT|DB_MAX_CONNECTIONS))"""
    r"""["']?\s*[=:]\s*["']?(\d{1,5})\b"""
)
_CONNECTION_LIMIT = re.compile(r"postgres(?:ql)?(?:\+\w+)?://[^\s\"']*[?&]connection_limit=(\d{1,5})")
_PG_POOL = re.compile(
    r"\bnew\s+(?:pg\.)?Pool\(\s*\{(?P<body>[^}]{0,400})\}|(?<![\w.])postgres\([^)]{0,200}\{(?P<other>[^}]{0,400})\}"
)
_MAX = re.compile(r"\bmax\s*:\s*(\d{1,5})\b")
_APPLICATION_NAME = re.compile(
    r"""["']?\b(?:application_name|applicationName|fallback_application_name)\b["']?\s*[:=]\s*["']?([\w.-]{1,63})?"""
)
_COMMENTER = re.compile(r"sqlcommenter|sqlalchemy_commenter|enable_commenter|addSqlCommenterCommentToQueries")

_REQUIREMENT = re.compile(r"""^\s*["']?([A-Za-z0-9][\w.-]*)(?:\[[\w,.\s-]*\])?\s*["']?\s*(?:[=<>~!^;,"'(]|$)""")
_PACKAGE = re.compile(r"""^\s*"(@?[\w./-]+)"\s*:\s*"(?:[\^~<>=*\dv]|workspace:|catalog:|latest|npm:)""")
_MIGRATION_FILES = (
    (re.compile(r"(?:^|/)alembic\.ini$"), "Alembic"),
    (re.compile(r"(?:^|/)prisma/migrations/migration_lock\.toml$"), "Prisma Migrate"),
    (re.compile(r"(?:^|/)drizzle\.config\.[a-z]+$"), "Drizzle Kit"),
    (re.compile(r"(?:^|/)supabase/config\.toml$"), "Supabase CLI"),
    (re.compile(r"(?:^|/)(?:flyway\.(?:conf|toml))$"), "Flyway"),
    (re.compile(r"(?:^|/)(?:atlas\.hcl)$"), "Atlas"),
)


def read_deployment(file: SourceFile) -> list[DeploymentFact]:
    """The facts that the file tells, each kind and detail once, at its first line."""
    if len(file.text) > _MAXIMUM_CHARACTERS:
        return []
    found: dict[tuple[str, str], DeploymentFact] = {}
    for kind, detail, line in _facts(file):
        found.setdefault((kind, detail), DeploymentFact(kind, detail, Location(file.path, line)))
        if len(found) >= _MAXIMUM_PER_FILE:
            break
    return list(found.values())


def _facts(file: SourceFile) -> Iterator[tuple[str, str, int]]:
    for pattern, tool in _MIGRATION_FILES:
        if pattern.search(file.path):
            yield "migrations", tool, 1
    yield from platform_of(file)
    if PIPELINE.search(file.path):
        yield from pipeline_of(file)
    if _DEPENDENCIES.search(file.path):
        yield from _dependencies(file)
    elif is_manifest(file.path):
        yield from packages_of(file.path, file.text)
    elif _DEPLOYMENT.search(file.path):
        yield from _deployed(file)
        if ".github/" not in file.path:
            yield from infrastructure_of(file)
            yield from placement_of(file)
            yield from alerts_of(file)
            yield from secrets_of(file)
    elif is_host_based_access(file.path):
        yield from placement_of(file)
    elif is_infrastructure_code(file):
        yield from infrastructure_of(file)
        yield from alerts_of(file)
    elif file.extension in _CODE and not is_test(file.path):
        yield from _in_code(file) if _connects(file.text) else _given_to_sessions(file)
    elif file.extension == "prisma":
        yield "orm", "Prisma", 1
    elif is_test(file.path):
        yield from query_tests_of(file)


def _connects(text: str) -> bool:
    return any(word in text for word in _DRIVERS) and _CODE_HINT.search(text) is not None


def _dependencies(file: SourceFile) -> Iterator[tuple[str, str, int]]:
    is_node = file.name == "package.json"
    for number, line in enumerate(file.text.splitlines(), 1):
        match = (_PACKAGE if is_node else _REQUIREMENT).match(line)
        if match is None:
            continue
        package = match.group(1) if is_node else re.sub(r"[._]+", "-", match.group(1)).lower()
        for kind, names in (NODE_PACKAGES if is_node else PYTHON_PACKAGES).items():
            if package in names:
                yield kind, names[package], number


def _deployed(file: SourceFile) -> Iterator[tuple[str, str, int]]:
    about_postgres = bool(_POSTGRES.search(file.text))
    # What continuous integration starts or dumps is not what runs in production.
    in_ci = ".github/" in file.path
    runs_the_application = not (_OTHER_SERVICES.search(file.path) or "kind: StatefulSet" in file.text)
    lines = file.text.splitlines()
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", "//", ";")) or len(line) > 2_000:
            continue
        image = _IMAGE.match(line)
        if image is not None:
            name, tag = image.group(2).lower(), _DEFAULT.sub(r"\1", image.group(3) or "")
            detail = f"{name}:{tag}" if tag else name
            if name in _SERVERS and not in_ci:
                yield "server_image", detail, number
            elif name in _POOLERS and not name.endswith("exporter"):
                yield "pooler", detail, number
            elif name == "mongo":
                yield "document_store", "MongoDB", number
        if not in_ci and runs_the_application and not is_switched_off(lines, number):
            yield from processes_of(line, number)
        if mode := _POOL_MODE.search(line):
            yield "pooler", f"pool_mode = {mode.group(1)}", number
        if idle := _POOLER_TIMEOUT.match(line):
            yield "pooler_timeout", f"{idle.group(1).lower()} = {idle.group(2)}", number
        for tool, pattern in _BACKUP_WORDS.items() if not in_ci else ():
            if pattern.search(line):
                yield "backup", tool, number
        if not in_ci and _COPY_OF_FILES.search(line):
            yield "backup", COPY_OF_FILES, number
        if (retention := _RETENTION.search(line)) and retention.group(2).lower() not in ("0", "false", "null"):
            yield "backup", f"{retention.group(1)} = {_shown(retention.group(2))}", number
        if about_postgres and (standby := _STANDBY.search(line)):
            yield "standby", standby.group(1), number
        for agent, pattern in _AGENTS.items() if about_postgres else ():
            if pattern.search(line):
                yield "metrics_agent", agent, number
        if about_postgres and (alert := _ALERT.match(line)):
            yield "alert_rules", alert.group(1).strip(" \"'"), number
        if pool := _POOL_IN_ENVIRONMENT.match(line):
            yield "pool_size", f"{pool.group(2)} ({pool.group(1)})", number
        if limit := _CONNECTION_LIMIT.search(line):
            yield "pool_size", f"{limit.group(1)} (connection_limit)", number
        for setting in (*_COMMAND_SETTING.finditer(line), *_SERVER_SETTING.finditer(line)):
            yield "setting", f"{setting.group(1)} = {_shown_setting(setting.group(1), setting.group(2))}", number


def _shown(value: str) -> str:
    return value if re.fullmatch(r"[\d:.-]+|true", value, re.IGNORECASE) else "set"


def _shown_setting(name: str, value: str) -> str:
    """Figures, switches and library names. A free text, such as a command, may hold anything: it is only said to be set."""
    return value if name == "shared_preload_libraries" or _SETTING_VALUE.fullmatch(value) else "set"


def _given_to_sessions(file: SourceFile) -> Iterator[tuple[str, str, int]]:
    """Timeouts by their name and value, which code may hand to whoever connects."""
    for match in _TIMEOUT_IN_PAIR.finditer(file.text) if "_timeout" in file.text else ():
        number = file.text.count("\n", 0, match.start()) + 1
        yield "setting", f"{match.group(1)} = {match.group(2) or '(set at run time)'}", number


def _in_code(file: SourceFile) -> Iterator[tuple[str, str, int]]:
    text = file.text

    def line(offset: int) -> int:
        return text.count("\n", 0, offset) + 1

    for match in (*_POOL_IN_CODE.finditer(text), *_POOL_OF_PSYCOPG.finditer(text)):
        yield "pool_size", f"{match.group(2)} ({match.group(1)})", line(match.start())
    for match in _TIMEOUT_IN_CODE.finditer(text):
        yield "setting", f"{match.group(1).lower()} = {match.group(2) or '(set at run time)'}", line(match.start())
    yield from _given_to_sessions(file)
    for match in _APPLICATION_NAME.finditer(text):
        yield "application_name", match.group(1) or "set at run time", line(match.start())
    for match in _COMMENTER.finditer(text):
        yield "sql_comments", "sqlcommenter", line(match.start())
    for pool in _PG_POOL.finditer(text):
        if maximum := _MAX.search(pool.group("body") or pool.group("other") or ""):
            yield "pool_size", f"{maximum.group(1)} (Pool max)", line(pool.start())
