"""What deployment files say."""

from __future__ import annotations

import msgspec

from checks.model import Location


class DeploymentFact(msgspec.Struct, frozen=True):
    """Something a deployment file says. `kind`: server_image, pooler, standby, backup, alert_rules, metrics_agent,
    pool_size, setting, orm, vector_client, document_store, migrations, ...; `detail` is short and holds no secret."""

    kind: str
    detail: str
    location: Location
