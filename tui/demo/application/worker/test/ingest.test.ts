import assert from "node:assert/strict";
import { test } from "node:test";

import { asVector } from "../src/embeddings.js";
import { split } from "../src/ingest.js";

test("a document is cut into pieces of one size", () => {
  assert.deepEqual(split("a".repeat(1700)).map((piece) => piece.length), [800, 800, 100]);
});

test("vectors are written as pgvector reads them", () => {
  assert.equal(asVector([1, -0.5]), "[1.000000,-0.500000]");
});
