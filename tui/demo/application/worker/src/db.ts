import pg from "pg";

export const pool = new pg.Pool({
  connectionString: process.env.WORKER_DATABASE_URL,
  max: Number(process.env.PG_POOL_MAX ?? 10),
  application_name: "deskhand-worker",
});

export async function inTransaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    const result = await work(client);
    await client.query("COMMIT");
    return result;
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  } finally {
    client.release();
  }
}
