/** The `store` section of certstatus.yaml: embedded on one machine, or a Redis that many processes share. */
import { resolve } from 'node:path';
import { z } from 'zod';

export type StoreConfig = { readonly kind: 'embedded' } | RedisConfig;

export interface RedisConfig {
  readonly kind: 'redis';
  readonly topology:
    | { readonly kind: 'standalone'; readonly host: string; readonly port: number }
    | { readonly kind: 'sentinel'; readonly name: string; readonly sentinels: readonly Address[] }
    | { readonly kind: 'cluster'; readonly nodes: readonly Address[] };
  readonly username: string | undefined;
  /** Absolute path of the file that holds the password, or the name of a credential. */
  readonly passwordFile: string | undefined;
  readonly tls:
    | {
        readonly ca: string;
        readonly certificate: string | undefined;
        readonly key: string | undefined;
        readonly servername: string | undefined;
      }
    | undefined;
  /** Names of every process with the intake role: the ledger is relied on when each has vouched for it. */
  readonly intakes: readonly string[];
  /** Replicas that must have a change before it is acknowledged. */
  readonly replicas: number;
  /** Expected per issuer: decides how many certificates share a hash. */
  readonly certificates: number;
  /** How long answers may be served while nothing proves that changes reach this process. */
  readonly silenceLimitMs: number;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

const address = (port: number) =>
  z.strictObject({ host: z.string().min(1), port: z.int().min(1).max(65535).default(port) });
const addresses = (port: number) => z.array(address(port)).min(1);

export const storeSchema = (duration: z.ZodType<number, string>) =>
  z
    .union([
      z.literal('embedded'),
      z.strictObject({
        redis: z
          .strictObject({
            host: z.string().min(1).optional().describe('standalone: its address'),
            port: z.int().min(1).max(65535).default(6379),
            sentinel: z
              .strictObject({ name: z.string().min(1), sentinels: addresses(26379) })
              .optional()
              .describe('instead of host: the master is asked for at the sentinels'),
            cluster: addresses(6379).optional().describe('instead of host: some nodes of a Redis Cluster'),
            username: z.string().min(1).optional().describe('ACL user of this process'),
            passwordFile: z.string().min(1).optional().describe('file with its password; never the password itself'),
            tls: z
              .strictObject({
                ca: z.string(),
                certificate: z.string().optional(),
                key: z.string().optional(),
                servername: z.string().optional(),
              })
              .optional()
              .describe('PEM files'),
            intakes: z
              .array(z.string().min(1))
              .min(1)
              .describe('names of all processes with the intake role: each vouches that its journal is in the ledger'),
            replicas: z
              .int()
              .min(0)
              .max(9)
              .default(0)
              .describe('replicas that must have an event before it is acknowledged'),
            certificates: z
              .int()
              .min(1000)
              .max(500_000_000)
              .default(1_000_000)
              .describe('expected per issuer, within a factor of ten; fixed when the issuer is first written'),
            silenceLimit: duration
              .default(900_000)
              .describe('how long good answers are served while no change can reach this process'),
          })
          .refine(
            ({ host, sentinel, cluster }) =>
              [host, sentinel, cluster].filter((given) => given !== undefined).length === 1,
            { error: 'exactly one of host, sentinel and cluster is needed' },
          ),
      }),
    ])
    .default('embedded')
    .describe('embedded: one machine, one process; redis: many');

type Section = z.output<ReturnType<typeof storeSchema>>;

export function storeOf(section: Section, directory: string): StoreConfig {
  if (section === 'embedded') return { kind: 'embedded' };
  const { redis } = section;
  const beside = (name: string | undefined): string | undefined =>
    name === undefined ? name : resolve(directory, name);
  return {
    kind: 'redis',
    topology:
      redis.sentinel !== undefined
        ? { kind: 'sentinel', ...redis.sentinel }
        : redis.cluster !== undefined
          ? { kind: 'cluster', nodes: redis.cluster }
          : { kind: 'standalone', host: redis.host as string, port: redis.port },
    username: redis.username,
    passwordFile: beside(redis.passwordFile),
    tls: redis.tls && {
      ca: resolve(directory, redis.tls.ca),
      certificate: beside(redis.tls.certificate),
      key: beside(redis.tls.key),
      servername: redis.tls.servername,
    },
    intakes: redis.intakes,
    replicas: redis.replicas,
    certificates: redis.certificates,
    silenceLimitMs: redis.silenceLimit,
  };
}
