"""What alert rules and dashboards watch of PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.evidence.repository.files import SourceFile

Fact = tuple[str, str, int]

TOPICS = {
    "saturation": re.compile(
        r"pg_stat_activity_count|pg_settings_max_connections|numbackends|max_connections|DatabaseConnections"
            r"|pgbouncer_pools_\w*waiting"
        r"|postgresql\.connections|percent_usage_connections|num_backends|cnpg_backends_total|active_connections",
        re.IGNORECASE,
    ),
    "wraparound": re.compile(
        r"wraparound|datfrozenxid|MaximumUsedTransactionIDs|pg_database_xid|xid_age|transaction_id_utilization"
            r"|freeze_?age|\bpg_txid\b",
        re.IGNORECASE,
    ),
    "slots": re.compile(r"replication_?slot|OldestReplicationSlotLag|slot_(?:wal|retained|lag)|pg_slot", re.IGNORECASE),
    "lag": re.compile(r"replication_?lag|replica_?lag|pg_stat_replication|AuroraReplicaLag|replay_lag"
        r"|replication_delay", re.IGNORECASE),
    "disk": re.compile(
        r"FreeStorageSpace|disk_?(?:usage|utilization|space|full|free)|node_filesystem_(?:avail|free)"
            r"|kubelet_volume_stats|pvc|"
        r"storage_percent|FreeLocalStorage|pg_wal_size|TransactionLogsDiskUsage|disk/utilization",
        re.IGNORECASE,
    ),
    "backup age": re.compile(r"last_?backup|backup_?(?:age|since|failed|missing|older|last)|archive(?:r"
        r"|_command)?_?fail|pgbackrest_backup|barman", re.IGNORECASE),
    "long transactions": re.compile(
        r"max_tx_duration|long_?(?:running_?)?(?:transaction|quer)|idle_in_transaction|xact_start|oldest_transaction"
            r"|oldest_xmin|"
        r"longest_(?:transaction|query)",
        re.IGNORECASE,
    ),
    "deadlocks": re.compile(r"deadlocks?", re.IGNORECASE),
}  # fmt: skip
_ALERT = re.compile(r"""^\s*-?\s*["']?alert["']?\s*:\s*["']?([\w .:/()%-]{1,80})""")
_POSTGRES = re.compile(r"\bpg_[a-z_]+|\bpostgres(?:ql)?\b|\bpgbouncer_|\bcnpg_", re.IGNORECASE)
_ALARM = re.compile(
    r"\b(?:aws_cloudwatch_metric_alarm|google_monitoring_alert_policy|datadog_monitor|azurerm_monitor_metric_alert"
    r"|new\s+(?:cloudwatch\.)?Alarm)\b"
)
_ALARM_NAME = re.compile(
    r"\b(?:metric_name|metricName|metric)\s*[:=]\s*[\"']([\w./-]{1,80})[\"']|\bquery\s*=\s*[\"']([^\"'\n]{1,200})"
)
_OF_DATABASES = re.compile(r"AWS/RDS|rds|cloudsql|postgresql|postgres|flexibleServers", re.IGNORECASE)
_DASHBOARD = re.compile(r"(?:^|/)(?:[^/]*grafana[^/]*|dashboards?)/.*\.json$", re.IGNORECASE)
_TITLE = re.compile(r'^\s{0,4}"title"\s*:\s*"([^"]{1,80})"', re.MULTILINE)
_MAXIMUM_RULE = 40


def alerts_of(file: SourceFile) -> Iterator[Fact]:
    """The topics that its alert rules on PostgreSQL cover (`alert_topic`), and dashboards with its metrics (`dashboard`)."""
    if _DASHBOARD.search(file.path) and re.search(r"\bpg_(?:stat|settings|database|replication)|\bcnpg_", file.text):
        titles = _TITLE.findall(file.text)
        yield "dashboard", titles[-1] if titles else file.name, 1
    if not _POSTGRES.search(file.text) and not _OF_DATABASES.search(file.text):
        return
    lines = file.text.splitlines()
    starts = [number for number, line in enumerate(lines) if _ALERT.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)] if starts else [], strict=True):
        yield from _topics("\n".join(lines[start : min(end, start + _MAXIMUM_RULE)]), start + 1)
    for number, line in enumerate(lines):
        if _ALARM.search(line):
            rule = "\n".join(lines[number : number + _MAXIMUM_RULE])
            closed = re.search(r"^\}", rule, re.MULTILINE)
            rule = rule[: closed.start()] if closed else rule
            name = _ALARM_NAME.search(rule)
            if name is not None and _OF_DATABASES.search(rule):
                yield "alert_rules", (name.group(1) or name.group(2))[:80], number + 1
                yield from _topics(rule, number + 1)


def _topics(rule: str, line: int) -> Iterator[Fact]:
    for topic, pattern in TOPICS.items():
        if pattern.search(rule):
            yield "alert_topic", topic, line
