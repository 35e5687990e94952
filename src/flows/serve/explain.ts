/**
 * One request walked through every decision that the responder takes, in its order, with the same functions. For operators and
 * CA engineers: what the wire says in one word (`unauthorized`), this says in full, and it is never sent to a public client.
 */
import { decodeGetPath } from '../../core/ocsp/get-path.ts';
import { issuerKey, parseRequest } from '../../core/ocsp/request.ts';
import { answerable, servable } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import { isRootPage, RouteTable, type PublicUrl } from '../../core/route.ts';
import { rfc3339, type EpochMs } from '../../core/time.ts';
import type { ResponseSource } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';

export interface Explanation {
  /** What a client gets: a certificate status, an OCSP error, or an HTTP status. */
  readonly answer: string;
  readonly steps: readonly Step[];
}

export interface Step {
  readonly step: string;
  readonly finding: string;
  readonly rule?: string;
}

/** As long as a GET target may be. */
const MAX_TEXT = 16_384;

/** @param asked a URL or path of OCSP as a client sends it (those of files are `404` here), or the base64 or hex of an OCSPRequest. */
export async function explain(
  asked: string,
  issuers: readonly ServedIssuer[],
  ocspUrls: readonly PublicUrl[],
  source: ResponseSource,
  nowMs: EpochMs,
): Promise<Explanation> {
  if (asked.length > MAX_TEXT)
    throw new Problem('too-large', `longer than ${MAX_TEXT} characters`, { field: 'request', value: asked });
  const steps: Step[] = [];
  const say = (step: string, finding: string, rule?: string): void =>
    void steps.push({ step, finding, ...(rule !== undefined && { rule }) });
  const end = (answer: string): Explanation => ({ answer, steps });

  const der = requestOctets(asked, ocspUrls, say);
  if (typeof der === 'string') return end(der);
  const request = parseRequest(der);
  if (request.kind === 'malformed') {
    say('request', `${der.length} octets that are not a DER OCSPRequest: ${request.reason}`, 'RFC 6960 §4.1.1');
    return end('malformedRequest');
  }
  const certId = request.kind === 'request' ? request.certIds[0] : undefined;
  if (request.kind === 'too-many' || certId === undefined || request.certIds.length > 1) {
    say('request', 'asks about several certificates; a pre-signed answer speaks of one', 'RFC 9919 §3.1.1');
    return end('unauthorized');
  }
  const extras = [
    request.signed ? 'signed (the signature is ignored)' : '',
    request.nonce === undefined ? '' : `nonce of ${request.nonce.length} octets`,
  ].filter(Boolean);
  say(
    'request',
    `one certificate, serial ${certId.serial}${extras.length > 0 ? `; ${extras.join('; ')}` : ''}`,
    'RFC 6960 §4.1.1',
  );
  if (request.criticalUnknown) {
    say('extensions', 'a critical extension that is not understood', 'RFC 6960 §4.1.2');
    return end('unauthorized');
  }
  if (certId.hash === undefined) {
    say('issuer', 'the CertID is made with a hash that is not served (SHA-1 and SHA-256 are)', 'RFC 9919 §3.1.1');
    return end('unauthorized');
  }
  const { hash } = certId;
  const issuer = issuers.find(
    (served) => issuerKey(served.issuer.hashes[hash].name, served.issuer.hashes[hash].key) === certId.issuerKey,
  );
  if (issuer === undefined) {
    const octets = Buffer.from(certId.issuerKey, 'latin1');
    const sameName = issuers.find((served) =>
      served.issuer.hashes[hash].name.equals(octets.subarray(0, octets.length / 2)),
    );
    const why =
      sameName === undefined ? 'no issuer here has this name' : `issuer ${sameName.id} has this name, but another key`;
    say(
      'issuer',
      `${hash} name hash ${octets.toString('hex', 0, octets.length / 2)}, key hash ${octets.toString('hex', octets.length / 2)}: ${why}`,
      'RFC 6960 §2.3',
    );
    return end('unauthorized');
  }
  say('issuer', `${issuer.id}: ${issuer.issuer.name} (CertID with ${hash})`);
  if (request.nonce !== undefined) {
    const { nonce, live } = issuer.profile.ocsp;
    if (nonce === 'ignore') say('nonce', 'answered without it: ocsp.nonce is ignore', 'RFC 9919 §3.2.1');
    else {
      const most = `${live.perSecond} a second, ${live.waiting} waiting`;
      say(
        'nonce',
        `an answer signed for this request alone while the budget lasts (${most}), else as follows`,
        'RFC 9654 §2.1',
      );
    }
  }

  const found = await source.lookup(issuer.tag, certId.serial);
  if (found.kind === 'unknown') {
    say(
      'ledger',
      'this issuer never issued a certificate or precertificate with this serial',
      'RFC 9919 §3.2.3, BR 4.9.9',
    );
    return end('unauthorized');
  }
  const { certificate } = found;
  const status =
    certificate.revocation === undefined
      ? 'good'
      : `revoked since ${rfc3339(certificate.revocation.revokedAt)}, reason ${certificate.revocation.reason ?? 'none'}`;
  say(
    'ledger',
    `${status}; revision ${certificate.revision}, recorded ${rfc3339(certificate.recordedAt)}${certificate.precertificate ? ', precertificate only' : ''}`,
  );
  if (!answerable(issuer.profile, certificate.notAfter, nowMs)) {
    say('life', `expired ${rfc3339(certificate.notAfter ?? 0)}; answers end with the certificate`, 'RFC 9919 §3.2.3');
    return end('unauthorized');
  }
  if (found.kind === 'pending') {
    say(
      'answer',
      'no answer of this revision is published yet: the signer is asked, tryLater if it cannot in time',
      'RFC 6960 §2.3',
    );
    return end('signed on demand');
  }
  const { response } = found;
  say(
    'answer',
    `thisUpdate ${rfc3339(response.thisUpdate)}, nextUpdate ${rfc3339(response.nextUpdate)}, to be re-signed ${rfc3339(response.refreshAt)}, responder certificate ${response.responder}`,
  );
  if (issuer.responders.find(response.responder) === undefined) {
    say(
      'answer',
      `responder certificate ${response.responder} is not known or not served any more: the signer is asked, tryLater if it cannot in time`,
    );
    return end('signed on demand');
  }
  if (!servable(response, nowMs)) {
    say(
      'freshness',
      `not servable at ${rfc3339(nowMs)}: the signer is asked, tryLater if it cannot in time`,
      'RFC 9919 §5',
    );
    return end('signed on demand');
  }
  return end(certificate.revocation === undefined ? 'good' : 'revoked');
}

/** The DER, or the answer when it does not come to that. */
function requestOctets(
  asked: string,
  ocspUrls: readonly PublicUrl[],
  say: (step: string, finding: string, rule?: string) => void,
): Uint8Array | string {
  if (/^(?:[0-9a-f]{2})+$/i.test(asked) && asked.startsWith('30')) {
    say('input', 'hex of an OCSPRequest');
    return Buffer.from(asked, 'hex');
  }
  const isTarget = /^https?:\/\//i.test(asked) || asked.startsWith('/');
  let rest = asked;
  if (isTarget) {
    const route = new RouteTable<never>(ocspUrls, []).find({ target: asked, host: '' });
    if (route.kind !== 'ocsp') {
      say('path', 'no OCSP service is mounted at this path');
      return '404';
    }
    rest = route.rest;
    if (route.atRoot) {
      // As in answer.ts: at the root only what can be a request is one.
      const found = decodeGetPath(rest);
      if (isRootPage(route)) {
        say('path', 'the root: a page for people and load balancers');
        return '200';
      }
      if (typeof found === 'string' || found[0] !== SEQUENCE) {
        say('path', 'OCSP is mounted at the root, and this path holds no request');
        return '404';
      }
    }
    say('path', `an OCSP mount; request in ${rest.length} characters`, 'RFC 9919 §6');
  } else say('input', 'base64 of an OCSPRequest');
  const der = decodeGetPath(rest);
  if (typeof der !== 'string') return der;
  say('path', `no request in the path: ${der}`, 'RFC 6960 App. A.1');
  return 'malformedRequest';
}

const SEQUENCE = 0x30;
