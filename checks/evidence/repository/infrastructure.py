"""Who runs the servers and how many of them there are: Terraform, Pulumi, CDK, Kubernetes operators and platforms' own files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.files import SourceFile

Fact = tuple[str, str, int]

_PROVIDERS = {
    "Amazon Aurora": re.compile(r"\baws_rds_cluster\b|aurora-postgresql|\brds\.DatabaseCluster\(|AuroraPostgres"
        r"|\.cluster-\w+\.[\w-]+\.rds\.amazonaws"),
    "Amazon RDS": re.compile(
        r"\baws_db_instance\b|\brds\.DatabaseInstance\(|\baws\.rds\.Instance\(|\.rds\.amazonaws\.com"
            r"|terraform-aws-modules/rds/aws"
    ),
    "AlloyDB": re.compile(r"\bgoogle_alloydb_cluster\b|\balloydb\.Cluster\("),
    "Google Cloud SQL": re.compile(r"\bgoogle_sql_database_instance\b|\bsql\.DatabaseInstance\(|/cloudsql/"
        r"|cloud-sql-proxy|cloud_sql_proxy"),
    "Azure Database for PostgreSQL": re.compile(r"\bazurerm_postgresql_\w*server\b|\.postgres\.database\.azure\.com"
        r"|Microsoft\.DBforPostgreSQL"),
    "Neon": re.compile(r"\bneon_project\b|\.neon\.tech\b"),
    "Supabase": re.compile(r"\bsupabase_project\b|\bdb\.[\w<>{}$-]+\.supabase\.co\b|\.pooler\.supabase\.com"),
    "DigitalOcean": re.compile(r"\bdigitalocean_database_cluster\b|\.db\.ondigitalocean\.com"),
    "Heroku": re.compile(r"heroku-postgresql"),
    "Aiven": re.compile(r"\baiven_pg\b|\.aivencloud\.com"),
    "Crunchy Bridge": re.compile(r"\bcrunchybridge_cluster\b|\.db\.postgresbridge\.com"),
    "Timescale Cloud": re.compile(r"\btimescale_service\b|\.tsdb\.cloud\.timescale\.com"),
    "CloudNativePG": re.compile(r"\bpostgresql\.cnpg\.io/v1\b"),
    "Zalando operator": re.compile(r"\bacid\.zalan\.do/v1\b"),
    "Crunchy operator": re.compile(r"\bpostgres-operator\.crunchydata\.com\b"),
    "StackGres": re.compile(r"\bstackgres\.io/v1\b"),
}  # fmt: skip
_OPERATORS = frozenset(["CloudNativePG", "Zalando operator", "Crunchy operator", "StackGres"])
_PLATFORMS = (
    (re.compile(r"(?:^|/)vercel\.json$"), "Vercel"), (re.compile(r"(?:^|/)fly(?:\.[\w-]+)?\.toml$"), "Fly.io"),
    (re.compile(r"(?:^|/)render\.ya?ml$"), "Render"), (re.compile(r"(?:^|/)railway\.(?:toml|json)$"), "Railway"),
    (re.compile(r"(?:^|/)Procfile$"), "Heroku"), (re.compile(r"(?:^|/)netlify\.toml$"), "Netlify"),
    (re.compile(r"(?:^|/)wrangler\.(?:toml|jsonc?)$"), "Cloudflare Workers"), (re.compile(r"(?:^"
        r"|/)serverless\.ya?ml$"), "Serverless Framework"),
    (re.compile(r"(?:^|/)sst\.config\.ts$"), "SST"), (re.compile(r"(?:^|/)(?:app|apprunner)\.yaml$"), ""),
)  # fmt: skip
_AVAILABILITY = (
    (re.compile(r"\bmulti_?az[\"']?\s*[:=]\s*true\b", re.IGNORECASE), "Multi-AZ"),
    (re.compile(r"\bavailability_?type[\"']?\s*[:=]\s*[\"']?REGIONAL\b", re.IGNORECASE), "regional"),
    (re.compile(r"\bmode\s*[:=]\s*[\"'](?:ZoneRedundant|SameZone)[\"']"), "zone redundant"),
    (re.compile(r"\bhighAvailability\b\s*:\s*(?:$|enabled|true|\{)", re.MULTILINE), "high availability"),
    (re.compile(r"\bpatroni\b", re.IGNORECASE), "Patroni"),
    (re.compile(r"\brepmgr\b|postgresql-ha\b"), "repmgr"),
    (re.compile(r"\bpg_auto_failover\b|\bpg_autoctl\b"), "pg_auto_failover"),
    (re.compile(r"\bstolon\b"), "Stolon"),
)  # fmt: skip
_INSTANCES = re.compile(
    r"^\s*[\"']?(?:instances|numberOfInstances|number_of_instances|node_count|numNodes)[\"']?\s*[:=]\s*[\"']?(\d{1,2})\b"
)
_VERSION = re.compile(
    r"\b(?:engine_?version|database_?version|postgresql_?version|postgresMajorVersion|pg_version"
    r"|postgresVersion)[\"']?\s*[:=]\s*[\"']?"
    r"(?:POSTGRES_|(?:\w+\.)*VER_)?(\d{1,2}(?:[._]\d{1,2})?)\b",
    re.IGNORECASE,
)
_IMAGE_NAME = re.compile(r"^\s*imageName\s*:\s*[\"']?\S*?/?(postgresql|postgis|timescaledb)\S*?:([\w.-]+)")
_POOLERS = (
    (re.compile(r"\baws_db_proxy\b|\brds\.DatabaseProxy\(|\brds\.Proxy\("), "RDS Proxy"),
    (re.compile(r"@?[\w.${}<>-]*-pooler\.[\w.-]*neon\.tech"), "Neon pooler"),
    (re.compile(r"\.pooler\.supabase\.com\S*:6543\b"), "Supavisor, pool_mode = transaction"),
    (re.compile(r"\.pooler\.supabase\.com\S*:5432\b"), "Supavisor, pool_mode = session"),
    (re.compile(r"^\s*kind\s*:\s*Pooler\b"), "CloudNativePG pooler"),
    (re.compile(r"\bprisma://|\bprisma\+postgres://"), "Prisma Accelerate"),
    (re.compile(r"^\s*(?:\[\[hyperdrive\]\]|[\"']hyperdrive[\"']\s*:)"), "Hyperdrive"),
    (re.compile(r"\bpgbouncer=true\b"), "pgbouncer=true in the connection string"),
    (re.compile(r"\bdigitalocean_database_connection_pool\b"), "DigitalOcean connection pool"),
)  # fmt: skip
_BACKUPS = (
    (re.compile(r"\bbarmanObjectStore\b"), "Barman (CloudNativePG)"),
    (re.compile(r"^\s*kind\s*:\s*ScheduledBackup\b"), "ScheduledBackup (CloudNativePG)"),
    (re.compile(r"^\s*[\"']?retentionPolicy[\"']?\s*:\s*[\"']?(\d+[dwm])\b"), "retentionPolicy = {0}"),
    (re.compile(r"\brepo\d-retention-full\s*[:=]\s*[\"']?(\d+)"), "repo-retention-full = {0}"),
    (re.compile(r"\bBACKUP_(?:KEEP|RETENTION)_DAYS[\"']?\s*[:=]\s*[\"']?(\d+)"), "keep days = {0}"),
    (re.compile(r"\bbackupRetention\s*:\s*(?:cdk\.)?Duration\.days\((\d+)\)"), "retention days = {0}"),
    (re.compile(r"\baws_backup_plan\b"), "AWS Backup"),
)  # fmt: skip
_STANDBYS = (
    (re.compile(r"\b(?:rds\.DatabaseInstanceReadReplica|aws_rds_cluster_instance"
        r"|ClusterInstance\.\w+)\b"), "instance of a cluster"),
    (re.compile(r"\breplica_configuration\b|\bmaster_instance_name\b|\breplicateSourceDb\b"), "read replica"),
    (re.compile(r"\bcreate_mode\s*=\s*\"(?:Replica|GeoRestore)\""), "read replica"),
    (re.compile(r"\bdigitalocean_database_replica\b"), "read replica"),
)  # fmt: skip
_PARAMETER = re.compile(r"\bname\s*[:=]\s*[\"']([a-z_]+(?:\.[a-z_]+)?)[\"']")
_VALUE = re.compile(r"\bvalue\s*[:=]\s*[\"']?([\w.,/ -]{1,60}?)[\"']?\s*[,}]?\s*$")
_PARAMETERS = re.compile(r"_parameter_group\b|database_flags|postgresql_flexible_server_configuration|ParameterGroup\b")
_SETTINGS = frozenset(
    "shared_buffers work_mem maintenance_work_mem effective_cache_size max_connections statement_timeout lock_timeout "
    "random_page_cost "
    "idle_in_transaction_session_timeout transaction_timeout log_min_duration_statement log_lock_waits log_temp_files wal_level "
    "max_wal_size min_wal_size max_slot_wal_keep_size max_replication_slots max_wal_senders hot_standby_feedback "
    "synchronous_commit "
    "shared_preload_libraries track_io_timing archive_mode archive_timeout checkpoint_timeout autovacuum_max_workers jit "
    "autovacuum_vacuum_scale_factor autovacuum_vacuum_cost_limit default_statistics_target max_parallel_workers_per_gather "
    "rds.logical_replication rds.force_ssl pg_stat_statements.track pg_stat_statements.max auto_explain.log_min_duration "
    "cloudsql.enable_pg_stat_statements cloudsql.logical_decoding effective_io_concurrency huge_pages "
    "max_worker_processes".split()
)
_YAML_SETTING = re.compile(r"^\s+[\"']?([a-z_]+(?:\.[a-z_]+)?)[\"']?\s*:\s*[\"']?([\w.,/-]{1,60})[\"']?\s*(?:#.*)?$")
_CODE = re.compile(r"aws-cdk-lib|@pulumi/|\bpulumi_(?:aws|gcp|azure)|\baws_cdk\b")


def is_infrastructure_code(file: SourceFile) -> bool:
    """Whether a program describes the infrastructure (Pulumi, CDK)."""
    return file.extension in ("ts", "py", "js") and _CODE.search(file.text[:5_000]) is not None


def platform_of(file: SourceFile) -> Iterator[Fact]:
    """The platform whose file it is."""
    for pattern, platform in _PLATFORMS:
        if platform and pattern.search(file.path):
            yield "platform", platform, 1


def infrastructure_of(file: SourceFile) -> Iterator[Fact]:
    """Provider, version, availability, standbys, backups, poolers and settings, line by line."""
    text = file.text
    about_postgres = "postgres" in text.lower() or "aurora" in text or "rds." in text
    operated = any(_PROVIDERS[name].search(text) for name in _OPERATORS)
    has_parameters = _PARAMETERS.search(text) is not None
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", "//", ";", "*")) or len(line) > 2_000:
            continue
        yield from _of_line(line, number, about_postgres=about_postgres, operated=operated)
        if has_parameters and about_postgres and (name := _PARAMETER.search(line)) and name.group(1) in _SETTINGS:
            value = next((found for near in lines[number - 1 : number + 3] if (found := _VALUE.search(near))), None)
            if value is not None:
                yield "setting", f"{name.group(1)} = {value.group(1)}", number
        if (
            about_postgres
            and (setting := _YAML_SETTING.match(line))
            and setting.group(1) in _SETTINGS
            and file.extension in ("yml", "yaml")
        ):
            yield "setting", f"{setting.group(1)} = {setting.group(2)}", number


def _of_line(line: str, number: int, *, about_postgres: bool, operated: bool) -> Iterator[Fact]:
    for provider, pattern in _PROVIDERS.items():
        if pattern.search(line):
            yield "provider", provider, number
    for pattern, detail in _POOLERS:
        if pattern.search(line):
            yield "pooler", detail, number
    for pattern, detail in _BACKUPS:
        if (found := pattern.search(line)) and (about_postgres or operated):
            yield "backup", detail.format(*found.groups()), number
    if image := _IMAGE_NAME.match(line):
        yield "server_image", f"{image.group(1)}:{image.group(2)}", number
    if not about_postgres:
        return
    for pattern, detail in _AVAILABILITY:
        if pattern.search(line):
            yield "high_availability", detail, number
    for pattern, detail in _STANDBYS:
        if pattern.search(line):
            yield "standby", detail, number
    if version := _VERSION.search(line):
        yield "server_version", version.group(1).replace("_", "."), number
    if operated and (instances := _INSTANCES.match(line)) and int(instances.group(1)) > 1:
        yield "high_availability", f"{instances.group(1)} instances", number
        yield "standby", f"{int(instances.group(1)) - 1} of {instances.group(1)} instances", number
