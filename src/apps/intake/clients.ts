/** Who may do what at the intake: client certificates by common name, issuers and permissions from the configuration. */
import type { PeerCertificate, TLSSocket } from 'node:tls';
import { Problem } from '../../core/problem.ts';
import type { IntakeRight } from '../intake-config.ts';

export type Permission = IntakeRight;

export interface Client {
  /** For the audit log: common name and fingerprint of the client certificate, or the local shell's user. */
  readonly actor: string;
  readonly name: string;
  readonly issuers: readonly string[];
  readonly may: readonly Permission[];
}

export interface ClientGrant {
  readonly name: string;
  readonly issuers: readonly string[];
  readonly may: readonly Permission[];
}

/** The client behind a TLS connection whose certificate the TLS layer has verified. @throws Problem `forbidden` */
export function clientOf(socket: TLSSocket, grants: readonly ClientGrant[]): Client {
  const certificate = socket.getPeerCertificate() as PeerCertificate | Record<string, never>;
  const name = certificate.subject?.CN;
  const grant = typeof name === 'string' ? grants.find((candidate) => candidate.name === name) : undefined;
  if (grant === undefined) {
    throw new Problem('forbidden', 'this client certificate is not listed under intake.clients', {
      field: 'client certificate',
      value: String(name),
      rule: 'CT-3.4',
    });
  }
  return {
    ...grant,
    actor: `${grant.name} (client certificate ${String(certificate.fingerprint256).replace(/:/g, '').slice(0, 16)})`,
  };
}

/** @throws Problem `forbidden` */
export function authorise(client: Client, permission: Permission, issuer: string | undefined): void {
  const known = issuer === undefined || client.issuers.includes('*') || client.issuers.includes(issuer);
  if (known && client.may.includes(permission)) return;
  throw new Problem(
    'forbidden',
    `client ${client.name} may not ${permission}${issuer === undefined ? '' : ` for issuer ${issuer}`}`,
    { field: 'client certificate', value: client.name, rule: 'CT-3.4' },
  );
}
