"""What is observed of a server: plain, frozen facts with no row value and no SQL literal in them.

Sizes are bytes, times are milliseconds unless the name says otherwise, instants are UTC, ratios 0 to 1.
`None` means that this fact was not visible; a whole section that could not be observed is an `Unobserved`.
"""

from __future__ import annotations

from checks.evidence.database.facts.access import (
    Access,
    DefaultGrant,
    Grant,
    Role,
    Schema,
)
from checks.evidence.database.facts.catalog import (
    Catalog,
    ColumnStatistics,
    PlannerStatistics,
)
from checks.evidence.database.facts.plans import (
    Plan,
    PlanNode,
    Plans,
    Unplanned,
)
from checks.evidence.database.facts.relations import (
    Column,
    Constraint,
    ExtendedStatistics,
    Function,
    Index,
    IndexKey,
    Policy,
    Sequence,
    SystemTable,
    Table,
    Trigger,
    View,
)
from checks.evidence.database.facts.replication import (
    Archiver,
    Publication,
    Replica,
    Replication,
    Slot,
    Standby,
    Subscription,
)
from checks.evidence.database.facts.runtime import (
    Activity,
    FreezeAge,
    FreezeAges,
    HorizonHolder,
    PreparedTransaction,
    Progress,
    RoleSetting,
    Session,
    Setting,
    Settings,
    WaitCount,
)
from checks.evidence.database.facts.server import (
    Extension,
    Server,
)
from checks.evidence.database.facts.usage import (
    CheckpointUsage,
    IndexUsage,
    Rates,
    Statement,
    StatementRate,
    Statements,
    TableRate,
    TableUsage,
    Usage,
    WalUsage,
)
from checks.evidence.database.facts.vectors import (
    BodyStatement,
    Embeddings,
    Recall,
    RecallAt,
    RecallMeasurement,
    SentSetting,
)

__all__ = [
    "Access",
    "Activity",
    "Archiver",
    "BodyStatement",
    "Catalog",
    "CheckpointUsage",
    "Column",
    "ColumnStatistics",
    "Constraint",
    "DefaultGrant",
    "Embeddings",
    "ExtendedStatistics",
    "Extension",
    "FreezeAge",
    "FreezeAges",
    "Function",
    "Grant",
    "HorizonHolder",
    "Index",
    "IndexKey",
    "IndexUsage",
    "Plan",
    "PlanNode",
    "PlannerStatistics",
    "Plans",
    "Policy",
    "PreparedTransaction",
    "Progress",
    "Publication",
    "Rates",
    "Recall",
    "RecallAt",
    "RecallMeasurement",
    "Replica",
    "Replication",
    "Role",
    "RoleSetting",
    "Schema",
    "SentSetting",
    "Sequence",
    "Server",
    "Session",
    "Setting",
    "Settings",
    "Slot",
    "Standby",
    "Statement",
    "StatementRate",
    "Statements",
    "Subscription",
    "SystemTable",
    "Table",
    "TableRate",
    "TableUsage",
    "Trigger",
    "Unplanned",
    "Usage",
    "View",
    "WaitCount",
    "WalUsage",
]
