"""The services that PostgreSQL comes from, by what only they have, and what each of them hides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# In this order: Aurora has all that RDS has, AlloyDB what Cloud SQL has, and Citus and Timescale run on others' services.
_SIGNS: tuple[tuple[str, frozenset[str]], ...] = (
    ("aurora", frozenset({"function aurora_version", "setting aurora", "setting apg_plan_mgmt"})),
    ("rds", frozenset({"role rds_superuser", "role rdsadmin", "setting rds"})),
    (
        "alloydb",
        frozenset({"role alloydbsuperuser", "role alloydbadmin", "setting alloydb", "function alloydb_version"}),
    ),
    ("cloudsql", frozenset({"role cloudsqlsuperuser", "role cloudsqladmin", "setting cloudsql"})),
    ("azure", frozenset({"role azure_pg_admin", "role azuresu", "setting azure"})),
    ("supabase", frozenset({"role supabase_admin", "extension supabase_vault"})),
    ("neon", frozenset({"role neon_superuser", "setting neon", "extension neon"})),
    ("crunchy", frozenset({"role crunchy_superuser", "setting crunchy"})),
    ("timescale", frozenset({"role tsdbadmin", "extension timescaledb"})),
    ("citus", frozenset({"extension citus", "setting citus"})),
)

_NO_SUPERUSER = "there is no superuser and no access to configuration files, log files or the operating system"

HIDES: Mapping[str, str] = {
    "aurora": f"{_NO_SUPERUSER}; storage, WAL archiving and failover are the service's: pg_stat_archiver and checkpoints tell "
    "little, and readers share the storage instead of streaming",
    "rds": f"{_NO_SUPERUSER}; archiving and backups are the service's, and a Multi-AZ standby is not in pg_stat_replication",
    "alloydb": f"{_NO_SUPERUSER}; storage and backups are the service's, and read pools share the storage",
    "cloudsql": f"{_NO_SUPERUSER}; backups and the high-availability standby are the service's and not in pg_stat_replication",
    "azure": f"{_NO_SUPERUSER}; backups and the high-availability standby are the service's",
    "supabase": "postgres is no superuser; backups, replicas and the pooler are the service's",
    "neon": "storage, WAL and backups are the service's: there is no archiver, and counters go back when the compute restarts",
    "crunchy": "backups and standbys are the service's, and done by pgBackRest beside the server",
    "timescale": "chunks of hypertables are tables of their own; on Timescale's cloud backups and standbys are the service's",
    "citus": "this is one node: the shards of distributed tables, their sizes and statistics are on the workers",
}


def flavour(
    roles: Iterable[str], setting_prefixes: Iterable[str], functions: Iterable[str], extensions: Iterable[str]
) -> str:
    """The service or distribution by the names of CONTRACT.md; `postgresql` where nothing tells of another."""
    signs = {f"role {name}" for name in roles}
    signs |= {f"setting {name}" for name in setting_prefixes}
    signs |= {f"function {name}" for name in functions}
    signs |= {f"extension {name}" for name in extensions}
    return next((name for name, telling in _SIGNS if signs & telling), "postgresql")
