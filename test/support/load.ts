/**
 * A CA that issues and revokes without a pause, and clients that ask everybody about everything: the history that
 * test/support/checker.ts judges. An event that was not acknowledged is sent again, to the next intake, until one does.
 */
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Disturbance, History, SeenAnswer, SeenCrl, SeenLedger, SentEvent } from './checker.ts';
import type { Fleet } from './fleet.ts';
import { exchange } from './http.ts';
import type { Member } from './member.ts';
import { getPath, ocspRequest, readCrl, readOctets, type CertIdHash, type OcspIssuer } from './ocsp-client.ts';
import type { Random } from './random.ts';
import { until } from './service.ts';

/** One question about one certificate. */
interface Question {
  readonly serial: string;
  readonly ours: boolean;
  readonly hash: CertIdHash;
  readonly method: 'GET' | 'POST';
}

const CERTIFICATES = '/v1/issuers/demo/certificates';
const REVOCATIONS = '/v1/issuers/demo/revocations';
const REASONS = ['superseded', 'affiliationChanged', 'cessationOfOperation', 'privilegeWithdrawn'] as const;
/** Of each sender. Slow enough that the CRL stays below about a thousand entries: @peculiar's reader takes no more. */
const PAUSE_AFTER_EVENT_MS = 250;
/** After a refusal: the store is away, and the intake says so at once. */
const PAUSE_AFTER_REFUSAL_MS = 200;
const PAUSE_AFTER_ANSWER_MS = 15;
const PAUSE_AFTER_CRL_MS = 250;
const PAUSE_AFTER_OPENSSL_MS = 1000;
/** What was revoked last is asked about most. */
const RECENT = 20;
const QUESTIONS = 8;

/** An event as it is being sent. */
interface Sending {
  readonly kind: SentEvent['kind'];
  readonly serial: string;
  readonly reason?: string;
  sentAt: number;
  acknowledgedAt: number | undefined;
}

export class Load {
  readonly #fleet: Fleet;
  readonly #random: Random;
  readonly #events: Sending[] = [];
  readonly #answers: SeenAnswer[] = [];
  readonly #crls: SeenCrl[] = [];
  readonly #ledger: SeenLedger[] = [];
  readonly #disturbances: Disturbance[] = [];
  readonly #neverIssued: readonly string[];
  readonly #otherIssuers: readonly OcspIssuer[];
  readonly #tasks: Promise<void>[] = [];
  #sending = true;
  #asking = true;
  #abandoned = false;
  #turn = 0;
  /** What an intake said that it may never say: a refusal of an event that is right. */
  readonly refused: string[] = [];

  constructor(fleet: Fleet, random: Random) {
    this.#fleet = fleet;
    this.#random = random;
    this.#neverIssued = Array.from({ length: 5 }, () => random.serial());
    const { issuer } = fleet;
    // The same name with another key, and the same key under another name.
    this.#otherIssuers = [
      { ...issuer, key: randomBytes(issuer.key.length) },
      { ...issuer, name: Buffer.concat([issuer.name.subarray(0, -1), Buffer.of(0x21)]) },
    ];
  }

  /** @param senders how many requests of the CA are under way at once. */
  start(senders = 4): void {
    for (let i = 0; i < senders; i++) this.#tasks.push(this.#send());
    for (const responder of this.#fleet.responders) {
      this.#tasks.push(
        this.#poll(responder),
        this.#poll(responder),
        this.#pollCrl(responder),
        this.#pollOpenssl(responder),
      );
    }
  }

  get acknowledged(): number {
    return this.#events.filter(({ acknowledgedAt }) => acknowledgedAt !== undefined).length;
  }

  /** Runs `failure`, and waits until everybody relies on the store again. @param boundMs what news may take meanwhile. */
  async disturb<T>(what: string, boundMs: number, failure: () => Promise<T>): Promise<T> {
    const from = Date.now();
    // While it lasts the end is not known.
    const open = { what, from, to: Infinity, boundMs };
    this.#disturbances.push(open);
    const result = await failure();
    await this.#fleet.whenReliable(60_000);
    this.#disturbances[this.#disturbances.indexOf(open)] = { ...open, to: Date.now() };
    return result;
  }

  /** Until so many more events are acknowledged. */
  async further(count: number, withinMs = 30_000): Promise<void> {
    const goal = this.acknowledged + count;
    await until(`${count} more events are acknowledged`, () => this.acknowledged >= goal, withinMs, 50);
  }

  /** Ends the load, waits until the last events are everywhere, asks everybody about everything, and tells the whole history. */
  async finish(): Promise<History> {
    this.#sending = false;
    await until('every event is acknowledged', () => this.#events.every(({ acknowledgedAt }) => acknowledgedAt !== undefined), 60_000, 50); // prettier-ignore
    await this.#fleet.whenReliable(60_000);
    const revoked = new Set(this.#events.filter(({ kind }) => kind === 'revoke').map(({ serial }) => serial));
    for (const responder of this.#fleet.responders)
      await until(
        `the CRL of ${responder.name} lists all ${revoked.size} revocations`,
        () => this.#listed(responder) >= revoked.size,
        60_000,
        100,
      ).catch((error: Error) => {
        const listed = this.#fleet.responders.map((one) => `${one.name}: ${this.#listed(one)}`).join(', ');
        throw new Error(`${error.message}; ${listed}`);
      });
    this.#asking = false;
    await Promise.all(this.#tasks);
    const settledAt = Date.now();
    await this.#askAll();
    const { responders, intakes } = this.#fleet;
    return {
      responders: responders.map(({ name }) => name),
      intakes: intakes.map(({ name }) => name),
      events: this.#events,
      answers: this.#answers,
      crls: this.#crls,
      ledger: this.#ledger,
      disturbances: this.#disturbances,
      settledAt,
    };
  }

  /** A test has failed: nobody asks for the rest. */
  abandon(): void {
    this.#sending = false;
    this.#asking = false;
    this.#abandoned = true;
  }

  /** One stream of events, each about another certificate, as fast as they are acknowledged and a little slower. */
  async #send(): Promise<void> {
    const mine: string[] = [];
    while (this.#sending) {
      if (mine.length > 3 && this.#random.chance(0.5))
        await this.revoke(mine.splice(this.#random.below(mine.length), 1)[0] as string);
      else mine.push(await this.issue());
      await sleep(PAUSE_AFTER_EVENT_MS);
    }
  }

  /** Resolves with the serial when an intake has acknowledged it. */
  async issue(): Promise<string> {
    const serial = this.#random.serial();
    await this.#until({ kind: 'issue', serial, sentAt: Date.now(), acknowledgedAt: undefined });
    return serial;
  }

  async revoke(serial: string): Promise<void> {
    const reason = REASONS[this.#random.below(REASONS.length)] as string;
    await this.#until({ kind: 'revoke', serial, reason, sentAt: Date.now(), acknowledgedAt: undefined });
  }

  /** Sends it to one intake after the other until it is acknowledged. */
  async #until(event: Sending): Promise<void> {
    this.#events.push(event);
    const { intakes } = this.#fleet;
    while (!this.#abandoned && !(await this.#sendTo(intakes[this.#turn++ % intakes.length] as Member, event)))
      await sleep(PAUSE_AFTER_REFUSAL_MS);
  }

  async #sendTo(intake: Member, event: Sending): Promise<boolean> {
    const { kind, serial, reason } = event;
    try {
      const { status, body } =
        kind === 'issue'
          ? await this.#fleet.api(intake, 'POST', CERTIFICATES, { certificates: [{ serial, notAfter: NOT_AFTER }] })
          : await this.#fleet.api(intake, 'POST', REVOCATIONS, { revocations: [{ serial, reason }] });
      if (status === 200) event.acknowledgedAt = Date.now();
      else if (status !== 503)
        this.refused.push(`${intake.name}: ${kind} ${serial}: ${status} ${JSON.stringify(body)}`);
      return status === 200;
    } catch {
      // It is gone, or was while it was asked.
      return false;
    }
  }

  async #poll(responder: Member): Promise<void> {
    while (this.#asking) {
      const questions = Array.from({ length: QUESTIONS }, () => this.#question());
      await Promise.all(questions.map((question) => this.#ask(responder, question)));
      await sleep(PAUSE_AFTER_ANSWER_MS * QUESTIONS);
    }
  }

  /** Mostly about what was revoked last. */
  #question(): Question {
    const random = this.#random;
    const hash = random.chance(0.5) ? 'sha1' : 'sha256';
    const method = random.chance(0.5) ? 'GET' : 'POST';
    const kind = random.below(10);
    const events = this.#events;
    const recent = events.length === 0 ? undefined : events[Math.max(0, events.length - 1 - random.below(RECENT))];
    const any = events.length === 0 ? undefined : events[random.below(events.length)];
    if (kind === 0 || any === undefined || recent === undefined)
      return { serial: this.#neverIssued[random.below(this.#neverIssued.length)] as string, ours: true, hash, method };
    return { serial: (kind < 7 ? recent : any).serial, ours: kind !== 1, hash, method };
  }

  async #ask(responder: Member, { serial, ours, hash, method }: Question): Promise<void> {
    const issuer = ours ? this.#fleet.issuer : (this.#otherIssuers[this.#random.below(2)] as OcspIssuer);
    const request = ocspRequest(issuer, serial, hash);
    const seen = { responder: responder.name, how: method, hash, serial, ours, askedAt: Date.now() };
    const { port, path } = { port: responder.ports.public, path: '/OcspServer' };
    let answer;
    try {
      answer = await exchange(
        method === 'GET'
          ? { port, path: getPath(path, request) }
          : { port, path, method, headers: { 'content-type': 'application/ocsp-request' }, body: request },
      );
    } catch {
      this.#answers.push({ ...seen, answeredAt: Date.now(), status: 'none' });
      return;
    }
    const answeredAt = Date.now();
    try {
      const { responder: certificate, ...read } = readOctets(answer, issuer, serial, hash);
      this.#answers.push({ ...seen, ...read, answeredAt, ...(certificate !== undefined && { certificate }) });
    } catch (error) {
      this.#answers.push({ ...seen, answeredAt, status: 'unacceptable', fault: (error as Error).message });
    }
  }

  /** The complete one each time, the shards in turn. */
  async #pollCrl(responder: Member): Promise<void> {
    const { shards } = this.#fleet;
    let turn = 0;
    while (this.#asking) {
      await this.#fetchCrl(responder);
      const shard = shards[turn++ % Math.max(1, shards.length)];
      if (shard !== undefined) await this.#fetchCrl(responder, shard);
      await sleep(PAUSE_AFTER_CRL_MS);
    }
  }

  async #fetchCrl(responder: Member, shard?: string): Promise<void> {
    const askedAt = Date.now();
    try {
      const { status, body } = await exchange({ port: responder.ports.public, path: this.#fleet.crlPathOf(shard) });
      // None yet, or none that may be served.
      if (status !== 200) return;
      const sha256 = createHash('sha256').update(body).digest('hex');
      const seen = { responder: responder.name, ...(shard !== undefined && { shard }), askedAt, answeredAt: Date.now(), sha256 }; // prettier-ignore
      const known = this.#crls.find((crl) => crl.sha256 === sha256);
      if (known !== undefined) this.#crls.push({ ...known, ...seen });
      else this.#crls.push({ ...seen, ...faulty(() => readCrl(body, this.#fleet.issuer)) });
    } catch {
      // No HTTP answer: the next one will show what became of it.
    }
  }

  #listed(responder: Member): number {
    const last = (shard?: string): number => {
      const crl = this.#crls.findLast((one) => one.responder === responder.name && one.shard === shard);
      // One that cannot be read is the checker's business; waiting would not make it better.
      return crl?.fault !== undefined ? Infinity : (crl?.entries.size ?? 0);
    };
    const { shards } = this.#fleet;
    return shards.length === 0 ? last() : Math.min(last(), shards.reduce((sum, shard) => sum + last(shard), 0)); // prettier-ignore
  }

  /** Another reader than ours and @peculiar's now and then. */
  async #pollOpenssl(responder: Member): Promise<void> {
    while (this.#asking) {
      const question = this.#question();
      if (question.ours) await this.#askOpenssl(responder, question);
      await sleep(PAUSE_AFTER_OPENSSL_MS);
    }
  }

  async #askOpenssl(responder: Member, { serial, hash }: Question): Promise<void> {
    const ca = this.#fleet.demoFile('ca.pem');
    const url = `http://127.0.0.1:${responder.ports.public}/OcspServer`;
    const args = ['ocsp', '-issuer', ca, '-CAfile', ca, `-${hash}`, '-serial', `0x${serial}`, '-no_nonce', '-url', url];
    const askedAt = Date.now();
    const said = await output('openssl', [...args, '-timeout', '15']);
    const seen = {
      responder: responder.name,
      how: 'openssl',
      hash,
      serial,
      ours: true,
      askedAt,
      answeredAt: Date.now(),
    };
    const status = new RegExp(`0x${serial}: (good|revoked|unknown)`, 'i').exec(said)?.[1] as
      'good' | 'revoked' | 'unknown';
    const refusal = /Responder Error: (\w+)/i.exec(said)?.[1]?.toLowerCase();
    if (status !== undefined) {
      const fault = /Response verify OK/.test(said) && !/WARNING/.test(said) ? undefined : said;
      // Its dates are left to the other reader.
      this.#answers.push(fault === undefined ? { ...seen, status } : { ...seen, status: 'unacceptable', fault });
    } else if (refusal === 'unauthorized' || refusal === 'trylater')
      this.#answers.push({ ...seen, status: refusal === 'trylater' ? 'tryLater' : 'unauthorized' });
    else this.#answers.push({ ...seen, status: 'none' });
  }

  /** Everybody about everything, once. */
  async #askAll(): Promise<void> {
    const { responders, intakes } = this.#fleet;
    const serials = [...new Set(this.#events.map(({ serial }) => serial))];
    for (const responder of responders)
      for (const shard of [undefined, ...this.#fleet.shards]) await this.#fetchCrl(responder, shard);
    for (let i = 0; i < serials.length; i += QUESTIONS) {
      const some = serials.slice(i, i + QUESTIONS);
      await Promise.all([
        ...responders.flatMap((responder) =>
          some.flatMap((serial) => [
            this.#ask(responder, { serial, ours: true, hash: 'sha1', method: 'GET' }),
            this.#ask(responder, { serial, ours: true, hash: 'sha256', method: 'POST' }),
          ]),
        ),
        ...intakes.flatMap((intake) => some.map((serial) => this.#lookUp(intake, serial))),
      ]);
    }
  }

  async #lookUp(intake: Member, serial: string): Promise<void> {
    const askedAt = Date.now();
    const { status, body } = await this.#fleet.api(intake, 'GET', `${CERTIFICATES}/${serial}`);
    if (status !== 200 && status !== 404) throw new Error(`${intake.name} says ${status} of ${serial}`);
    this.#ledger.push({ intake: intake.name, serial, askedAt, status: status === 404 ? 'absent' : body.status });
  }
}

const NOT_AFTER = '2027-06-01T00:00:00Z';

/** What a relying party reads, or why it would not. */
function faulty(
  read: () => Omit<SeenCrl, 'responder' | 'askedAt' | 'answeredAt' | 'sha256'>,
): Omit<SeenCrl, 'responder' | 'askedAt' | 'answeredAt' | 'sha256'> {
  try {
    return read();
  } catch (error) {
    return { fault: (error as Error).message, number: -1n, thisUpdate: NaN, nextUpdate: NaN, entries: new Map() };
  }
}

/** What a program says, on both streams, whatever it ends with. */
function output(program: string, args: readonly string[]): Promise<string> {
  return new Promise((done) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.once('error', () => done(said));
    child.once('close', () => done(said));
  });
}
