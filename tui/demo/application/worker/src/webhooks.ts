import { pool } from "./db.js";

export interface Delivery {
  id?: string;
  endpoint: string;
  body: unknown;
}

export async function deliverWebhook(delivery: Delivery): Promise<void> {
  const response = await fetch(delivery.endpoint, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(delivery.body),
    signal: AbortSignal.timeout(10_000),
  });
  await pool.query(
    `INSERT INTO webhook_deliveries (external_id, endpoint, payload, status_code)
     VALUES ($1, $2, $3, $4)`,
    [delivery.id ?? null, delivery.endpoint, JSON.stringify(delivery.body), response.status],
  );
}
