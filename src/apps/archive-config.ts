/** The `archive` section of certstatus.yaml: how often the archive is read again, and where its copies lie. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import { openS3 } from '../adapters/s3/copies.ts';
import { systemClock } from '../adapters/system/clock.ts';
import { Problem } from '../core/problem.ts';
import { DAY, HOUR } from '../core/time.ts';
import type { ArchiveCopies } from '../ports/archive-copies.ts';

export interface ArchiveConfig {
  readonly verifyEveryMs: number;
  readonly copies: CopiesConfig | undefined;
}

export interface CopiesConfig {
  readonly endpoint: string | undefined;
  readonly region: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly pathStyle: boolean;
  /** Absolute. */
  readonly ca: string | undefined;
  readonly accessKeyId: Secret;
  readonly secretAccessKey: Secret;
  readonly objectLock: { readonly mode: 'GOVERNANCE' | 'COMPLIANCE'; readonly forMs: number } | undefined;
}

/** Where a secret is; never the secret itself. Files are absolute. */
export type Secret = { readonly file: string } | { readonly env: string };

const secret = z.union([
  z.strictObject({ file: z.string().min(1).describe('file whose text it is') }),
  z.strictObject({ env: z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'name of an environment variable') }),
]);

export const archiveSchema = (duration: z.ZodType<number, string>) =>
  z
    .strictObject({
      verifyEvery: duration
        .refine((ms) => ms >= HOUR, 'at least 1h')
        .default(7 * DAY)
        .describe('how often the whole archive and its copies are read again (SR-5.5.7)'),
      copies: z
        .strictObject({
          endpoint: z
            .url({ protocol: /^https?$/ })
            .optional()
            .describe('of an S3-compatible server; without it that of Amazon in the region'),
          region: z.string().min(1).default('us-east-1'),
          bucket: z.string().regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'a bucket name'),
          prefix: z
            .string()
            .regex(/^([!-.0-~]+\/)*$/, 'empty, or ends in /')
            .default('')
            .describe('in front of every object name'),
          pathStyle: z.boolean().default(false).describe('true: the bucket stands in the path, not in the host name'),
          ca: z.string().optional().describe('PEM file of the CAs of the endpoint'),
          accessKeyId: secret.describe('where the access key is'),
          secretAccessKey: secret.describe('where its secret is'),
          objectLock: z
            .strictObject({
              mode: z.enum(['governance', 'compliance']),
              for: duration.refine((ms) => ms >= DAY, 'at least 1d').describe('from the copying of each object on'),
            })
            .optional()
            .describe('nobody can remove an object for so long; the bucket must permit locks'),
        })
        .optional()
        .describe('a second place for every archived CRL and certificate (SR-5.5.4)'),
    })
    .prefault({});

type Section = z.output<ReturnType<typeof archiveSchema>>;

export function archiveOfSection({ verifyEvery, copies }: Section, directory: string): ArchiveConfig {
  const beside = (where: Secret): Secret => ('file' in where ? { file: resolve(directory, where.file) } : where);
  return {
    verifyEveryMs: verifyEvery,
    copies: copies && {
      endpoint: copies.endpoint,
      region: copies.region,
      bucket: copies.bucket,
      prefix: copies.prefix,
      pathStyle: copies.pathStyle,
      ca: copies.ca === undefined ? undefined : resolve(directory, copies.ca),
      accessKeyId: beside(copies.accessKeyId),
      secretAccessKey: beside(copies.secretAccessKey),
      objectLock: copies.objectLock && {
        mode: copies.objectLock.mode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE',
        forMs: copies.objectLock.for,
      },
    },
  };
}

/** @throws Problem `config` for a key or CA file that cannot be read. */
export async function openCopies({ copies }: ArchiveConfig): Promise<ArchiveCopies | undefined> {
  if (copies === undefined) return undefined;
  const { accessKeyId, secretAccessKey, ...options } = copies;
  return openS3(
    {
      ...options,
      accessKeyId: secretIn('archive.copies.accessKeyId', accessKeyId),
      secretAccessKey: secretIn('archive.copies.secretAccessKey', secretAccessKey),
    },
    () => systemClock.now(),
  );
}

function secretIn(field: string, where: Secret): string {
  let text: string | undefined;
  try {
    text = 'file' in where ? readFileSync(where.file, 'utf8').trim() : process.env[where.env];
  } catch (error) {
    throw new Problem('config', (error as Error).message, { field: `${field}.file` });
  }
  if (text === undefined || text === '') {
    const value = 'file' in where ? where.file : `$${where.env}`;
    throw new Problem('config', 'there is nothing in it', { field, value });
  }
  return text;
}
