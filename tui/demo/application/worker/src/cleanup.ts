import { pool } from "./db.js";

const BATCH = 500;

/** Conversations that nobody wrote in for long, oldest first. */
async function stale(organizationId: number, before: string): Promise<{ id: number }[]> {
  const { rows } = await pool.query<{ id: number }>(
    `SELECT id
     FROM conversations
     WHERE organization_id = $1 AND last_message_at < $2
     ORDER BY last_message_at
     LIMIT 20`,
    [organizationId, before],
  );
  return rows;
}

export async function closeStale(organizationId: number, before: string): Promise<number> {
  const conversations = await stale(organizationId, before);
  for (const { id } of conversations) {
    await pool.query("UPDATE conversations SET status = 'closed' WHERE id = $1", [id]);
  }
  return conversations.length;
}

/** Finished jobs go in small batches, so that no lock is held for long. */
export async function cleanUp(): Promise<void> {
  for (let last = -1; last !== 0; ) {
    const { rowCount } = await pool.query(
      `DELETE FROM jobs
       WHERE id IN (SELECT id FROM jobs WHERE status = 'done' ORDER BY id LIMIT $1)`,
      [BATCH],
    );
    last = rowCount ?? 0;
  }
}
