"""What deployment files say."""

from __future__ import annotations

import msgspec

from checks.model import Location


class DeploymentFact(msgspec.Struct, frozen=True):
    """Something a deployment file says; `detail` is short and holds no secret.

    `kind`: server_image, server_version (16.4), setting (name = value), provider (Amazon RDS, Neon, CloudNativePG, ...),
    platform of the application (Vercel, Fly.io, ...), pooler (what it is, or `pool_mode = transaction`), pooler_timeout (name =
    seconds), pool_size and processes (a number, then in parentheses what says it: workers, replicas, ...), memory (a number of
    bytes that the server has, then what says it), host_access (what lets everybody connect), standby, high_availability, backup
    (tool, or what is retained), metrics_agent, tracing, dashboard (its title), alert_rules (each rule's name), alert_topic (what
    a rule covers: saturation, wraparound, slots, lag, disk, backup age, long transactions, deadlocks), secret (what kind; never
    the value), migration_lint, plan_test and
    migration_run (steps of continuous integration, by tool), query_test (what counts statements in tests), application_name,
    sql_comments, orm, vector_client,
    document_store, migrations.
    """

    kind: str
    detail: str
    location: Location
