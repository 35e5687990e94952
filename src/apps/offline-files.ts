/**
 * The two files of offline signing as JSON: read strictly and within bounds, because they come from outside; written always in the same
 * form, so that a digest of the file is a digest of what it says.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import {
  MATERIAL_FORMAT,
  MAX_OFFLINE_ITEMS,
  MAX_OFFLINE_OCTETS,
  OFFLINE_VERSION,
  type OfflineMaterial,
  type OfflineRequest,
  REQUEST_FORMAT,
} from '../core/offline/offline-file.ts';
import { Problem } from '../core/problem.ts';
import { fileProblem } from './errors.ts';

const octets = z
  .string()
  .min(4)
  .regex(/^[A-Za-z0-9+/]+={0,2}$/, 'is not base64')
  .describe('base64');
const summary = z.array(z.string().max(4096)).max(1_000_000).describe('for people; believed by nobody');
const version = z.literal(OFFLINE_VERSION);
const key = z.array(z.string().min(1).max(1024)).min(1).max(8);

export const requestSchema = z.strictObject({
  format: z.literal(REQUEST_FORMAT),
  version,
  summary,
  issuer: z.string().min(1).max(63),
  items: z
    .array(
      z.discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('crl'), tbs: octets, previous: octets.optional() }),
        z.strictObject({ kind: z.literal('responder'), csr: octets, validitySeconds: z.int().positive(), key }),
        z.strictObject({ kind: z.literal('ocsp'), tbs: octets }),
      ]),
    )
    .min(1)
    .max(MAX_OFFLINE_ITEMS),
});
export type RequestJson = z.output<typeof requestSchema>;

export const materialSchema = z.strictObject({
  format: z.literal(MATERIAL_FORMAT),
  version,
  summary,
  issuer: z.string().min(1).max(63),
  requestSha256: z.string().regex(/^[0-9a-f]{64}$/),
  signedAt: z.iso.datetime(),
  // The audit log names them (SR-6.2.8).
  persons: z.array(z.string().min(1).max(256)).min(2).max(16),
  items: z
    .array(
      z.discriminatedUnion('kind', [
        z.strictObject({ kind: z.literal('crl'), der: octets }),
        z.strictObject({ kind: z.literal('responder'), der: octets, key }),
        z.strictObject({ kind: z.literal('ocsp'), der: octets }),
      ]),
    )
    .min(1)
    .max(MAX_OFFLINE_ITEMS),
});
export type MaterialJson = z.output<typeof materialSchema>;

export function requestToJson({ summary: lines, issuer, items }: OfflineRequest): RequestJson {
  return {
    format: REQUEST_FORMAT,
    version: OFFLINE_VERSION,
    summary: [...lines],
    issuer,
    items: items.map((item) => {
      switch (item.kind) {
        case 'crl':
          return {
            kind: 'crl',
            tbs: text(item.tbs),
            ...(item.previous !== undefined && { previous: text(item.previous) }),
          };
        case 'responder':
          return {
            kind: 'responder',
            csr: text(item.csr),
            validitySeconds: item.validityMs / 1000,
            key: [...item.key],
          };
        case 'ocsp':
          return { kind: 'ocsp', tbs: text(item.tbs) };
      }
    }),
  };
}

export function requestFromJson({ summary: lines, issuer, items }: RequestJson): OfflineRequest {
  return {
    summary: lines,
    issuer,
    items: items.map((item) => {
      switch (item.kind) {
        case 'crl':
          return { kind: 'crl', tbs: bytes(item.tbs), previous: item.previous && bytes(item.previous) } as const;
        case 'responder':
          return {
            kind: 'responder',
            csr: bytes(item.csr),
            validityMs: item.validitySeconds * 1000,
            key: item.key,
          } as const;
        case 'ocsp':
          return { kind: 'ocsp', tbs: bytes(item.tbs) } as const;
      }
    }) as OfflineRequest['items'],
  };
}

export function materialToJson({ items, persons, summary: lines, ...rest }: OfflineMaterial): MaterialJson {
  return {
    format: MATERIAL_FORMAT,
    version: OFFLINE_VERSION,
    summary: [...lines],
    issuer: rest.issuer,
    requestSha256: rest.requestSha256,
    signedAt: rest.signedAt,
    persons: [...persons],
    items: items.map((item) =>
      item.kind === 'responder'
        ? { kind: 'responder', der: text(item.der), key: [...item.key] }
        : { kind: item.kind, der: text(item.der) },
    ),
  };
}

export function materialFromJson({ items, ...rest }: MaterialJson): OfflineMaterial {
  return { ...rest, items: items.map((item) => ({ ...item, der: bytes(item.der) })) };
}

/** One form for one content: members in the order of the schema. */
export function offlineText(file: RequestJson | MaterialJson): string {
  return `${JSON.stringify(file, null, 1)}\n`;
}

/**
 * A file of at most `most` octets. Its size is asked before it is read.
 * @throws Problem `invalid` when it cannot be read, `too-large`
 */
export function readBounded(file: string, most: number = MAX_OFFLINE_OCTETS): Buffer {
  try {
    const descriptor = openSync(file, 'r');
    try {
      const status = fstatSync(descriptor);
      if (!status.isFile()) throw new Problem('invalid', 'not a regular file', { field: 'file', value: file });
      if (status.size > most)
        throw new Problem('too-large', `${status.size} octets: at most ${most}`, { field: 'file', value: file });
      return readFileSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem('invalid', `cannot be read: ${fileProblem(error)}`, { field: 'file', value: file });
  }
}

/** @throws Problem `invalid` naming what is wrong: no JSON, cut off, another format, an unknown member. */
export function parseOffline<T>(schema: z.ZodType<T>, octetsOfFile: Buffer, file: string): T {
  let value: unknown;
  try {
    value = JSON.parse(octetsOfFile.toString('utf8'));
  } catch (error) {
    throw new Problem('invalid', `no whole JSON: ${(error as Error).message}`, { field: 'file', value: file });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new Problem('invalid', issue?.message ?? 'is not such a file', {
    field: `${file}#/${issue?.path.join('/') ?? ''}`,
  });
}

const text = (octetsOfItem: Buffer): string => octetsOfItem.toString('base64');
const bytes = (base64: string): Buffer => Buffer.from(base64, 'base64');
