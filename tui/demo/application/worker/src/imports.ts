import { pool } from "./db.js";

/** Lines of a CSV file wait here until somebody looked at the errors. */
export async function stage(batch: string, lines: string[]): Promise<void> {
  for (const [line, raw] of lines.entries()) {
    await pool.query("INSERT INTO import_rows (batch, line, raw) VALUES ($1, $2, $3)", [batch, line, raw]);
  }
}

export async function errorsOf(batch: string): Promise<{ line: number; error: string }[]> {
  const { rows } = await pool.query(
    "SELECT line, error FROM import_rows WHERE batch = $1 AND error IS NOT NULL ORDER BY line",
    [batch],
  );
  return rows;
}
