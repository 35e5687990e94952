/**
 * Are the key files of an issuer there, and the keys that its certificates were issued for? What `serve` would refuse, found by
 * `issuer add` and `check-config` before somebody restarts. Only the public half is kept (P7).
 */
import { softwarePublicKey } from '../adapters/software-key/key-holder.ts';
import type { KeyReference } from '../core/key-reference.ts';
import type { Finding } from '../core/lint/finding.ts';
import { Problem } from '../core/problem.ts';
import { checkCrlKey, checkOcspKey } from '../core/signer-checks.ts';
import type { IssuerSetup } from './issuer-files.ts';

export function checkKeys({ issuer, responders, crlKeys }: IssuerSetup): readonly Problem[] {
  return [
    ...responders.flatMap(({ certificate, keys, use }) =>
      filesOf(use === 'signing' ? keys : []).flatMap((file) =>
        problemsOf(file, (spkiDer) => checkOcspKey(spkiDer, certificate, issuer)),
      ),
    ),
    ...filesOf(crlKeys ?? []).flatMap((file) => problemsOf(file, (spkiDer) => checkCrlKey(spkiDer, issuer))),
  ];
}

/** A key in a token is checked when the token is activated. */
function filesOf(keys: readonly KeyReference[]): readonly string[] {
  return keys.flatMap((key) => (key.kind === 'file' ? [key.file] : []));
}

function problemsOf(file: string, check: (spkiDer: Uint8Array) => readonly Finding[]): readonly Problem[] {
  let findings: readonly Finding[];
  try {
    findings = check(softwarePublicKey(file));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return [error];
  }
  return findings
    .filter(({ severity }) => severity === 'error')
    .map(
      ({ rule, citation, message }) => new Problem('config', message, { field: file, rule: `${rule}, ${citation}` }),
    );
}
