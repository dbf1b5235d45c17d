import pino from "pino";

import { cleanUp } from "./cleanup.js";
import { consolidateMemories } from "./memories.js";
import { createInvoices } from "./invoices.js";
import { ingestDocument } from "./ingest.js";
import { embedTicket } from "./tickets.js";
import { fail, finish, Job, retryFailed, takeJobs } from "./queue.js";
import { deliverWebhook } from "./webhooks.js";

const log = pino();
const POLL_MS = 1000;

const handlers: Record<string, (payload: any) => Promise<void>> = {
  ingest: ({ document_id }) => ingestDocument(document_id),
  embed_ticket: ({ ticket_id }) => embedTicket(ticket_id),
  webhook: (payload) => deliverWebhook(payload),
  consolidate_memories: ({ user_id }) => consolidateMemories(user_id),
  invoices: ({ period }) => createInvoices(period),
  clean_up: () => cleanUp(),
};

async function run(job: Job): Promise<void> {
  const handler = handlers[job.kind];
  try {
    if (!handler) throw new Error(`no handler for ${job.kind}`);
    await handler(job.payload);
    await finish(job.id);
  } catch (error) {
    log.error({ error, job: job.id }, "job failed");
    await fail(job.id, error instanceof Error ? error.message : String(error));
  }
}

async function main(): Promise<void> {
  for (;;) {
    await retryFailed();
    const jobs = await takeJobs(10);
    await Promise.all(jobs.map(run));
    if (jobs.length === 0) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

main().catch((error) => {
  log.fatal(error);
  process.exit(1);
});
