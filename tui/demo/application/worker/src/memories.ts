import { pool } from "./db.js";
import { embedShort } from "./embeddings.js";

const MODEL = "all-MiniLM-L6-v2/256";

export async function remember(userId: number, content: string): Promise<void> {
  await pool.query(
    `INSERT INTO memories (user_id, content, embedding, embedding_model)
     VALUES ($1, $2, $3::vector, $4)`,
    [userId, content, await embedShort(content), MODEL],
  );
}

export async function memoriesOf(userId: number): Promise<{ id: number; content: string }[]> {
  const { rows } = await pool.query(
    "SELECT id, content FROM memories WHERE user_id = $1 ORDER BY created_at DESC LIMIT 20",
    [userId],
  );
  return rows;
}

/** What the assistant learned from anyone that is close to a question. */
export async function recall(question: string): Promise<{ id: number; content: string }[]> {
  const { rows } = await pool.query(
    `SELECT id, user_id, content
     FROM memories
     ORDER BY embedding <=> $1::vector
     LIMIT 10`,
    [await embedShort(question)],
  );
  return rows;
}

export async function consolidateMemories(userId: number): Promise<void> {
  for (const memory of await memoriesOf(userId)) {
    const close = await recall(memory.content);
    const own = close.filter((other) => other.id !== memory.id);
    if (own.length > 8) {
      await pool.query("DELETE FROM memories WHERE id = $1", [memory.id]);
    }
  }
}
