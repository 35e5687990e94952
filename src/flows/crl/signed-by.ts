/** Whose CRL it is, asked before anything is done with one that was signed elsewhere (RFC 5280 §6.3.3). */
import type { CrlView } from '../../core/crl/crl-reader.ts';
import type { Issuer } from '../../core/issuer.ts';
import { Problem } from '../../core/problem.ts';
import { verifierOf } from '../../core/signature-algorithm.ts';
import { verified } from '../sign/check-answer.ts';

/**
 * The name octet for octet (T-15), the key by the signature, since one name can have two (T-19).
 * @throws Problem `refused`
 */
export async function mustBeSignedBy({ nameDer, name, publicKey }: Issuer, view: CrlView): Promise<void> {
  if (!nameDer.equals(view.issuer))
    throw new Problem('refused', `a CRL of another CA than ${name}`, { field: 'issuer', rule: 'RFC 5280 §5.1.2.3' });
  // Told apart from a wrong signature: this one may be right, and an old CA has to sign again.
  if (verifierOf(view.signatureAlgorithm, publicKey) === undefined)
    throw new Problem('refused', `a signature algorithm that is not accepted with the key of ${name}`, {
      field: 'signatureAlgorithm',
      value: `${Buffer.from(view.signatureAlgorithm.subarray(0, 80)).toString('hex')}, ${publicKey.asymmetricKeyType} key`,
      rule: 'BR 7.1.3.2: RSA, PSS or ECDSA with SHA-256, SHA-384 or SHA-512',
    });
  if (!(await verified(view.tbs, view.signatureValue, publicKey, view.signatureAlgorithm)))
    throw new Problem('refused', `not signed with the key of ${name}`, {
      field: 'signatureValue',
      rule: 'RFC 5280 §5.1.1.3',
    });
}
