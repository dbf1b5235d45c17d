import { pipeline } from "@xenova/transformers";

const MODEL = "Xenova/all-MiniLM-L6-v2";
let extractor: Promise<any> | undefined;

async function encode(sentence: string): Promise<number[]> {
  extractor ??= pipeline("feature-extraction", MODEL);
  const output = await (await extractor)(sentence, { pooling: "mean", normalize: true });
  return Array.from(output.data as Float32Array);
}

export async function embed(sentence: string): Promise<string> {
  return asVector(await encode(sentence));
}

/** The first 256 dimensions, for tables where the full vector is not worth its room. */
export async function embedShort(sentence: string): Promise<string> {
  return asVector((await encode(sentence)).slice(0, 256));
}

export function asVector(values: number[]): string {
  return `[${values.map((value) => value.toFixed(6)).join(",")}]`;
}
