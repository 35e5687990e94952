/** What `listen.admin` says beside host and port: TLS, and who may read the metrics. */
import { z } from 'zod';
import { Problem } from '../core/problem.ts';

export interface AdminConfig {
  /** Undefined: plain HTTP, so nobody can sign in with a certificate. Files are absolute. */
  readonly tls: TlsFiles | undefined;
  /** File whose line a scraper sends as Bearer; undefined: /metrics is open to whoever reaches the port. Absolute. */
  readonly metricsTokenFile: string | undefined;
}

interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string;
}

const tls = z
  .union([
    z.boolean(),
    z.strictObject({
      certificate: z.string().describe('server certificate and chain, PEM'),
      key: z.string().describe('its private key, PEM'),
      clientCa: z.string().describe('CA certificates that client certificates must come from, PEM'),
    }),
  ])
  .default(false)
  .describe('true: with the certificate, key and client CA of the intake; or its own');

/** @param listener host and port, as every listener has them. */
export function adminListener<Fields extends z.core.$ZodLooseShape>(listener: Fields) {
  return z
    .strictObject({
      ...listener,
      tls,
      metricsToken: z
        .strictObject({ file: z.string().describe('one line, which a scraper sends as Bearer') })
        .optional()
        .describe('who reads /metrics must have it; without it whoever reaches the port'),
    })
    .prefault({} as never)
    .describe('metrics, health and the status page; never public');
}

/** @param beside makes a path of the file absolute. @throws Problem `config` for `tls: true` without an intake to take it from. */
export function adminOf(
  value: { readonly tls: boolean | TlsFiles; readonly metricsToken?: { readonly file: string } | undefined },
  intake: TlsFiles | undefined,
  beside: (name: string) => string,
): AdminConfig {
  const files = value.tls === true ? intake : value.tls === false ? undefined : value.tls;
  if (value.tls === true && files === undefined) {
    throw new Problem('config', 'there is no intake section to take certificate, key and clientCa from: name them', {
      field: 'listen.admin.tls',
      value: true,
    });
  }
  return {
    tls: files && { certificate: beside(files.certificate), key: beside(files.key), clientCa: beside(files.clientCa) },
    metricsTokenFile: value.metricsToken && beside(value.metricsToken.file),
  };
}
