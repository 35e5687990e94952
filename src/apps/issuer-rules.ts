/** What must hold of an issuer's directory beyond the form of its issuer.yaml: its id, and who may sign what. */
import type { z } from 'zod';
import type { Issuer } from '../core/issuer.ts';
import type { Profile } from '../core/policy/profile.ts';
import { Problem } from '../core/problem.ts';
import type { issuerSchema } from './issuer-schema.ts';
import type { Locate } from './yaml-file.ts';

/** Ids: what may stand in a URL path and a metric label without escaping. */
const ISSUER_ID = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** @throws Problem `config` */
export function checkId(id: string, field: string): void {
  if (ISSUER_ID.test(id)) return;
  throw new Problem('config', 'an issuer id is 1 to 63 of a-z, 0-9 and -, not beginning or ending with -', {
    field,
    value: id,
  });
}

/** Whether the CA key may sign CRLs here, where issuer.yaml names one. */
export function checkCrlSigner(
  profile: Profile,
  issuer: Issuer,
  crlKey: string | readonly string[] | undefined,
  at: Locate,
): readonly Problem[] {
  if (crlKey === undefined) return [];
  const problems: Problem[] = [];
  if (profile.authorities.includes('secom')) {
    problems.push(
      new Problem('config', 'a root key is never online: import its CRLs instead', {
        field: at('crl', 'key'),
        rule: 'SR-6.1.7, SR-6.7',
      }),
    );
  }
  if (!issuer.keyUsage.crlSign) {
    problems.push(
      new Problem('config', 'the CA certificate does not permit cRLSign', {
        field: at('crl', 'key'),
        rule: 'CT-6.1.7-a',
      }),
    );
  }
  return problems;
}

/** Whether the CA may sign its own answers, where issuer.yaml says so. */
export function checkOcspSigner(
  profile: Profile,
  issuer: Issuer,
  { ocsp, responders }: z.output<typeof issuerSchema>,
  at: Locate,
): readonly Problem[] {
  if (ocsp.signedBy !== 'ca') return [];
  const field = at('ocsp', 'signedBy');
  const problems: Problem[] = [];
  if (!issuer.keyUsage.digitalSignature)
    problems.push(
      new Problem('config', 'the CA certificate has no digitalSignature: it must not sign answers', {
        field,
        rule: 'T-20, B-23',
      }),
    );
  if (profile.authorities.includes('secom') || profile.authorities.includes('cybertrust'))
    problems.push(
      new Problem('config', 'answers are signed with responder certificates, never by the CA', {
        field,
        rule: 'SR-6.1.7-d, CT-4.9.9-c',
      }),
    );
  if (responders.length > 0)
    problems.push(
      new Problem('config', 'either the CA signs answers, or its responders do', {
        field: at('responders'),
        rule: 'T-20',
      }),
    );
  return problems;
}
