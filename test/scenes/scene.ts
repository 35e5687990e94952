/**
 * Scenes of the status page: the real flows, store, journal and signatures over a turned clock, three issuers, an hour of made-up
 * traffic. What goes wrong goes wrong in the flows; the page says what it finds.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ADMIN_RIGHTS, CONTENT_SECURITY_POLICY } from '../../src/apps/admin/layout.ts';
import { statusPage } from '../../src/apps/admin/page.ts';
import { StatusWatch } from '../../src/apps/admin/watch.ts';
import type { LANES } from '../../src/core/certificate.ts';
import { sealRecord, type JournalEntry, type JournalRecord } from '../../src/core/journal-record.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, rfc3339, SECOND, wholeSecond } from '../../src/core/time.ts';
import { type GaugeSources, registerGauges, servedUntil } from '../../src/flows/gauges.ts';
import { CrlCensus } from '../../src/flows/crl/crl-census.ts';
import { IssuerCrls } from '../../src/flows/crl/issuer-crls.ts';
import type { MassView } from '../../src/flows/mass/mass-revocation.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { makeIssuer, serials, START, TestService, type TestIssuer } from '../flows/support-service.ts';

export const SCENES = ['well', 'hsm-down', 'crl-late', 'mass', 'many'] as const;
export type Scene = (typeof SCENES)[number];

/** Of the first issuer; the others have fewer. */
const CERTIFICATES = 240;
const FEW_CERTIFICATES = 12;
const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export interface OpenScene {
  readonly url: string;
  readonly watch: StatusWatch;
  readonly service: TestService;
  close(): Promise<void>;
}

/**
 * Everybody may do everything in it, so that every button is seen.
 * @param strideMs of the hour: its charts have as many points as there are strides of it.
 */
export async function openScene(scene: Scene, strideMs = 10 * SECOND): Promise<OpenScene> {
  const stage = new Stage(scene, strideMs);
  try {
    await stage.prepare();
    await stage.play();
    return await stage.open();
  } catch (error) {
    await stage.close();
    throw error;
  }
}

class Stage {
  readonly #scene: Scene;
  readonly #service: TestService;
  readonly #issuers: readonly TestIssuer[];
  #publishers: readonly IssuerCrls[] = [];
  #census!: CrlCensus;
  #watch!: StatusWatch;
  #server: Server | undefined;
  #opened = false;
  #lost = false;
  /** Of the mass revocation: certificates recorded, and answered. */
  #recorded = 0;
  #answered = 0;
  #tick = 0;

  readonly #strideMs: number;
  /** For a test, which has no need of many points and ages. */
  readonly #quick: boolean;

  constructor(scene: Scene, strideMs: number) {
    this.#scene = scene;
    this.#strideMs = strideMs;
    this.#quick = strideMs >= MINUTE;
    const span = (from: number, to: number): { notBefore: number; notAfter: number } => ({
      notBefore: START - from * DAY,
      notAfter: START + to * DAY - SECOND,
    });
    this.#issuers = [
      makeIssuer({ id: 'tls-rsa', name: 'Example TLS CA R1', responders: [span(2, 87), span(64, 25)] }),
      makeIssuer({ id: 'tls-ecc', name: 'Example TLS CA E1', responders: [span(30, 59)] }),
      makeIssuer({
        id: 'smime',
        name: 'Example S/MIME CA',
        responders: [span(20, 69)],
        profile: { ...PROFILE, preset: 'smime', authorities: ['rfc'] },
      }),
    ];
    for (const at of this.#issuers.slice(0, 2)) {
      const url = `http://crl.example.test/${at.served.id}/{shard}.crl`;
      const count = this.#quick ? 2 : at.served.id === 'tls-rsa' ? 6 : 3;
      at.served.crls = { complete: false, completeUrls: [], shards: { count, highest: count, url }, caUrl: undefined };
    }
    this.#service = new TestService(this.#issuers);
  }

  /** Two days of work, so that answers have every age. */
  async prepare(): Promise<void> {
    const service = this.#service;
    await service.open();
    this.#opened = true;
    const { store, journal, clock, metrics } = service;
    this.#publishers = this.#issuers.map(
      (at) => new IssuerCrls(at, store, journal, clock, LOG, metrics.crl(at.served.id)),
    );
    this.#census = new CrlCensus(
      this.#issuers.map(({ served }) => served),
      store,
      clock,
      LOG,
    );
    this.#census.start();
    service.signer.start();
    for (const publisher of this.#publishers) await publisher.start();
    for (const [i, { served }] of this.#issuers.entries()) {
      await service.issue(
        serials((this.#quick ? FEW_CERTIFICATES : CERTIFICATES) / (i + 1), 1000 * i),
        START + 90 * DAY,
        served,
      );
      await clock.stride(this.#quick ? HOUR : 5 * HOUR, this.#quick ? HOUR : 30 * MINUTE);
    }
    await this.#revoke(serials(2, 1000));
    await clock.stride(this.#quick ? 5 * HOUR : DAY, this.#quick ? 5 * HOUR : 30 * MINUTE);
    const sources = this.#sources();
    registerGauges(metrics.set, sources);
    metrics.set.gauge('certstatus_sessions', '', () => (this.#lost ? [] : ['ocsp-a', 'ocsp-b'].map((name) => [{ slot: name }, 2] as const))); // prettier-ignore
    const many = this.#scene === 'many';
    metrics.set.gauge('certstatus_disk_free_bytes', '', () => [[{ directory: 'data' }, 412e9], [{ directory: 'audit' }, many ? 640e6 : 388e9]]); // prettier-ignore
    metrics.set.gauge('certstatus_reconcile_differences', '', () => [[{}, many ? 12 : 0]]);
    if (many) this.#trouble(metrics.set);
    metrics.set.gauge('certstatus_reconcile_age_seconds', '', () => [[{}, 760]]);
    this.#watch = new StatusWatch({
      sources,
      metrics: metrics.set,
      service: { name: 'signer-1', version: '0.1.0', roles: ['intake', 'signer', 'responder', 'monitor'], startedAt: rfc3339(wholeSecond(clock.now())) }, // prettier-ignore
      archive: () => ({ copies: undefined, verified: { finishedAt: clock.now() - 31 * HOUR, crls: 412 }, problems: 0 }),
      counted: () => Promise.resolve(),
      log: LOG,
    });
    this.#watch.follow({ follow: (listener) => this.#tell(listener) });
    this.#watch.start();
  }

  /** An hour, in which something may happen. */
  async play(): Promise<void> {
    const { clock } = this.#service;
    if (this.#scene === 'crl-late') {
      for (const at of this.#issuers.slice(0, 1)) at.crlHolder.behave = () => 'fail';
      await clock.stride(6 * HOUR + 10 * MINUTE, 10 * MINUTE);
    }
    await clock.stride(38 * MINUTE, this.#strideMs, () => this.#traffic());
    if (this.#scene === 'hsm-down' || this.#scene === 'many') this.#loseToken();
    await clock.stride(9 * MINUTE, this.#strideMs, () => this.#traffic());
    await this.#revoke(serials(4, 1000).slice(2));
    await clock.stride(13 * MINUTE, this.#strideMs, () => this.#traffic());
  }

  async open(): Promise<OpenScene> {
    const viewer = { name: 'Akiko Mori', may: ADMIN_RIGHTS, csrf: 'c5rf' };
    const server = createServer((request, response) => {
      const query = Object.fromEntries(new URL(request.url ?? '/', 'http://localhost').searchParams);
      const { history } = this.#watch;
      const page = statusPage(this.#watch.status(), { viewer, history, runbook: 'https://wiki.example.test/runbook', query }); // prettier-ignore
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': CONTENT_SECURITY_POLICY }); // prettier-ignore
      response.end(page);
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      watch: this.#watch,
      service: this.#service,
      close: () => this.close(),
    };
  }

  async close(): Promise<void> {
    this.#watch?.stop();
    this.#census?.stop();
    this.#server?.closeAllConnections();
    await new Promise<void>((resolve) =>
      this.#server === undefined ? resolve() : this.#server.close(() => resolve()),
    );
    for (const publisher of this.#publishers) await publisher.stop();
    if (this.#opened) await this.#service.remove();
  }

  async #revoke(which: readonly Serial[]): Promise<void> {
    const events = which.map((serial) => ({ serial, reason: 'superseded' as const, revokedAt: undefined }));
    await this.#service.recorder.revoke((this.#issuers[1] as TestIssuer).served, events, 'ca-system');
  }

  #sources(): GaugeSources {
    const { sources, clock, freshness, files } = this.#service;
    const tokenIssuers = this.#issuers.map(({ served }) => served);
    const activatedAt = clock.now() - 3 * HOUR;
    const view = (
      name: string,
      persons: readonly string[],
    ): GaugeSources['tokens'] extends () => readonly (infer T)[] ? T : never => ({
      view: {
        name,
        describe: `SoftHSM v2, slot ${name === 'ocsp-a' ? 1 : 2}, serial 4f1c${name.slice(-1)}0`,
        state: this.#lost ? 'lost' : 'active',
        failure: this.#lost ? `token ${name} does not answer: CKR_DEVICE_REMOVED` : undefined,
        source: 'shares',
        threshold: 3,
        activated: { at: activatedAt, persons },
        shares: undefined,
        deactivation: undefined,
      },
      issuers: name === 'ocsp-a' ? tokenIssuers : tokenIssuers.slice(0, 1),
      servedUntil: servedUntil(tokenIssuers, freshness, files),
    });
    const store = new Proxy<GaugeSources['store']>(sources.store, {
      get: (real, name: keyof GaugeSources['store']) => {
        const member: unknown = real[name];
        if (name !== 'backlog') return typeof member === 'function' ? (member as () => unknown).bind(real) : member;
        return (lane: (typeof LANES)[number], now: number) =>
          lane === 'mass' ? this.#recorded - this.#answered : real.backlog(lane, now);
      },
    });
    return {
      ...sources,
      store,
      census: this.#census,
      publishers: new Map(this.#publishers.map((publisher) => [publisher.issuer, publisher])),
      tokens: () => [view('ocsp-a', ['Akiko Mori', 'Kenji Sato', 'Yui Tanaka']), view('ocsp-b', ['Akiko Mori', 'Kenji Sato', 'Ren Ito'])], // prettier-ignore
      mass: () => (this.#scene === 'mass' && this.#recorded > 0 ? this.#massView() : undefined),
    };
  }

  #loseToken(): void {
    this.#lost = true;
    for (const { holders, crlHolder } of this.#issuers)
      for (const holder of [...holders.values(), crlHolder]) {
        holder.failure = 'token ocsp-a does not answer: CKR_DEVICE_REMOVED';
        holder.gone = new Error('CKR_DEVICE_REMOVED');
      }
  }

  /** What the monitor and the machine say when everything goes wrong at once. */
  #trouble(set: TestService['metrics']['set']): void {
    const url = 'http://ocsp.a-rather-long-name-of-a-host.example-certification-authority.test/OcspServer';
    const figures: readonly [name: string, labels: Record<string, string>, value: number][] = [
      ['certstatus_probe_findings', { url }, 3],
      ['certstatus_probe_age_seconds', { url }, 14_000],
      ['certstatus_sample_wrong', { issuer: 'tls-rsa' }, 2],
      ['certstatus_certificates_without_answer', { issuer: 'smime' }, 1234],
      ['certstatus_clock_offset_seconds', { against: 'ntp' }, -7.4],
      ['certstatus_revocation_deadline_seconds', { limit: '24h' }, 5000],
      ['certstatus_tls_certificate_remaining_seconds', { use: 'intake' }, 8 * 86_400],
      ['certstatus_start_time_seconds', {}, 0],
    ];
    for (const [name, labels, value] of figures) set.gauge(name, '', () => [[labels, value]]);
  }

  /** Ten seconds of it, always the same. */
  #traffic(): void {
    const { answer, set } = this.#service.metrics;
    this.#tick += 1;
    const wave = 1 + 0.25 * Math.sin(this.#tick / 30) + 0.1 * Math.sin(this.#tick / 3.1);
    const many = (
      outcome: Parameters<typeof answer.count>[0],
      each: number,
      method = 'GET',
      hash: 'sha1' | 'sha256' | undefined = 'sha1',
    ): void => {
      for (let i = 0; i < each * wave * 10; i += 1) answer.count(outcome, method, '1.1', hash);
    };
    many('good', 310);
    many('good', 55, 'POST', 'sha256');
    many('revoked', 2.4);
    many('not-modified', 40);
    many('crl', 3, 'GET', undefined);
    many('unauthorized-serial', this.#tick % 70 < 6 ? 9 : 0.8);
    many('malformed', 0.5, 'GET', undefined);
    if (this.#lost) many('try-later', this.#scene === 'many' ? 9 : 0.3);
    if (this.#scene === 'many')
      this.#counter(set, 'certstatus_connections_shed_total', { listener: 'public', reason: 'full' }).value += 80;
    for (const [slot, share] of [
      ['ocsp-a', 1],
      ['ocsp-b', 0.6],
    ] as const) {
      const made = this.#counter(set, 'certstatus_signatures_total', { slot, use: 'ocsp' });
      if (!this.#lost) made.value += Math.round(180 * wave * share);
      this.#counter(set, 'certstatus_signature_failures_total', { slot }).value += this.#lost ? 0 : 0;
      this.#counter(set, 'certstatus_session_busy_seconds_total', { slot }).value += this.#lost ? 0 : 1.4 * share;
    }
    if (this.#scene !== 'mass' || this.#tick * this.#strideMs < 46 * MINUTE) return;
    const seconds = this.#strideMs / SECOND;
    this.#recorded = Math.min(MASS, this.#recorded + 920 * seconds);
    this.#answered = Math.min(this.#recorded, this.#answered + 410 * seconds);
  }

  readonly #counters = new Map<string, { value: number }>();

  #counter(set: TestService['metrics']['set'], name: string, labels: Record<string, string>): { value: number } {
    const key = `${name} ${JSON.stringify(labels)}`;
    let slot = this.#counters.get(key);
    if (slot === undefined) this.#counters.set(key, (slot = set.counter(name, '', labels)));
    return slot;
  }

  #massView(): MassView {
    const { clock } = this.#service;
    const counts = { lines: this.#recorded, revoked: this.#recorded, already: 0, expired: 0, unknown: 0, refused: 0 };
    const waiting = this.#recorded - this.#answered;
    return {
      plan: { id: '2026-11-21-weak-keys', counts: { selected: MASS } } as MassView['plan'],
      run: { plan: '2026-11-21-weak-keys', state: this.#recorded < MASS ? 'recording' : 'signing', startedAt: clock.now() - 13 * MINUTE, startedBy: 'Akiko Mori', counts, singles: { count: 2, worstMs: 310 } }, // prettier-ignore
      waiting,
      failure: undefined,
      recordedPerSecond: 920,
      signedPerSecond: 410,
      recordingLeftMs: ((MASS - this.#recorded) / 920) * SECOND,
      signingLeftMs: ((MASS - this.#answered) / 410) * SECOND,
    };
  }

  /** Journal records as they are written from now on, and two from before: a person's deeds. */
  #tell(listener: (records: readonly JournalRecord[]) => void): void {
    const { journal, clock } = this.#service;
    const append = journal.append.bind(journal);
    journal.append = async (entries) => {
      const records = await append(entries);
      listener(records);
      return records;
    };
    const entry: JournalEntry = { type: 'token.activated', actor: 'Yui Tanaka', description: 'keys can be used', detail: { token: 'ocsp-a' } }; // prettier-ignore
    const { line } = sealRecord(entry, 1, new Date(clock.now() - 3 * HOUR).toISOString(), '0'.repeat(64));
    listener([JSON.parse(line) as JournalRecord]);
  }
}

const MASS = 1_000_000;
