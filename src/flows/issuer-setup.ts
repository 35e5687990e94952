/** One issuer as the flows see it: who it is, what its documents say, and (in the signer role only) what signs for it. */
import type { KeyObject } from 'node:crypto';
import type { IssuerTag } from '../core/certificate.ts';
import type { Issuer } from '../core/issuer.ts';
import type { ResponseTemplate } from '../core/ocsp/response.ts';
import type { Profile } from '../core/policy/profile.ts';
import type { ResponderCertificate } from '../core/responder-certificate.ts';
import type { KeyHolder } from '../ports/key-holder.ts';

export interface ServedIssuer {
  /** The operator's name for it: in URLs of the intake, logs and metric labels. */
  readonly id: string;
  readonly tag: IssuerTag;
  readonly issuer: Issuer;
  readonly profile: Profile;
  /** Every responder certificate whose answers may still be in the store, newest first. */
  readonly responders: readonly ServedResponder[];
}

export interface ServedResponder {
  readonly certificate: ResponderCertificate;
  readonly template: ResponseTemplate;
}

/** What the signer role adds. Keys are nowhere else (P7). */
export interface SigningKeys {
  /** By responder certificate id. */
  readonly ocsp: ReadonlyMap<string, { readonly holder: KeyHolder; readonly publicKey: KeyObject }>;
  readonly crl: { readonly holder: KeyHolder; readonly publicKey: KeyObject } | undefined;
}
