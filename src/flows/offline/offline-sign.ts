/**
 * Signs a request on a machine that knows nothing but the CA certificate and the key.
 *
 *  1. judge     every item, before the first is signed (core/offline/judge.ts); the text of the file must be what its octets say.
 *  2. sign      one after the other.
 *  3. check     each result is read back, its signature verified, linted. One that fails fails all: nothing is handed out.
 *
 * Nothing is kept between two runs. The same request may be signed again: the same CRL comes of it (with RSA to the last octet), and
 * another responder certificate with a serial of its own.
 */
import { randomBytes } from 'node:crypto';
import { assembleCertificate, certificateToBeSigned } from '../../core/certificate-writer.ts';
import { assembleCrl } from '../../core/crl/crl.ts';
import { readCrl } from '../../core/crl/crl-reader.ts';
import type { Issuer } from '../../core/issuer.ts';
import type { Finding } from '../../core/lint/finding.ts';
import { readRequest } from '../../core/offline/csr-reader.ts';
import { describeRequest } from '../../core/offline/describe.ts';
import { judgeItem, type JudgedWith } from '../../core/offline/judge.ts';
import type { MaterialItem, OfflineRequest, RequestItem } from '../../core/offline/offline-file.ts';
import { responderDraft, SERIAL_OCTETS } from '../../core/offline/responder-issuance.ts';
import { assembleResponse, readBasic } from '../../core/offline/unsigned.ts';
import { Problem } from '../../core/problem.ts';
import { loadResponderCertificate } from '../../core/responder-certificate.ts';
import { checkResponderCertificate } from '../../core/signer-checks.ts';
import type { KeyHolder } from '../../ports/key-holder.ts';
import { verified } from '../sign/check-answer.ts';

/**
 * The lines that a person must see before the key is used.
 * @throws Problem `corrupt` when the file's text is not what its octets say; `refused` for what the CA must not sign, with the rule.
 */
export function reviewRequest(request: OfflineRequest, issuer: Issuer, given: JudgedWith): readonly string[] {
  const { items, summary } = request;
  const lines = describeRequest(issuer, items);
  const different = lines.findIndex((line, i) => line !== summary[i]);
  if (different !== -1 || lines.length !== summary.length) {
    const at = different === -1 ? lines.length : different;
    throw new Problem(
      'corrupt',
      `the file says something else than its octets, which say: ${lines[at] ?? 'nothing more'}`,
      {
        field: `summary/${at}`,
        value: summary[at],
        rule: 'SR-6.7',
      },
    );
  }
  items.forEach((item, i) => {
    try {
      judgeItem(item, issuer, given);
    } catch (error) {
      throw error instanceof Problem ? error.within(`item ${i + 1}: `) : error;
    }
  });
  return lines;
}

/** @throws Problem `refused` when the key is not the CA's, `unavailable` when it does not sign, `corrupt` for what came of it. */
export async function signRequest(
  request: OfflineRequest,
  issuer: Issuer,
  holder: KeyHolder,
  given: JudgedWith,
): Promise<readonly MaterialItem[]> {
  if (!holder.publicKey.equals(issuer.spkiDer))
    throw new Problem('refused', `is not the key of ${issuer.name}`, {
      field: '--key',
      value: holder.describe,
      rule: 'T-19',
    });
  const signed: MaterialItem[] = [];
  for (const item of request.items) signed.push(await signItem(item, issuer, holder, given));
  return signed;
}

async function signItem(
  item: RequestItem,
  issuer: Issuer,
  holder: KeyHolder,
  given: JudgedWith,
): Promise<MaterialItem> {
  switch (item.kind) {
    case 'crl': {
      const der = assembleCrl(item.tbs, holder.algorithm, await signOne(item.tbs, issuer, holder));
      mustReadBack(readCrl(der).tbs, item.tbs);
      return { kind: 'crl', der };
    }
    case 'ocsp': {
      const der = assembleResponse(item.tbs, holder.algorithm, await signOne(item.tbs, issuer, holder));
      mustReadBack(readBasic(der).basic.tbs, item.tbs);
      return { kind: 'ocsp', der };
    }
    case 'responder': {
      const { rules, nowMs } = given;
      const asked = readRequest(item.csr);
      const draft = responderDraft(issuer, asked, randomBytes(SERIAL_OCTETS), item.validityMs, nowMs);
      const tbs = certificateToBeSigned(draft, holder.algorithm);
      const der = assembleCertificate(tbs, holder.algorithm, await signOne(tbs, issuer, holder));
      const errors = checkResponderCertificate(loadResponderCertificate(der), issuer, rules, nowMs).filter(isError);
      if (errors.length > 0)
        throw new Problem('corrupt', errors.map(({ rule, message }) => `${rule} ${message}`).join('; '), {
          field: 'responder certificate',
          rule: errors[0]?.citation ?? 'P6',
        });
      return { kind: 'responder', der, key: item.key };
    }
  }
}

const isError = ({ severity }: Finding): boolean => severity === 'error';

/** P6: verified with the CA certificate's key, not with what the holder calls its own. */
async function signOne(tbs: Buffer, issuer: Issuer, holder: KeyHolder): Promise<Buffer> {
  const [result] = await holder.sign([tbs], 'urgent');
  if (result?.ok && (await verified(tbs, result.signature, issuer.publicKey, holder.algorithm.identifier)))
    return result.signature;
  const why = result === undefined || result.ok ? 'its signature does not verify' : result.error.message;
  throw new Problem('unavailable', `the key cannot sign: ${why}`, { field: '--key', value: holder.describe });
}

function mustReadBack(read: Uint8Array, tbs: Buffer): void {
  if (!tbs.equals(read))
    throw new Problem('corrupt', 'does not read back as what was to be signed', { field: 'signed item', rule: 'P6' });
}
