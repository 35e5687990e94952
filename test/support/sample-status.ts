/** A status with something in every part, whose texts are five words: for what the page makes of it. */
import type { Status } from '../../src/apps/admin/status.ts';
import type { CrlStatus, IssuerStatus } from '../../src/apps/admin/status-issuer.ts';
import type { TokenStatus } from '../../src/apps/admin/status-parts.ts';
import { PROMISES, type PromiseId } from '../../src/apps/admin/promises.ts';

const AT = '2026-11-20T08:00:00Z';
const EARLIER = '2026-11-20T07:55:30Z';
const LATER = '2026-11-20T12:30:00Z';

export const CRL: CrlStatus = {
  shard: '',
  state: 'ok',
  url: 'http://crl.test/a.crl',
  number: '17',
  thisUpdate: EARLIER,
  nextUpdate: LATER,
  entries: 3,
  bytes: 640,
};

export function token(state: string, words: readonly string[] = ['SoftHSM', 'alice']): TokenStatus {
  return {
    name: 'hsm 1',
    describe: words[0] ?? '',
    state,
    threshold: 2,
    activatedAt: EARLIER,
    activatedBy: words,
    sharesOf: words,
    deactivationBy: words,
    issuers: words,
  };
}

export function issuer(words: readonly string[]): IssuerStatus {
  const [id = '', name = '', preset = '', url = '', responder = ''] = words;
  return {
    id,
    name,
    preset,
    certificates: 12,
    good: 11,
    revoked: 1,
    withoutAnswer: 1,
    oldestThisUpdate: EARLIER,
    leastNextUpdate: LATER,
    ageSeconds: { '0.5': 100, '0.9': 200, '0.99': 250, '1': 270 },
    ageLimitSeconds: 172_800,
    answersDueAt: LATER,
    crl: { number: '17', thisUpdate: EARLIER, nextUpdate: LATER, entries: 3, bytes: 640 },
    crls: {
      scopes: 2,
      wrong: { missing: 0, expired: 1, refused: 0, late: 0 },
      entries: 3,
      largestBytes: 640,
      worst: [
        { ...CRL, url },
        { ...CRL, shard: '1', state: 'missing', number: undefined, nextUpdate: undefined, url },
      ],
      more: 0,
    },
    signsCrls: true,
    nextScheduledCrl: LATER,
    crlPeriod: '8h',
    responders: [{ id: responder, notBefore: EARLIER, notAfter: LATER, days: 0, use: 'signing', signs: true }],
    successorDueAt: LATER,
  };
}

export function sample(words: readonly string[]): Status {
  const [a = '', b = '', c = '', d = '', e = ''] = words;
  return {
    at: AT,
    verdict: 'failing',
    sentence: a,
    service: { name: b, version: c, roles: [d], startedAt: EARLIER },
    problems: [
      {
        severity: 'failing',
        alert: 'TokenUnusable',
        subject: e,
        what: a,
        means: b,
        promise: { id: 'P4', breaksAt: LATER },
        todo: c,
        since: EARLIER,
      },
      { severity: 'warning', alert: 'CrlTooLarge', subject: undefined, what: d, means: e, promise: undefined, todo: a, since: undefined }, // prettier-ignore
    ],
    due: [{ at: LATER, kind: 'crl', subject: a, what: b, by: 'service' }],
    promises: (Object.keys(PROMISES) as PromiseId[]).map((id, i) => ({
      id,
      name: PROMISES[id],
      state: (['kept', 'at-risk', 'broken', 'elsewhere'] as const)[i % 4] ?? 'kept',
      shownBy: c,
    })),
    issuers: [issuer(words)],
    revocations: {
      oldestNotInOcsp: EARLIER,
      oldestNotOnCrl: EARLIER,
      unseen: { ocsp: 1, crl: 2 },
      limits: [{ limit: '24h', leftSeconds: 3600 }],
    },
    tokens: [token(c, words)],
    lanes: [{ lane: d, waiting: 1200, perSecond: 900, etaSeconds: 1.5 }],
    slots: [{ slot: e, sessions: 2, signatures: 10, failures: 1, busySeconds: 3 }],
    store: { usable: false, failure: a, silentSeconds: 2, lagSeconds: 0.1, gaps: 1, roundTripSeconds: 0.001, bytes: 9e6, tableEntries: 12, tableBytes: 9000 }, // prettier-ignore
    disks: [{ directory: b, freeBytes: 5e9 }],
    audit: { seq: 4821, writable: true, headAgeSeconds: 3, bytes: 1e6 },
    monitor: {
      reconcile: { differences: 0, ageSeconds: 600 },
      probes: [{ url: c, findings: 1, ageSeconds: 60 }],
      samples: [{ issuer: d, wrong: 0, ageSeconds: 60 }],
      clockOffsetSeconds: [{ against: e, seconds: -0.02 }],
    },
    mass: a,
    massRun: { plan: a, state: 'recording', selected: 1000, recorded: 400, waiting: 150, recordedPerSecond: 90, signedPerSecond: 60, leftSeconds: 7, startedAt: EARLIER, startedBy: b, failure: c }, // prettier-ignore
    processes: [{ index: 0, state: 'serving', pid: 4711, restarts: 1, residentBytes: 8e7 }],
    storeFailure: a,
    archive: { verifiedAt: EARLIER, problems: 1, copies: { describe: d, waiting: 2, oldest: EARLIER } },
    events: [{ at: EARLIER, kind: 'change', severity: undefined, what: e, by: a }],
  };
}
