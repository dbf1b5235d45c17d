import Stripe from "stripe";

import { inTransaction, pool } from "./db.js";

const stripe = new Stripe(process.env.STRIPE_API_KEY ?? "");

interface Line {
  kind: string;
  tokens: string;
  cost_micros: string;
}

async function usageLines(organizationId: number, from: string, to: string): Promise<Line[]> {
  const { rows } = await pool.query<Line>(
    `SELECT kind, sum(tokens) AS tokens, sum(cost_micros) AS cost_micros
     FROM billing.usage_records
     WHERE organization_id = $1 AND created_at >= $2 AND created_at < $3
     GROUP BY kind`,
    [organizationId, from, to],
  );
  return rows;
}

export async function linesOf(invoiceId: number): Promise<{ description: string; quantity: string }[]> {
  const { rows } = await pool.query(
    "SELECT description, quantity, unit_price_micros FROM billing.invoice_lines WHERE invoice_id = $1 ORDER BY id",
    [invoiceId],
  );
  return rows;
}

export async function createInvoices(period: { from: string; to: string }): Promise<void> {
  const organizations = await pool.query<{ id: number; stripe_customer_id: string | null }>(
    "SELECT id, stripe_customer_id FROM organizations ORDER BY id",
  );
  for (const organization of organizations.rows) {
    const lines = await usageLines(organization.id, period.from, period.to);
    if (lines.length === 0) continue;
    const amount = lines.reduce((sum, line) => sum + Number(line.cost_micros), 0) / 10_000;
    await inTransaction(async (client) => {
      const { rows } = await client.query<{ id: number }>(
        `INSERT INTO billing.invoices (organization_id, period, amount_cents)
         VALUES ($1, $2, $3)
         RETURNING id`,
        [organization.id, period.from, Math.round(amount)],
      );
      for (const line of lines) {
        await client.query(
          `INSERT INTO billing.invoice_lines (invoice_id, description, quantity, unit_price_micros)
           VALUES ($1, $2, $3, $4)`,
          [rows[0].id, line.kind, line.tokens, Math.round(Number(line.cost_micros) / Number(line.tokens))],
        );
      }
      if (organization.stripe_customer_id) {
        await stripe.invoices.create({ customer: organization.stripe_customer_id });
      }
    });
  }
}
