import { pool } from "./db.js";
import { embedShort } from "./embeddings.js";

const MODEL = "all-MiniLM-L6-v2/256";

export async function embedTicket(ticketId: number): Promise<void> {
  const { rows } = await pool.query("SELECT title, body FROM tickets WHERE id = $1", [ticketId]);
  if (rows.length === 0) return;
  await pool.query(
    `INSERT INTO ticket_embeddings (ticket_id, embedding, embedding_model)
     VALUES ($1, $2::vector, $3)
     ON CONFLICT (ticket_id) DO UPDATE SET embedding = excluded.embedding, embedding_model = excluded.embedding_model`,
    [ticketId, await embedShort(`${rows[0].title}\n${rows[0].body}`), MODEL],
  );
}

/** Tickets that ask about the same thing. */
export async function similarTickets(question: string): Promise<{ ticket_id: number }[]> {
  const { rows } = await pool.query(
    `SELECT ticket_id
     FROM ticket_embeddings
     ORDER BY embedding <=> $1::vector
     LIMIT 5`,
    [await embedShort(question)],
  );
  return rows;
}

export async function closeTicket(ticketId: number): Promise<void> {
  await pool.query("UPDATE tickets SET state = 'closed', closed_at = now() WHERE id = $1", [ticketId]);
}
