/** The `tokens` section of certstatus.yaml: HSM partitions and slots, and how their keys are activated. */
import { isAbsolute, resolve } from 'node:path';
import { z } from 'zod';
import type { KeyReference } from '../core/key-reference.ts';
import { Problem } from '../core/problem.ts';

/** A token as configured. Its keys are named `pkcs11:token=<name>;object=<label>` in issuer.yaml. */
export interface TokenConfig {
  readonly name: string;
  /** Absolute path of the PKCS#11 module. */
  readonly module: string;
  readonly label: string | undefined;
  readonly serial: string | undefined;
  readonly sessions: number;
  readonly use: 'held' | 'per-operation';
  readonly activation: Activation;
}

/** Where the PIN comes from. Never from the configuration, the environment or the arguments (CT-6.2.2). */
export type Activation =
  /** `threshold` of the shares that `key split` made, each entered by another person at the intake. */
  | { readonly source: 'shares'; readonly threshold: number }
  /** Asked for on the terminal at start, and by `key activate`. */
  | { readonly source: 'prompt' }
  /** Read once from an open file descriptor at start. */
  | { readonly source: 'descriptor'; readonly descriptor: number }
  /** A credential of the service manager: a file in $CREDENTIALS_DIRECTORY, decrypted for this service alone. */
  | { readonly source: 'credential'; readonly credential: string };

export const tokensSchema = z
  .array(
    z
      .strictObject({
        name: z
          .string()
          .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, '1 to 63 of a-z, 0-9 and -, not beginning or ending with -')
          .describe('by which key references, commands and audit records know it'),
        module: z.string().min(1).describe('PKCS#11 module of the HSM, a shared library'),
        label: z.string().min(1).max(32).optional().describe('label of the token'),
        serial: z.string().min(1).max(16).optional().describe('serial number, where two tokens have one label'),
        sessions: z.int().min(1).max(64).default(2).describe('sessions that sign at the same time'),
        use: z
          .enum(['held', 'per-operation'])
          .default('held')
          .describe('per-operation: log in, sign, log out, each time (SR-6.2.9)'),
        activation: z
          .discriminatedUnion('source', [
            z.strictObject({
              source: z.literal('shares'),
              threshold: z.int().min(2).max(255).describe('how many persons must enter their share (SR-6.4.1)'),
            }),
            z.strictObject({ source: z.literal('prompt') }),
            z.strictObject({ source: z.literal('descriptor'), descriptor: z.int().min(3).max(1023) }),
            z.strictObject({
              source: z.literal('credential'),
              credential: z.string().regex(/^[A-Za-z0-9._-]+$/, 'the name of a credential, not a path'),
            }),
          ])
          .describe('where the PIN comes from; it never stands here'),
      })
      .refine(({ label, serial }) => label !== undefined || serial !== undefined, {
        error: 'label or serial is needed',
        path: ['label'],
      }),
  )
  .default([])
  .refine((tokens) => new Set(tokens.map(({ name }) => name)).size === tokens.length, { error: 'two have one name' })
  .describe('HSM partitions and slots whose keys sign');

export function tokensOf(section: z.output<typeof tokensSchema>, directory: string): readonly TokenConfig[] {
  return section.map(({ module, label, serial, ...token }) => ({
    ...token,
    module: isAbsolute(module) ? module : resolve(directory, module),
    label,
    serial,
  }));
}

export function unknownToken(reference: KeyReference & { kind: 'pkcs11' }, known: readonly string[]): Problem {
  return new Problem('config', `no token ${reference.token} under tokens; there are ${known.join(', ') || 'none'}`, {
    field: 'key',
    value: reference.uri,
  });
}
