/** What `intake` says: how CAs and operators reach it, and what each of them may do. */
import { z } from 'zod';

export interface IntakeConfig {
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string;
  /** CRLs of those CAs. */
  readonly clientCrl: string | undefined;
  readonly clients: readonly IntakeClient[];
  readonly separation: Separation;
}

/** A client certificate, known by the CN of its subject, and what it may do. Everybody else is refused. */
export interface IntakeClient {
  readonly name: string;
  /** Issuer ids, or `*`. */
  readonly issuers: readonly string[];
  readonly may: readonly IntakeRight[];
}

/**
 * `activate`: enters a share of a PIN, and ends the activation; `keys`: makes keys and changes responder certificates. On the admin
 * port alone: `view`, its pages; `operate`, a CRL now, and mass revocations paused; `audit`, the audit log.
 */
export type IntakeRight = (typeof RIGHTS)[number];
const RIGHTS = ['issue', 'revoke', 'import', 'read', 'activate', 'keys', 'view', 'operate', 'audit'] as const;

/** What one person may not have together: separation.ts. */
const SEPARATIONS = ['strict', 'lax'] as const;
export type Separation = (typeof SEPARATIONS)[number];

/** Files are relative to certstatus.yaml. */
export const intakeSchema = z
  .strictObject({
    certificate: z.string().describe('server certificate and chain, PEM'),
    key: z.string().describe('its private key, PEM'),
    clientCa: z.string().describe('CA certificates that client certificates must come from, PEM'),
    clientCrl: z
      .string()
      .optional()
      .describe(
        'PEM file with a current CRL of each of those CAs; read anew when it is replaced. Past its nextUpdate it refuses everybody',
      ),
    clients: z
      .array(
        z.strictObject({
          name: z.string().min(1).describe('CN of the client certificate'),
          issuers: z.array(z.string()).min(1).describe('issuer ids, or *'),
          may: z.array(z.enum(RIGHTS)).min(1),
        }),
      )
      .default([])
      .describe('who may do what; everybody else is refused'),
    separation: z
      .enum(SEPARATIONS)
      .default('strict')
      .describe('strict: who may audit neither operates nor activates; lax: who operates may audit'),
  })
  .optional()
  .describe('without it the intake role does not start');

/** @param beside makes a path of the file absolute. */
export function intakeOf(
  value: NonNullable<z.output<typeof intakeSchema>>,
  beside: (name: string) => string,
): IntakeConfig {
  return {
    certificate: beside(value.certificate),
    key: beside(value.key),
    clientCa: beside(value.clientCa),
    clientCrl: value.clientCrl === undefined ? undefined : beside(value.clientCrl),
    clients: value.clients,
    separation: value.separation,
  };
}
