/**
 * Whoever looks at the status page finds what Prometheus would wake them for: each alert is a problem there, from the same limit on and
 * as urgent, or stands in ONLY_OUTSIDE. Each case is one step past its limit, and its neighbour one step before it, where all is calm.
 * The numbers are those of the documents, written out: a limit that moves by itself is a failure here.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeProgram } from '../../src/apps/program.ts';
import { ALERTS, ONLY_OUTSIDE, type ShownAlert } from '../../src/core/alerts.ts';
import { DAY, HOUR, MINUTE, rfc3339, SECOND } from '../../src/core/time.ts';
import type { GaugeSources } from '../../src/flows/gauges.ts';
import type { MassView } from '../../src/flows/mass/mass-revocation.ts';
import { namesCommand } from '../support/command-line.ts';
import { grewBy, HALF_MINUTE, NOW, World } from '../support/status-world.ts';

/** @param past whether the limit is passed, or just not reached. */
type Scene = (world: World, past: boolean) => void;

const gauge =
  (name: string, labels: Readonly<Record<string, string>>, wrong: number, right: number): Scene =>
  (world, past) =>
    world.gauge(name, labels, past ? wrong : right);

function mass(more: Partial<MassView>): () => MassView {
  const run = { plan: 'p', state: 'recording', startedAt: NOW - HOUR, startedBy: 'a', counts: { lines: 1 } };
  const view = { plan: { id: 'p', counts: { selected: 9 } }, run, waiting: 0, failure: undefined, recordedPerSecond: 1, signedPerSecond: 1, recordingLeftMs: 0, signingLeftMs: 0 }; // prettier-ignore
  return () => ({ ...view, ...more }) as unknown as MassView;
}

function offline(alert: string | undefined): GaugeSources['offline'] {
  const notices = alert === undefined ? [] : [{ alert, issuer: 'calm', endsAt: NOW + DAY, what: 'The CRL ends soon.', advice: 'Sign the next one.' }]; // prettier-ignore
  return { materials: [], notices: () => notices } as unknown as GaugeSources['offline'];
}

function token(state: string): ReturnType<GaugeSources['tokens']> {
  const view = { name: 'hsm', describe: '', state, failure: undefined, source: 'shares', threshold: 2, activated: undefined, shares: undefined, deactivation: undefined }; // prettier-ignore
  return [{ view, issuers: [], servedUntil: undefined }] as unknown as ReturnType<GaugeSources['tokens']>;
}

const CASES: Readonly<Record<ShownAlert, readonly Scene[]>> = {
  AnswersStale: [(world, past) => void (world.oldestThisUpdate = NOW - 2 * DAY - (past ? MINUTE : -20 * HOUR))],
  AnswersRefreshedLate: [(world, past) => void (world.oldestThisUpdate = NOW - (past ? 33 : 20) * HOUR)],
  AnswersRunOut: [
    (world, past) => {
      world.oldestThisUpdate = NOW - 13 * HOUR;
      world.leastNextUpdate = NOW + 12 * HOUR - (past ? SECOND : 0);
    },
    // In the first half of its life.
    (world, past) => {
      world.leastNextUpdate = NOW + 8 * HOUR;
      world.oldestThisUpdate = world.sources.clock.now() - 8 * HOUR - (past ? SECOND : 0);
    },
  ],
  AnswersNotCounted: [
    (world, past) => {
      world.gauge('certstatus_freshness_complete', {}, 0);
      world.gauge('certstatus_start_time_seconds', {}, (NOW - 30 * MINUTE) / SECOND - (past ? 1 : 0));
    },
  ],
  CertificatesWithoutAnswer: [gauge('certstatus_certificates_without_answer', { issuer: 'calm' }, 1, 0)],
  RevocationNotInOcsp: [
    (world, past) => void world.oldest.set('revocation', () => NOW - 5 * MINUTE - (past ? SECOND : 0)),
    gauge('certstatus_revocation_unseen_oldest_seconds', { channel: 'ocsp' }, 7201, 7200),
  ],
  RevocationNotOnCrl: [
    (world, past) => {
      const [publisher] = world.sources.publishers.values();
      Object.assign(publisher ?? {}, { oldestUnlisted: NOW - 30 * MINUTE - (past ? SECOND : 0) });
    },
    gauge('certstatus_revocation_unseen_oldest_seconds', { channel: 'crl' }, 14_401, 14_400),
    (world, past) => void (world.sources.offline = offline(past ? 'RevocationNotOnCrl' : undefined)),
  ],
  RevocationDeadlineNear: [
    gauge('certstatus_revocation_deadline_seconds', { limit: '24h' }, 21_599, 21_600),
    gauge('certstatus_revocation_deadline_seconds', { limit: '5d' }, 86_399, 86_400),
    gauge('certstatus_revocation_least_margin_seconds', {}, 21_599, 21_600),
  ],
  IssuanceLate: [
    (world, past) => {
      world.looks.from = past ? 310 : 290;
      world.waiting.set('issue', () => 3);
      world.oldest.set('issue', () => NOW - 10 * MINUTE);
      world.counter('certstatus_signed_certificates_total', { lane: 'issue', outcome: 'published' }, () => 4);
    },
    // One is signed now and then, here or elsewhere.
    (world, past) => {
      world.looks.from = 600;
      world.waiting.set('issue', () => 3);
      world.oldest.set('issue', () => NOW - 10 * MINUTE);
      world.counter('certstatus_signed_certificates_total', { lane: 'issue', outcome: 'published' }, grewBy(1, past ? 301 : 299)); // prettier-ignore
    },
    (world, past) => {
      world.looks.from = 600;
      world.waiting.set('issue', (ago) => (!past && ago < 100 ? 2 : 3));
      world.oldest.set('issue', () => NOW - 10 * MINUTE);
    },
    (world, past) => {
      world.looks.from = 600;
      world.waiting.set('issue', (ago) => 1000 - ago);
      world.oldest.set('issue', (ago) => NOW - 10 * MINUTE + (!past && ago < 100 ? 1 : 0));
    },
  ],
  MassRevocationStalled: [
    (world, past) => void (world.sources.mass = mass(past ? { failure: 'the store is away' } : {})),
    (world, past) => {
      const { run } = mass({})();
      world.sources.mass = mass({ run: { ...run, state: past ? 'paused' : 'recording' } });
    },
  ],
  MassRevocationSlow: [
    (world, past) => void (world.sources.mass = mass({ signingLeftMs: 18 * HOUR + (past ? SECOND : 0) })),
  ],
  CrlMissing: [
    (world, past) => {
      if (past) world.sources.files = { crl: () => undefined } as unknown as GaugeSources['files'];
    },
    (world, past) => void (world.crl.nextUpdate = past ? NOW - SECOND : NOW + 6 * DAY),
  ],
  CrlLate: [
    (world, past) => {
      // Published every six hours.
      world.crl.scheduledAt = NOW - 7 * HOUR - (past ? SECOND : 0);
    },
  ],
  CrlRunsOut: [
    (world, past) => {
      world.crl.nextUpdate = NOW + 3 * DAY - (past ? SECOND : 0);
      world.crl.thisUpdate = NOW - 9 * DAY;
    },
    (world, past) => {
      world.crl.nextUpdate = NOW + 2 * DAY;
      world.crl.thisUpdate = NOW - 6 * DAY - (past ? SECOND : 0);
    },
  ],
  CrlRefused: [
    (world, past) => {
      const [publisher] = world.sources.publishers.values();
      Object.assign(publisher ?? {}, { publishers: new Map([['', { refused: past, current: world.crl }]]) });
    },
  ],
  CrlTooLarge: [(world, past) => void (world.crl.bytes = past ? 8_000_001 : 8_000_000)],
  CrlUrlsUndeclared: [
    (world, past) => {
      const dueBy = NOW + 3 * DAY - (past ? SECOND : 0);
      world.sources.urls = { openOf: () => ({ count: 1, dueBy }) } as unknown as NonNullable<GaugeSources['urls']>;
    },
  ],
  TokenUnusable: [(world, past) => void (world.sources.tokens = () => token(past ? 'lost' : 'active'))],
  KeyUnusable: [
    (world, past) => {
      const { keys } = world.at;
      const crl = { ...keys.crl, holder: { ...keys.crl?.holder, failure: past ? 'CKR_KEY_HANDLE_INVALID' : undefined } }; // prettier-ignore
      world.sources.signers = [{ ...world.at, keys: { ...keys, crl } }] as unknown as GaugeSources['signers'];
    },
  ],
  SigningFails: [
    (world, past) => {
      world.looks.from = 600;
      world.counter('certstatus_signature_failures_total', { slot: 'hsm' }, grewBy(past ? 4 : 3, 200));
      world.counter('certstatus_signatures_total', { slot: 'hsm', use: 'ocsp' }, grewBy(39, 200));
    },
    (world, past) => {
      world.looks.from = 600;
      world.counter('certstatus_signature_failures_total', { slot: 'hsm' }, grewBy(4, 200));
      world.counter('certstatus_signatures_total', { slot: 'hsm', use: 'ocsp' }, grewBy(past ? 39 : 40, 200));
    },
    // Longer ago than the alert looks; in the first minute of the process.
    (world, past) => {
      world.looks.from = past ? 60 : 600;
      world.counter('certstatus_signature_failures_total', { slot: 'hsm' }, grewBy(50, past ? 10 : 320));
    },
  ],
  SigningRefused: [
    (world, past) => {
      world.looks.from = 1200;
      world.counter('certstatus_signing_refused_total', { reason: 'check' }, grewBy(1, past ? 890 : 910));
    },
    // A first one, since the start; what the key holder refuses is for others to say.
    (world, past) => {
      world.looks.from = 1200;
      world.counter('certstatus_signing_refused_total', { reason: past ? 'audit-log' : 'key-holder' }, grewBy(1, 30));
    },
  ],
  BacklogGrows: [
    gauge('certstatus_lane_eta_seconds', { lane: 'refresh' }, 14_401, 14_400),
    (world, past) => {
      world.looks.from = past ? 1810 : 1790;
      world.waiting.set('refresh', (ago) => 5000 - ago);
    },
  ],
  AuditLogUnwritable: [
    (world, past) => {
      const journal = { failure: past ? 'no space left on device' : undefined, head: { seq: 1, hash: '' }, headAt: NOW, bytes: 1 }; // prettier-ignore
      world.sources.journal = journal as unknown as NonNullable<GaugeSources['journal']>;
    },
  ],
  DiskFills: [
    gauge('certstatus_disk_free_bytes', { directory: 'audit' }, 999_999_999, 1e9),
    // Ten gigabytes, and one in two hours less.
    (world, past) => {
      world.looks = { from: past ? 2 * 3600 : 3500, step: 60 };
      world.gauge('certstatus_disk_free_bytes', { directory: 'audit' }, (ago) => 10e9 + (ago / 7200) * 1e9);
    },
    (world, past) => {
      world.looks = { from: 2 * 3600, step: 60 };
      world.gauge('certstatus_disk_free_bytes', { directory: 'audit' }, (ago) => (past ? 11.9e9 : 12.1e9) + (ago / 7200) * 1e9); // prettier-ignore
    },
  ],
  StoreUnusable: [
    (world, past) => void (world.failure = past ? 'Redis does not answer' : undefined),
    gauge('certstatus_store_usable', { process: '2' }, 0, 1),
  ],
  FeedSilent: [
    gauge('certstatus_feed_silent_seconds', {}, 60.1, 60),
    gauge('certstatus_feed_silent_seconds', { process: '2' }, 61, 1),
  ],
  ResponderCertificateDue: [
    (world, past) => void (world.at.served.responders.signing.length > 0 && endsIn(world, 5 * DAY + 14 * DAY - (past ? SECOND : -SECOND))), // prettier-ignore
  ],
  ResponderCertificateEnds: [
    (world, past) => {
      if (past) endsIn(world, 5 * DAY + 3 * DAY - SECOND);
    },
    (world, past) => {
      if (past) world.sources.signsWith = () => undefined;
    },
  ],
  CaCertificateEnds: [
    gauge('certstatus_ca_certificate_remaining_seconds', { issuer: 'calm' }, 260 * 86_400 - 1, 260 * 86_400),
  ],
  TlsCertificateEnds: [
    gauge('certstatus_tls_certificate_remaining_seconds', { use: 'intake' }, 14 * 86_400 - 1, 14 * 86_400),
    gauge('certstatus_tls_certificate_remaining_seconds', { use: 'intake' }, -5, 15 * 86_400),
  ],
  ReloadRefused: [
    (world, past) => void (world.sources.notReloaded = () => (past ? { line: 'intake.key = a.key: is not the key of a.pem', since: NOW } : undefined)), // prettier-ignore
  ],
  ClockOff: [
    gauge('certstatus_clock_offset_seconds', { against: 'ntp' }, -2.1, 2),
    (world, past) => {
      world.looks.from = 1200;
      world.counter('certstatus_clock_steps_total', {}, grewBy(1, past ? 890 : 910));
    },
    (world, past) => void (world.sources.clocks = { fault: past ? 'the clock is off' : undefined, offsets: { ntp: undefined, redis: undefined } }), // prettier-ignore
  ],
  ProbeFindings: [gauge('certstatus_probe_findings', { url: 'http://a.test/' }, 1, 0)],
  SlowAnswers: [
    (world, past) => {
      world.looks.from = 2400;
      const quick = Array.from({ length: 98 }, () => 0.1);
      world.probed((ago) => (ago > 1700 ? [] : [...quick, 6, past ? 6 : 0.1]));
    },
    // Longer ago than the alert looks.
    (world, past) => {
      world.looks.from = 2400;
      world.probed((ago) => (ago > (past ? 1700 : 1900) ? [] : [9]));
    },
  ],
  LedgerDiffers: [gauge('certstatus_reconcile_differences', {}, 1, 0)],
  MonitorStopped: [
    (world, past) => {
      world.gauge('certstatus_reconcile_age_seconds', {}, 10_800 + 200 + (past ? 1 : 0));
      world.gauge('certstatus_reconcile_duration_seconds', {}, 100);
    },
    gauge('certstatus_probe_age_seconds', { url: 'http://a.test/' }, 10_801, 10_800),
    gauge('certstatus_sample_age_seconds', { issuer: 'calm' }, 10_801, 10_800),
    (world, past) => {
      const startedAt = rfc3339(NOW - 3 * HOUR - (past ? SECOND : 0));
      world.context.service = { name: 'one', version: '0', roles: ['monitor'], startedAt };
    },
  ],
  SampleWrong: [gauge('certstatus_sample_wrong', { issuer: 'calm' }, 1, 0)],
  ArchiveDamaged: [
    (world, past) => void (world.context.archive = { copies: undefined, verified: undefined, problems: past ? 1 : 0 }),
  ],
  ArchiveNotCopied: [
    (world, past) => {
      const copies = { describe: 'S3', waiting: 1, oldest: NOW - HOUR - (past ? SECOND : 0), failure: undefined };
      world.context.archive = { copies, verified: undefined, problems: 0 };
    },
  ],
  OfflineMaterialDue: [
    (world, past) => void (world.sources.offline = offline(past ? 'OfflineMaterialDue' : undefined)),
  ],
  OfflineMaterialEnds: [
    (world, past) => void (world.sources.offline = offline(past ? 'OfflineMaterialEnds' : undefined)),
  ],
  ResponderProcessesDown: [
    (world, past) => {
      const one = { index: 1, state: past ? ('waiting' as const) : ('serving' as const), pid: 1, restarts: 0, told: undefined }; // prettier-ignore
      world.sources.processes = () => [one, { ...one, index: 2, state: 'serving' }];
    },
  ],
  TryLaterServed: [
    // 21 of an hour are the fewest; 1.44 % of the last five minutes.
    (world, past) => {
      world.looks.from = 3600;
      world.counter('certstatus_answers_total', { outcome: 'good' }, grewBy(979, 200));
      world.counter('certstatus_answers_total', { outcome: 'try-later' }, grewBy(past ? 21 : 20, 200));
    },
    (world, past) => {
      world.looks.from = 3600;
      world.counter('certstatus_answers_total', { outcome: 'good' }, grewBy(9855, 200));
      world.counter('certstatus_answers_total', { outcome: 'internal-error' }, grewBy(past ? 145 : 143, 200));
    },
    // It was so, and is over; and what a flood is refused does not count.
    (world, past) => {
      world.looks.from = 3600;
      world.counter('certstatus_answers_total', { outcome: 'good' }, (ago) => 5000 - ago);
      world.counter('certstatus_answers_total', { outcome: 'try-later' }, grewBy(900, past ? 200 : 400));
    },
    (world, past) => {
      world.looks.from = 3600;
      world.counter('certstatus_answers_total', { outcome: 'try-later' }, grewBy(200, 200));
      world.counter('certstatus_lookups_total', { result: 'refused' }, grewBy(past ? 100 : 199, 200));
    },
  ],
  UnissuedFlood: [
    (world, past) => {
      world.looks.from = 600;
      world.counter('certstatus_lookups_total', { result: 'refused' }, grewBy(past ? 301 : 300, 200));
    },
  ],
  ConnectionsShed: [
    (world, past) => {
      world.looks.from = 600;
      world.counter('certstatus_connections_shed_total', { listener: 'public', reason: 'full' }, grewBy(200, 200));
      world.counter('certstatus_connections_shed_total', { listener: 'public', reason: 'room' }, grewBy(past ? 101 : 100, 200)); // prettier-ignore
      world.counter('certstatus_connections_shed_total', { listener: 'public', reason: 'idle' }, grewBy(900, 200));
    },
  ],
};

/** The last responder certificate ends then; answers are valid for four days, and T-17 wants a day more. */
function endsIn(world: World, ms: number): void {
  const [one] = world.at.served.responders.signing;
  assert.ok(one !== undefined);
  const signing = [{ ...one, certificate: { ...one.certificate, notAfter: NOW + ms } }];
  const responders = { signing, shown: () => signing, useOf: () => 'signing' };
  world.sources.issuers = [{ ...world.at.served, responders }] as unknown as GaugeSources['issuers'];
}

describe('every alert', () => {
  it('is a problem of the status page, or cannot be known to a process', () => {
    for (const alert of Object.keys(ALERTS)) assert.ok(alert in CASES !== alert in ONLY_OUTSIDE, alert);
    for (const reason of Object.values(ONLY_OUTSIDE)) assert.ok(reason.length > 40, reason);
  });

  it('is silent while all is well', () => {
    const world = new World();
    world.looks = { from: 3600, step: HALF_MINUTE };
    assert.deepEqual(world.status().problems, []);
  });

  for (const [alert, scenes] of Object.entries(CASES) as [ShownAlert, readonly Scene[]][])
    it(`${alert}: from its limit on, as urgent as Prometheus has it`, () => {
      for (const [i, scene] of scenes.entries()) {
        const [world, calm] = [new World(), new World()];
        scene(world, true);
        const { problems, verdict } = world.status();
        const said = problems.filter((one) => one.alert === alert);
        assert.equal(said.length, 1, `scene ${i}: ${JSON.stringify(problems)}`);
        const severity = ALERTS[alert] === 'page' ? 'failing' : 'warning';
        assert.deepEqual([said[0]?.severity, verdict], [severity, problems.some((one) => one.severity === 'failing') ? 'failing' : 'warning']); // prettier-ignore
        for (const text of [said[0]?.what, said[0]?.means, said[0]?.todo]) assert.match(text ?? '', /^.{10,}\.$/s);
        scene(calm, false);
        assert.deepEqual(calm.status().problems.filter((one) => one.alert === alert), [], `calm scene ${i}`); // prettier-ignore
      }
    });

  it('is no reason to say that every promise is kept while somebody is answered wrongly', () => {
    const world = new World();
    world.gauge('certstatus_reconcile_differences', {}, 2);
    world.gauge('certstatus_reconcile_age_seconds', {}, 600);
    const { sentence, promises } = world.status();
    assert.equal(sentence, 'Broken: P5 “OCSP and CRL agree”.');
    assert.equal(promises.find(({ id }) => id === 'P5')?.state, 'broken');
    const sampled = new World();
    sampled.gauge('certstatus_sample_wrong', { issuer: 'calm' }, 1);
    assert.match(sampled.status().sentence, /^Broken: P6/);
  });

  it('names commands that exist', () => {
    const named = Object.values(CASES).flatMap((scenes) =>
      scenes.flatMap((scene) => {
        const world = new World();
        scene(world, true);
        return world
          .status()
          .problems.flatMap(({ todo }) => [...todo.matchAll(/certstatus ((?:-{0,2}[a-zA-Z]+ ?)+)/g)].map(([, words = '']) => words.trim())); // prettier-ignore
      }),
    );
    assert.ok(named.length > 15, String(named.length));
    assert.deepEqual([...new Set(named)].filter((line) => !namesCommand(makeProgram(), line)), []); // prettier-ignore
  });
});
