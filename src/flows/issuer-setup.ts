/** One issuer as the flows see it: who it is, what its documents say, and (in the signer role only) what signs for it. */
import type { KeyObject } from 'node:crypto';
import type { IssuerTag } from '../core/certificate.ts';
import type { CrlLayout } from '../core/crl/shards.ts';
import type { Issuer } from '../core/issuer.ts';
import type { Profile } from '../core/policy/profile.ts';
import type { KeyHolder } from '../ports/key-holder.ts';
import type { Responders } from './responders.ts';

export interface ServedIssuer {
  /** The operator's name for it: in URLs of the intake, logs and metric labels. */
  readonly id: string;
  readonly tag: IssuerTag;
  readonly issuer: Issuer;
  readonly profile: Profile;
  /** Which CRLs it has: as configured, and from the moment when the store can be read also what was published before (settleLayout). */
  crls: CrlLayout;
  /**
   * What is signed elsewhere, by a key that is never online, and imported: its CRLs, and the OCSP answers of a CA without delegates,
   * whose own certificate stands in `responders` without a key. Undefined: nothing is.
   */
  readonly offline?: { readonly crl: boolean; readonly ocsp: boolean };
  /** Its responder certificates: they change while the service runs. */
  readonly responders: Responders;
}

/** What the signer role adds. Keys are nowhere else (P7). */
export interface SigningKeys {
  /** By responder certificate id. Grows when a certificate is installed while the service runs. */
  readonly ocsp: Map<string, SigningKey>;
  readonly crl: SigningKey | undefined;
}

export interface SigningKey {
  readonly holder: KeyHolder;
  readonly publicKey: KeyObject;
}
