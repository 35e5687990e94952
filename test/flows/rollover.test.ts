/**
 * A year of change-overs, rehearsed: responder certificates are issued by a CA and installed at the times at which people
 * really do it, while clients ask for everything hour by hour, and second by second around every instant that matters. In the
 * end nobody installs another one.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isMainThread, Worker } from 'node:worker_threads';
import { statusOf } from '../../src/apps/admin/status.ts';
import type { PublishedResponse } from '../../src/core/certificate.ts';
import { pem } from '../../src/core/certificate-writer.ts';
import { loadResponderCertificate, type ResponderCertificate } from '../../src/core/responder-certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, type EpochMs, HOUR, rfc3339, SECOND } from '../../src/core/time.ts';
import { ResponderChanges, type ResponderFiles } from '../../src/flows/sign/change-responder.ts';
import type { Question } from '../../src/ports/front.ts';
import { ecKey, type KeyPair, PROFILE, responderCertificate, rsaKey } from '../core/sample-pki.ts';
import { makeRandom } from '../support/random.ts';
import { settled } from './support-clock.ts';
import { getPath, read, requestFor } from './support-client.ts';
import { makeIssuer, OCSP_PATH, question, serials, START, TestService } from './support-service.ts';
import { TestKeyHolder } from './support-key-holder.ts';

const POPULATION = 200;
const YEAR = 365 * DAY;
/** Answers that live as long as Microsoft permits (P-16): a year of them is 50,000 signatures and not 150,000. */
const PROFILE_OF_A_YEAR = { ...PROFILE, ocsp: { ...PROFILE.ocsp, validityMs: 7 * DAY, refreshAfterMs: 3.5 * DAY } };

/** What happens to one responder certificate. */
interface Life {
  readonly certificate: ResponderCertificate;
  readonly key: KeyPair;
  readonly installAt: EpochMs;
  /** Its key was seen in other hands then. */
  readonly retireAt: EpochMs;
}

/** The successors of `first`: 30 to 60 days each, the shorter with RSA keys, until a year has passed. */
function plan(ca: KeyPair, first: Life): readonly Life[] {
  const random = makeRandom(9919);
  const lives = [first];
  let ends = first.certificate.notAfter;
  const issue = (notBefore: EpochMs, days: number, installAt: EpochMs, retireAt = Infinity): void => {
    const key = days < 45 ? rsaKey() : ecKey();
    const notAfter = notBefore + days * DAY - SECOND;
    const certificate = loadResponderCertificate(responderCertificate(ca, key, { notBefore, notAfter }));
    lives.push({ certificate, key, installAt, retireAt });
    if (retireAt === Infinity) ends = Math.max(ends, notAfter);
  };
  for (let turn = 0; ends < START + YEAR; turn++) {
    const days = (turn % 2 === 0 ? 30 : 54) + random.below(6);
    // So late that the old one signs nothing any more; then with hardly a day left.
    if (turn === 1) issue(ends - 3 * HOUR, days, ends - 2 * HOUR);
    else if (turn === 3) issue(ends - DAY - HOUR, days, ends - DAY);
    else if (turn === 2) {
      // Two at once, one of them ahead of its time.
      const installAt = ends - 15 * DAY;
      issue(installAt, 30, installAt);
      issue(installAt + 3 * DAY, days, installAt);
    } else if (turn === 4) {
      // One is compromised while it signs; the next one has just been installed.
      const from = ends - 14 * DAY;
      issue(from, days, from + HOUR, from + 20 * DAY);
      issue(from + 20 * DAY - 4 * HOUR, days, from + 20 * DAY - HOUR);
    } else {
      // In good time, some of them days before notBefore.
      const installAt = ends - 20 * DAY + random.below(48) * HOUR;
      issue(installAt + (turn % 2 === 0 ? 3 * DAY : -HOUR), days, installAt);
    }
  }
  return lives;
}

/** An issuer's directory in memory. */
function filesInMemory(): ResponderFiles {
  const named = new Set<string>();
  return {
    keep: () => undefined,
    name: (_, { id }) => !named.has(id) && named.add(id).has(id),
    retire: () => undefined,
  };
}

/** What a body says, and who signed it. */
interface Said {
  readonly thisUpdate: EpochMs;
  readonly nextUpdate: EpochMs;
  readonly by: Life;
}

class Rehearsal {
  readonly service: TestService;
  readonly lives: readonly Life[];
  readonly changes: ResponderChanges;
  /** Ids of those that have signed. */
  readonly signers = new Set<string>();
  answers = 0;
  published = 0;
  readonly #questions: readonly (readonly [Serial, 'sha1' | 'sha256', Question])[];
  readonly #seen = new WeakMap<Buffer, Said>();

  constructor(service: TestService, lives: readonly Life[], issued: readonly Serial[]) {
    this.service = service;
    this.lives = lives;
    const { caDer } = service.at;
    this.#questions = issued.flatMap((serial) =>
      (['sha1', 'sha256'] as const).map(
        (hash) =>
          [serial, hash, question(OCSP_PATH, { method: 'POST', body: requestFor(caDer, serial, hash) })] as const,
      ),
    );
    this.changes = new ResponderChanges({
      keys: new Map([[service.served.id, service.at.keys]]),
      store: service.store,
      journal: service.journal,
      clock: service.clock,
      files: filesInMemory(),
      openKey: (_, [id]) => {
        const life = lives.find(({ certificate }) => certificate.id === id) as Life;
        return Promise.resolve(new TestKeyHolder(life.key, `key ${id}`));
      },
      wake: () => service.signer.wake(),
    });
  }

  get now(): EpochMs {
    return this.service.clock.now();
  }

  /** Hour by hour, and second by second around every notBefore, the end of each first day, and every notAfter. */
  async until(end: EpochMs): Promise<void> {
    const { clock } = this.service;
    const watched = this.lives.flatMap(({ certificate: { notBefore, notAfter } }) => [
      notBefore,
      notBefore + DAY,
      notAfter,
    ]);
    const acts = this.lives.flatMap(({ installAt, retireAt }) => [installAt, retireAt]);
    // Nothing is issued or revoked here; and far from every change-over the signer comes by every four hours only.
    this.service.interfere.takeDue = (real, lane, ...rest) => {
      const busy = watched.some((instant) => Math.abs(this.now - instant) < DAY);
      const takes = lane === 'refresh' && (busy || Math.floor(this.now / HOUR) % 4 === 0);
      return takes ? real(lane, ...rest) : Promise.resolve([]);
    };
    const stops = [...watched.map((instant) => instant - 3 * SECOND), ...acts, end].sort((a, b) => a - b);
    while (this.now < end) {
      const next = stops.find((instant) => instant > this.now) as EpochMs;
      const step = Math.min(HOUR, next - this.now);
      await clock.stride(step, step);
      await this.#act();
      await this.#look();
      if (!watched.includes(this.now + 3 * SECOND)) continue;
      for (let second = 0; second < 6 && this.now + SECOND <= end; second++) {
        await clock.stride(SECOND, SECOND);
        await this.#act();
        await this.#look();
      }
    }
  }

  /** Certificates that people have installed and not retired. */
  installed(at: EpochMs): readonly Life[] {
    return this.lives.filter(({ installAt, retireAt }) => installAt <= at && at < retireAt);
  }

  /** People install and retire at their times. */
  async #act(): Promise<void> {
    const { served } = this.service;
    for (const { certificate, installAt, retireAt } of this.lives) {
      if (installAt === this.now) {
        const done = await this.changes.install(served, pem('CERTIFICATE', certificate.der), [certificate.id], 'test');
        assert.equal(done.installed, true);
        const again = await this.changes.install(served, certificate.der.toString('base64'), [certificate.id], 'test');
        assert.equal(again.installed, false);
      }
      if (retireAt === this.now) {
        assert.equal(this.service.signer.signsWith(served.tag), certificate.id, 'it signs when it is compromised');
        const { toReplace } = await this.changes.retire(served, certificate.id, true, 'test');
        assert.ok(toReplace > POPULATION / 2, 'most answers are by it');
      }
      await settled();
    }
  }

  /** What was published since the last look; then every certificate is asked for, in one hash and the other by turns. */
  async #look(): Promise<void> {
    const { service, now } = this;
    for (const event of service.events) if (event.type === 'published') this.#checkPublished(event.response);
    service.events = [];
    const half = Math.floor(now / HOUR) % 2;
    for (const [i, [serial, hash, asked]] of this.#questions.entries()) {
      if (i % 2 !== half) continue;
      const answered = service.answer(asked);
      const reply = answered instanceof Promise ? await answered : answered;
      let said = this.#seen.get(reply.body);
      if (said === undefined) this.#seen.set(reply.body, (said = this.#open(reply.body, serial)));
      const { certificate, retireAt } = said.by;
      if (said.thisUpdate > now || now > said.nextUpdate) assert.fail(`${serial} at ${rfc3339(now)}: not fresh`);
      if (now < certificate.notBefore || now > certificate.notAfter)
        assert.fail(`${serial} at ${rfc3339(now)}: signer`);
      if (now >= retireAt) assert.fail(`${serial} at ${rfc3339(now)}: by a key in other hands`);
      // A relying party's whole check for some; the others were verified by the signer and are known by their parts.
      if (++this.answers % 5000 !== 0) continue;
      const { status, thisUpdate } = read(reply, service.at.caDer, serial, hash);
      assert.deepEqual([status, thisUpdate], ['good', said.thisUpdate]);
    }
    if (half === 0) this.#checkAlarm();
  }

  /** producedAt, thisUpdate and nextUpdate are the only GeneralizedTimes in a good answer. */
  #open(body: Buffer, serial: Serial): Said {
    const times = body.toString('latin1').match(/\d{14}Z/g) ?? [];
    const by = this.lives.find(({ certificate }) => body.includes(certificate.der));
    assert.ok(
      times.length === 3 && by !== undefined,
      `${serial} at ${rfc3339(this.now)}: ${body.toString('hex')} ${this.service.errors.slice(0, 3).join()}`,
    );
    const [, thisUpdate, nextUpdate] = times.map((text) =>
      Date.parse(text.replace(/(....)(..)(..)(..)(..)(..)Z/, '$1-$2-$3T$4:$5:$6Z')),
    ) as [number, number, number];
    return { thisUpdate, nextUpdate, by };
  }

  #checkPublished(response: PublishedResponse): void {
    const { thisUpdate, nextUpdate, responder } = response;
    const { certificate } = this.lives.find((life) => life.certificate.id === responder) as Life;
    this.published += 1;
    this.signers.add(responder);
    const where = `signed ${rfc3339(thisUpdate)} by ${responder}`;
    if (thisUpdate < certificate.notBefore || nextUpdate > certificate.notAfter) assert.fail(`${where}: outlives it`);
    if (nextUpdate - thisUpdate + SECOND < 8 * HOUR) assert.fail(`${where}: too short (BR 4.9.9)`);
    if (thisUpdate >= certificate.notBefore + DAY) return;
    const settledOne = this.installed(thisUpdate).find(
      ({ certificate: other }) =>
        other.notBefore + DAY <= thisUpdate && thisUpdate + 8 * HOUR - SECOND <= other.notAfter,
    );
    if (settledOne !== undefined) assert.fail(`${where}: too young, ${settledOne.certificate.id} could sign (T-18)`);
  }

  /** Days ahead, from what people have installed: neither too late nor without reason (T-17). */
  #checkAlarm(): void {
    const { service, now } = this;
    const installed = this.installed(now).filter(({ certificate }) => now <= certificate.notAfter);
    const left = Math.max(...installed.map(({ certificate }) => certificate.notAfter)) - now;
    const said = statusOf(service.sources).problems.find(({ what }) => what.includes('successor'))?.severity;
    assert.equal(said, left < 11 * DAY ? 'failing' : left < 22 * DAY ? 'warning' : undefined, rfc3339(now));
  }
}

async function rehearse(): Promise<void> {
  const ca = ecKey();
  const span = { notBefore: START - 10 * DAY, notAfter: START + 35 * DAY - SECOND };
  const at = makeIssuer({ ca, profile: PROFILE_OF_A_YEAR, responders: [span] });
  const service = await TestService.open([at], { tableBytes: 8 << 20 });
  const issued = serials(POPULATION);
  service.signer.start();
  await service.issue(issued, START + 3 * YEAR);
  await settled();

  const certificate = at.served.responders.list[0]?.certificate as ResponderCertificate;
  const lives = plan(ca, { certificate, key: ca, installAt: 0, retireAt: Infinity });
  const rehearsal = new Rehearsal(service, lives, issued);
  const last = Math.max(...lives.map((life) => life.certificate.notAfter));
  await rehearsal.until(last);
  assert.ok(rehearsal.answers > 365 * 24 * POPULATION);
  // All have signed, but for one of the two that came at once.
  assert.ok(
    rehearsal.signers.size >= lives.length - 1 && lives.length >= 9,
    `${rehearsal.signers.size} of ${lives.length}`,
  );
  const unsignable = service.errors.filter((message) => message.includes('install its successor'));
  assert.equal(
    unsignable.length,
    service.errors.length,
    service.errors.find((message) => !unsignable.includes(message)),
  );
  assert.ok(unsignable.length >= 6, 'in each of the last hours');

  // The last second is over: tryLater, and never an expired answer.
  await service.clock.stride(SECOND, SECOND);
  for (const serial of issued.slice(0, 5)) {
    const reply = service.answer(question(getPath(requestFor(service.at.caDer, serial))));
    await service.clock.advance(3 * SECOND);
    assert.equal(read(await reply, service.at.caDer, serial).status, 'tryLater');
  }
  const { verdict, problems } = statusOf(service.sources);
  assert.equal(verdict, 'failing');
  assert.ok(problems.some(({ what, todo }) => what.includes('successor') && todo.includes('key install')));
  await service.remove();
}

// In a thread of its own: node:test follows every promise of its thread, which would take longer than the year itself.
if (isMainThread) {
  it(
    'for a year every answer comes from a certificate that is valid and settled; then nobody installs another, and it says so',
    { timeout: 280_000 },
    async () => {
      const thread = new Worker(new URL(import.meta.url));
      await new Promise<void>((done, failed) => {
        thread.once('error', failed);
        thread.once('exit', (code) => (code === 0 ? done() : failed(new Error(`the thread ended with ${code}`))));
      });
    },
  );
} else await rehearse();
