/** A CrlRecord as the archive keeps it beside the CRL: JSON, the number in decimal. */
import type { CrlRecord } from '../certificate.ts';
import { Problem } from '../problem.ts';

export function recordText(record: CrlRecord): string {
  return JSON.stringify({ ...record, number: record.number.toString() });
}

/** @throws Problem `corrupt` for what no version of this program has written. */
export function recordFromText(text: string, field: string): CrlRecord {
  let read: Partial<Record<keyof CrlRecord, unknown>>;
  try {
    read = Object(JSON.parse(text)) as typeof read;
  } catch (error) {
    throw new Problem('corrupt', `the record of an archived CRL cannot be read: ${(error as Error).message}`, {
      field,
    });
  }
  const wrong =
    TEXTS.find((name) => typeof read[name] !== 'string') ?? NUMBERS.find((name) => !Number.isFinite(read[name]));
  if (
    wrong !== undefined ||
    !/^\d{1,49}$/.test(read.number as string) ||
    !/^[0-9a-f]{64}$/.test(read.sha256 as string)
  ) {
    throw new Problem('corrupt', `the record of an archived CRL has no usable ${wrong ?? 'number or sha256'}`, {
      field,
    });
  }
  // Of before there were shards.
  return {
    ...(read as unknown as CrlRecord),
    shard: (read.shard as string | undefined) ?? '',
    number: BigInt(read.number as string),
  };
}

const TEXTS = ['issuer', 'number', 'sha256'] as const;
const NUMBERS = ['bytes'] as const;
