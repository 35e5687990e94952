/** What the signer role adds to the issuers: the keys behind their references, each checked against its certificate (P7). */
import { openSoftwareKey } from '../adapters/software-key/key-holder.ts';
import type { KeyReference } from '../core/key-reference.ts';
import type { Finding } from '../core/lint/finding.ts';
import { Problem } from '../core/problem.ts';
import { checkCrlKey, checkOcspKey } from '../core/responder-certificate.ts';
import type { ServedIssuer, SigningKey, SigningKeys } from '../flows/issuer-setup.ts';
import type { KeyHolder } from '../ports/key-holder.ts';
import type { IssuerSetup } from './issuer-files.ts';

/** @throws Problem `config` for a key that cannot be opened, does not belong to its certificate, or may not sign this. */
export async function openSigningKeys(
  setup: IssuerSetup,
  served: ServedIssuer,
  warn: (message: string) => void,
): Promise<SigningKeys> {
  const ocsp = new Map<string, SigningKey>();
  for (const { certificate, keys, use } of setup.responders) {
    // The key of a retired one may be gone, or in other hands: it is not opened.
    if (use !== 'signing') continue;
    const holder = await openKey(keys, warn);
    refuse(checkOcspKey(holder.publicKey, certificate, setup.issuer), holder.describe);
    ocsp.set(certificate.id, { holder, publicKey: certificate.publicKey });
  }
  const crlHolder = setup.crlKeys === undefined ? undefined : await openKey(setup.crlKeys, warn);
  if (crlHolder !== undefined) refuse(checkCrlKey(crlHolder.publicKey, setup.issuer), crlHolder.describe);
  return { ocsp, crl: crlHolder && { holder: crlHolder, publicKey: served.issuer.publicKey } };
}

/** @throws Problem `config` for a key that cannot be opened. */
export function openKey(references: readonly KeyReference[], warn: (message: string) => void): Promise<KeyHolder> {
  const reference = references[0] as KeyReference;
  if (reference.kind !== 'file')
    throw new Problem('config', 'keys in tokens are not supported yet', { value: reference.uri });
  return openSoftwareKey(reference.file, { warn });
}

/** P7: a key that does not belong to its certificate, or may not sign this, stops the start. */
function refuse(findings: readonly Finding[], field: string): void {
  const [finding] = findings.filter(({ severity }) => severity === 'error');
  if (finding !== undefined)
    throw new Problem('config', finding.message, { field, rule: `${finding.rule}, ${finding.citation}` });
}
