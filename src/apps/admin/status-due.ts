/** What has to be done next, by this program or by people, in the order of time. */
import { refreshDeadline } from '../../core/policy/freshness.ts';
import { successorDue } from '../../core/policy/responder-choice.ts';
import { COMPLETE } from '../../core/certificate.ts';
import { rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { GaugeSources } from '../../flows/gauges.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { Figures } from './figures.ts';
import { nextCrl } from './status-issuer.ts';

export interface DueItem {
  readonly at: string;
  readonly kind: 'answers' | 'crl' | 'responder-certificate' | 'offline' | 'activation' | 'certificate' | 'ccadb';
  /** Issuer, token or listener. */
  readonly subject: string;
  readonly what: string;
  /** Who does it: the service by itself, or somebody. */
  readonly by: 'service' | 'person';
}

export function dueOf(sources: GaugeSources, figures: Figures, now: EpochMs): readonly DueItem[] {
  const items: DueItem[] = [];
  const add = (at: EpochMs | undefined, item: Omit<DueItem, 'at'>): void => {
    if (at !== undefined && Number.isFinite(at)) items.push({ at: rfc3339(wholeSecond(at)), ...item });
  };
  for (const issuer of sources.issuers) {
    const { id, profile, offline, responders } = issuer;
    const { oldestThisUpdate } = sources.freshness.of(issuer.tag);
    if (oldestThisUpdate !== undefined && offline?.ocsp !== true) {
      add(refreshDeadline(oldestThisUpdate, oldestThisUpdate + profile.ocsp.validityMs - SECOND), {
        kind: 'answers',
        subject: id,
        what: 'the oldest OCSP answer must have been signed anew',
        by: 'service',
      });
    }
    addCrl(add, issuer, sources);
    const signing = responders.signing.map(({ certificate }) => certificate);
    add(offline?.ocsp === true ? undefined : successorDue(profile, signing, now)?.dueAt, {
      kind: 'responder-certificate',
      subject: id,
      what: 'the next responder certificate must be there',
      by: 'person',
    });
    add(profile.authorities.includes('mozilla') ? sources.urls?.openOf(issuer)?.dueBy : undefined, {
      kind: 'ccadb',
      subject: id,
      what: 'new CRL URLs must be in the CCADB',
      by: 'person',
    });
    add(Math.max(...issuer.issuer.certificates.map(({ notAfter }) => notAfter)), {
      kind: 'certificate',
      subject: id,
      what: 'the CA certificate ends',
      by: 'person',
    });
  }
  for (const { issuer, what, endsAt } of sources.offline?.materials ?? [])
    add(endsAt, { kind: 'offline', subject: issuer, what: `${what}, signed offline, ends`, by: 'person' });
  for (const { view } of sources.tokens()) {
    const { shares, threshold, name } = view;
    add(shares?.until, {
      kind: 'activation',
      subject: name,
      what: `${(threshold ?? 1) - (shares?.persons.length ?? 0)} more shares, or those entered are forgotten`,
      by: 'person',
    });
  }
  for (const { labels, value } of figures.all('certstatus_tls_certificate_remaining_seconds')) {
    const subject = labels['use'] ?? '';
    add(now + value * SECOND, { kind: 'certificate', subject, what: 'the TLS certificate ends', by: 'person' });
  }
  return items.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

function addCrl(
  add: (at: EpochMs | undefined, item: Omit<DueItem, 'at'>) => void,
  issuer: ServedIssuer,
  sources: GaugeSources,
): void {
  // Those that are signed offline are among the offline material.
  if (issuer.offline?.crl === true) return;
  const periodMs = sources.census?.periodMs(issuer) ?? issuer.profile.crl.periodMs;
  const first = nextCrl(issuer, sources, periodMs);
  if (first === undefined) return;
  add(first.at, {
    kind: 'crl',
    subject: issuer.id,
    what: first.shard === COMPLETE ? 'the next scheduled CRL' : `the next scheduled CRL, of shard ${first.shard}`,
    by: 'service',
  });
}
