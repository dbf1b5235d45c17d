import os from "node:os";

import { inTransaction, pool } from "./db.js";

export interface Job {
  id: number;
  kind: string;
  payload: any;
}

const MAX_ATTEMPTS = 5;

/** The next jobs, locked for this worker; others skip them. */
export async function takeJobs(limit: number): Promise<Job[]> {
  return inTransaction(async (client) => {
    const { rows } = await client.query<Job>(
      `SELECT id, kind, payload
       FROM jobs
       WHERE status = 'queued' AND run_at <= now()
       ORDER BY run_at
       LIMIT $1
       FOR UPDATE SKIP LOCKED`,
      [limit],
    );
    for (const job of rows) {
      await client.query(
        `UPDATE jobs SET status = 'running', locked_at = now(), locked_by = $2, attempts = attempts + 1 WHERE id = $1`,
        [job.id, os.hostname()],
      );
    }
    return rows;
  });
}

export async function finish(id: number): Promise<void> {
  await pool.query("UPDATE jobs SET status = 'done', locked_at = NULL WHERE id = $1", [id]);
}

export async function fail(id: number, reason: string): Promise<void> {
  await pool.query("UPDATE jobs SET status = 'failed', last_error = $2, locked_at = NULL WHERE id = $1", [id, reason]);
}

export async function retryFailed(): Promise<void> {
  const { rows } = await pool.query<{ id: number }>(
    `SELECT id FROM jobs WHERE status = 'failed' AND attempts < $1 AND run_at <= now() ORDER BY run_at LIMIT 20`,
    [MAX_ATTEMPTS],
  );
  for (const { id } of rows) {
    await pool.query("UPDATE jobs SET status = 'queued', run_at = now() + interval '5 minutes' WHERE id = $1", [id]);
  }
}
