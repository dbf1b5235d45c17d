import { inTransaction, pool } from "./db.js";
import { embed } from "./embeddings.js";

const CHUNK_CHARACTERS = 800;

export function split(content: string): string[] {
  const chunks: string[] = [];
  for (let start = 0; start < content.length; start += CHUNK_CHARACTERS) {
    chunks.push(content.slice(start, start + CHUNK_CHARACTERS));
  }
  return chunks;
}

/** Cuts a document into chunks and embeds each; chunks of an earlier version go. */
export async function ingestDocument(documentId: number): Promise<void> {
  const { rows } = await pool.query("SELECT * FROM documents WHERE id = $1", [documentId]);
  const document = rows[0];
  if (!document) return;

  const pieces = split(document.content);
  const vectors = await Promise.all(pieces.map((piece) => embed(piece)));
  await inTransaction(async (client) => {
    await client.query("DELETE FROM chunks WHERE document_id = $1", [documentId]);
    for (const [position, piece] of pieces.entries()) {
      await client.query(
        `INSERT INTO chunks (document_id, position, content, embedding)
         VALUES ($1, $2, $3, $4::vector)`,
        [documentId, position, piece, vectors[position]],
      );
    }
    await client.query("UPDATE documents SET status = 'ready', updated_at = now() WHERE id = $1", [documentId]);
  });
}

/** Chunks that say nearly the same, in whatever document: candidates for removal. */
export async function nearDuplicates(content: string): Promise<{ id: number; document_id: number }[]> {
  const { rows } = await pool.query(
    `SELECT id, document_id, embedding <=> $1::vector AS distance
     FROM chunks
     ORDER BY embedding <=> $1::vector
     LIMIT 5`,
    [await embed(content)],
  );
  return rows.filter((row) => row.distance < 0.05);
}
