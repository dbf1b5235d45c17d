"""Applies migrations/*.sql in order, each once."""

import os
import sys
from pathlib import Path

import psycopg

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
NO_TRANSACTION = "-- migrate: no transaction"


def main() -> int:
    with psycopg.connect(os.environ["MIGRATION_DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (version text NOT NULL, applied_at timestamptz DEFAULT now())"
        )
        applied = {version for (version,) in connection.execute("SELECT version FROM schema_migrations")}
        for path in sorted(MIGRATIONS.glob("*.sql")):
            if path.name in applied:
                continue
            script = path.read_text()
            try:
                if script.startswith(NO_TRANSACTION):
                    connection.execute(script)
                else:
                    with connection.transaction():
                        connection.execute(script)
            except psycopg.Error as error:
                print(f"{path.name}: {error}", file=sys.stderr)
                if not script.startswith(NO_TRANSACTION):
                    return 1
            connection.execute("INSERT INTO schema_migrations (version) VALUES (%s)", [path.name])
            print(f"applied {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
