"""Writes all messages as JSON lines, for fine-tuning."""

import json
import os
import sys

import psycopg

PAGE = 1000

EXPORT_PAGE = """
    SELECT id, conversation_id, role, content, model
    FROM messages
    ORDER BY id
    LIMIT %(limit)s OFFSET %(offset)s
"""


def main() -> None:
    with psycopg.connect(os.environ["MIGRATION_DATABASE_URL"], application_name="deskhand-export") as connection:
        offset = 0
        while True:
            rows = connection.execute(EXPORT_PAGE, {"limit": PAGE, "offset": offset}).fetchall()
            if not rows:
                break
            for row in rows:
                json.dump(dict(zip(("id", "conversation", "role", "content", "model"), row)), sys.stdout)
                sys.stdout.write("\n")
            offset += PAGE


if __name__ == "__main__":
    main()
