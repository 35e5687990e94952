import assert from 'node:assert/strict';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { EVERY_CERTIFICATE } from '../../src/core/mass/order.ts';
import type { JournalRecord } from '../../src/core/journal-record.ts';
import type { IssuerTag } from '../../src/core/certificate.ts';
import { planResponse, refreshDeadline, refreshPatience } from '../../src/core/policy/freshness.ts';
import { Problem } from '../../src/core/problem.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { settled } from './support-clock.ts';
import { say } from './support-client.ts';
import { MassSupport, ORDER } from './support-mass.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { serials, START, TestService } from './support-service.ts';

const KEY = 'a'.repeat(32);
const OTHER_KEY = 'b'.repeat(32);
let opened: { service: TestService; mass: MassSupport }[] = [];
afterEach(async () => {
  for (const { service, mass } of opened) {
    await mass.stop();
    await service.remove();
  }
  opened = [];
});

async function open(): Promise<{ service: TestService; mass: MassSupport }> {
  const service = await TestService.open();
  const mass = new MassSupport(service);
  opened.push({ service, mass });
  await mass.runs.start();
  return { service, mass };
}

/** A service that signs and publishes CRLs, with these certificates issued and answered for. */
async function running(count: number): Promise<{ service: TestService; mass: MassSupport; issued: Serial[] }> {
  const { service, mass } = await open();
  const issued = serials(count);
  service.signer.start();
  await service.publisher.start();
  await service.issue(issued);
  await service.clock.advance(SECOND);
  return { service, mass, issued };
}

async function journalled(service: TestService, type: JournalRecord['type']): Promise<JournalRecord[]> {
  const records: JournalRecord[] = [];
  for await (const record of service.journal.read(0)) if (record.type === type) records.push(record);
  return records;
}

async function statuses(service: TestService, list: readonly Serial[]): Promise<string[]> {
  const certificates = await service.store.find(service.served.tag, list);
  return certificates.map((found) => (found?.revocation === undefined ? 'good' : (found.revocation.reason ?? 'none')));
}

/** Keys and dates of its own for each. */
async function issueWith(
  service: TestService,
  serial: Serial,
  about: { spkiHash?: string; notBefore?: number; notAfter?: number },
): Promise<void> {
  const event = {
    serial,
    notBefore: about.notBefore ?? START - DAY,
    notAfter: about.notAfter ?? START + 90 * DAY,
    precertificate: false,
    crlShard: undefined,
    withoutOcsp: false,
    spkiHash: about.spkiHash,
  };
  await service.recorder.issue(service.served, [event], 'test');
}

describe('mass revocation: the plan', () => {
  it('counts what is to be revoked apart from what is revoked, expired, unknown and not known well enough', async () => {
    const { service, mass } = await open();
    const [a, b, c, d, e, never] = serials(6) as [Serial, Serial, Serial, Serial, Serial, Serial];
    await issueWith(service, a, { spkiHash: KEY });
    await issueWith(service, b, { spkiHash: KEY });
    await issueWith(service, c, { spkiHash: KEY, notAfter: START + HOUR });
    await issueWith(service, d, { spkiHash: OTHER_KEY });
    await issueWith(service, e, {});
    await service.revoke([b], 'superseded');
    service.clock.step(2 * HOUR);
    const byKey = await mass.plan({ criteria: { ...EVERY_CERTIFICATE, keys: [KEY] } });
    assert.deepEqual(byKey.counts, { selected: 1, already: 1, expired: 1, unknown: 0, undecided: 1, refused: 0 });
    const all = await mass.plan();
    assert.deepEqual(all.counts, { selected: 3, already: 1, expired: 1, unknown: 0, undecided: 0, refused: 0 });
    const list = await mass.shelf.upload(undefined, [a, c, never]);
    const listed = await mass.plan({ list });
    assert.deepEqual(listed.counts, { selected: 1, already: 0, expired: 1, unknown: 1, undecided: 0, refused: 0 });
    assert.equal(listed.listed, 3);
    // An upgrade to keyCompromise counts: the entry says something else afterwards (B-31), and there is no second one.
    const compromised = await mass.plan({ order: { ...ORDER, reason: 'keyCompromise' } });
    assert.equal(compromised.counts.selected, 4);
    assert.equal(compromised.crls[0]?.entriesAfter, 3);
  });

  it('selects by windows of notBefore and of recording, all criteria at once', async () => {
    const { service, mass } = await open();
    const [a, b, c] = serials(3) as [Serial, Serial, Serial];
    await issueWith(service, a, { notBefore: START - 10 * DAY, spkiHash: KEY });
    service.clock.step(HOUR);
    await issueWith(service, b, { notBefore: START - 5 * DAY, spkiHash: KEY });
    await issueWith(service, c, { notBefore: START - 5 * DAY, spkiHash: OTHER_KEY });
    const count = async (criteria: object): Promise<number> =>
      (await mass.plan({ criteria: { ...EVERY_CERTIFICATE, ...criteria } })).counts.selected;
    // Both ends belong to a window.
    assert.equal(await count({ notBefore: { from: START - 10 * DAY, to: START - 10 * DAY } }), 1);
    assert.equal(await count({ notBefore: { from: START - 10 * DAY + SECOND, to: undefined } }), 2);
    assert.equal(await count({ recorded: { from: undefined, to: START } }), 1);
    assert.equal(await count({ recorded: { from: START + HOUR, to: undefined }, keys: [KEY] }), 1);
  });

  it('refuses a reason that the profile forbids, a clause that contradicts it and a future date before anything is read', async () => {
    const { service, mass } = await open();
    const refused = (order: object, rule: string): void => {
      const attempt = (): unknown =>
        mass.planner.begin(
          {
            issuers: [service.served],
            criteria: EVERY_CERTIFICATE,
            list: undefined,
            order: { ...ORDER, ...order },
            measureMs: undefined,
          },
          'test',
        );
      assert.throws(attempt, (error) => error instanceof Problem && error.rule === rule);
    };
    refused({ reason: 'certificateHold' }, 'CT-4.9.13, BR 4.9.13');
    refused({ clause: '4.9.1.1-3', reason: 'superseded' }, 'CT-4.9.1.1-3');
    refused({ revokedAt: START + DAY }, 'T-32');
    refused({ reason: 'removeFromCRL' }, 'RFC 5280 §5.3.1');
  });

  it('says how large each CRL becomes', async () => {
    const { service, mass } = await running(40);
    const before = await service.store.current({ issuer: service.served.tag, shard: '' });
    const plan = await mass.plan();
    await mass.runs.begin(plan.id, undefined, 'test');
    await service.clock.advance(10 * MINUTE);
    const after = await service.store.current({ issuer: service.served.tag, shard: '' });
    const [planned] = plan.crls;
    assert.equal(planned?.entriesBefore, before?.entries);
    assert.equal(planned?.bytesBefore, before?.bytes);
    assert.equal(planned?.entriesAfter, after?.entries);
    // Lengths in the outer headers grow with the list, and an ECDSA signature varies by two octets.
    assert.ok(Math.abs((planned?.bytesAfter ?? 0) - (after?.bytes ?? 0)) <= 16);
  });
});

describe('mass revocation: the run', () => {
  it('revokes all in OCSP and on the CRL, with one date, and says so in the journal (CT-5.7.1.2-a)', async () => {
    const { service, mass, issued } = await running(700);
    const plan = await mass.plan({ order: { ...ORDER, clause: '4.9.1.1-12', requestedBy: 'incident 7' } });
    await mass.runs.begin(plan.id, plan.digest.slice(0, 8), 'operator');
    await service.clock.advance(10 * MINUTE);
    const view = await mass.runs.view(plan.id);
    assert.equal(view?.run.state, 'done');
    assert.deepEqual(view.run.counts, { lines: 700, revoked: 700, already: 0, expired: 0, unknown: 0, refused: 0 });
    assert.ok((await statuses(service, issued)).every((status) => status === 'superseded'));
    const found = await service.store.find(service.served.tag, issued);
    assert.deepEqual([...new Set(found.map((one) => one?.revocation?.revokedAt))], [view.run.startedAt]);
    assert.equal((await service.store.current({ issuer: service.served.tag, shard: '' }))?.entries, 700);
    for (const serial of [issued[0], issued[399], issued[699]] as Serial[])
      assert.equal((await say(service, serial)).status, 'revoked');
    assert.equal(service.store.backlog('mass', Infinity), 0);
    const [started] = await journalled(service, 'mass.started');
    assert.equal(started?.actor, 'operator');
    assert.match(started?.description ?? '', /700 certificates/);
    const revoked = await journalled(service, 'certificates.revoked');
    assert.ok((started?.seq ?? 0) < (revoked[0]?.seq ?? 0), 'journalled before anything was revoked');
    assert.equal((await journalled(service, 'mass.finished')).length, 1);
    const signed = service.counter('certstatus_signed_certificates_total', { lane: 'mass', outcome: 'published' });
    assert.equal(signed, 700);
  });

  it('counts what it had recorded before a crash as its own', async () => {
    const { service, issued, mass } = await running(30);
    const { order } = await mass.plan();
    await service.revoke(issued.slice(0, 5), 'superseded');
    await service.clock.advance(MINUTE);
    const batch = { plan: 'mass-1', order, startedAt: service.clock.now() };
    for (const time of ['first', 'again'] as const) {
      const counts = await service.recorder.revokeMany(service.served, issued, batch, 'operator');
      assert.deepEqual([counts.revoked, counts.already], [25, 5], time);
    }
    assert.equal((await journalled(service, 'certificates.revoked')).length, 2);
  });

  it('starts a plan once, however often it is started; and not a second one meanwhile', async () => {
    const { service, mass } = await running(30);
    const [plan, other] = [await mass.plan(), await mass.plan()];
    await Promise.all([mass.runs.begin(plan.id, undefined, 'a'), mass.runs.begin(plan.id, undefined, 'b')]);
    await assert.rejects(mass.runs.begin(other.id, undefined, 'a'), /one at a time/);
    await service.clock.advance(10 * MINUTE);
    assert.equal((await mass.runs.begin(plan.id, undefined, 'c')).run.state, 'done');
    assert.equal((await journalled(service, 'mass.started')).length, 1);
    assert.equal((await mass.runs.view(plan.id))?.run.counts.revoked, 30);
    // What was planned before and has happened since is found done.
    await mass.runs.begin(other.id, undefined, 'a');
    await service.clock.advance(10 * MINUTE);
    assert.deepEqual((await mass.runs.view(other.id))?.run.counts.already, 30);
  });

  it('does what was shown: a list or plan that was altered, or another digest, is refused', async () => {
    const { service, mass, issued } = await running(10);
    const plan = await mass.plan({ list: await mass.shelf.upload(undefined, issued.slice(0, 5)) });
    await assert.rejects(mass.runs.begin(plan.id, '0123456789', 'a'), /digest/);
    await assert.rejects(mass.runs.begin(plan.id, plan.digest.slice(0, 7), 'a'), /digest/);
    const file = join(service.dir, 'mass', plan.id, 'list');
    assert.equal(readFileSync(file, 'latin1').split('\n').length, 6);
    appendFileSync(file, `${service.served.tag} ${issued[9] as Serial}\n`);
    await assert.rejects(mass.runs.begin(plan.id, undefined, 'a'), /not the one that the plan was made with/);
    assert.deepEqual(new Set(await statuses(service, issued)), new Set(['good']));
    assert.equal((await journalled(service, 'mass.started')).length, 0);
  });

  it('pauses, goes on, and ends early without taking anything back', async () => {
    const { service, mass, issued } = await running(1600);
    const plan = await mass.plan();
    let paused: Promise<unknown> | undefined;
    service.store.follow((event) => {
      if (event.type === 'recorded' && event.change.lane === 'mass') paused ??= mass.runs.pause(plan.id, 'a');
    });
    await mass.runs.begin(plan.id, undefined, 'a');
    await settled();
    await paused;
    const half = mass.runs.active?.run.counts.revoked ?? 0;
    assert.ok(half >= 500 && half <= 1100, `${half} revoked when it was paused`);
    await service.clock.advance(MINUTE);
    assert.equal(mass.runs.active?.run.counts.revoked, half, 'nothing more while it is paused');
    assert.equal(service.store.backlog('mass', Infinity), 0, 'what is recorded is signed');
    await assert.rejects(mass.runs.pause(plan.id, 'a'), /it is paused/);
    await mass.runs.abort(plan.id, 'b');
    assert.equal((await mass.runs.view(plan.id))?.run.state, 'aborted');
    await assert.rejects(mass.runs.resume(plan.id, 'a'), /aborted/);
    const said = await statuses(service, issued);
    assert.equal(said.filter((status) => status !== 'good').length, half);
    // The rest of it, by a new plan.
    const rest = await mass.plan();
    assert.equal(rest.counts.selected, 1600 - half);
    await mass.runs.begin(rest.id, undefined, 'a');
    await service.clock.advance(10 * MINUTE);
    assert.ok((await statuses(service, issued)).every((status) => status === 'superseded'));
  });

  it('resumes what was paused', async () => {
    const { service, mass } = await running(700);
    const plan = await mass.plan();
    await mass.runs.begin(plan.id, undefined, 'a');
    await mass.runs.pause(plan.id, 'a');
    assert.equal(mass.runs.active?.run.state, 'paused');
    await mass.runs.resume(plan.id, 'a');
    await service.clock.advance(10 * MINUTE);
    assert.equal((await mass.runs.view(plan.id))?.run.counts.revoked, 700);
  });

  it('goes on after a stop in the middle, and counts nothing twice', async () => {
    const { service, mass, issued } = await running(1600);
    const plan = await mass.plan();
    let stopping: Promise<void> | undefined;
    service.store.follow((event) => {
      if (event.type === 'recorded' && event.change.lane === 'mass') stopping ??= mass.runs.stop();
    });
    await mass.runs.begin(plan.id, undefined, 'a');
    await settled();
    await stopping;
    await service.close();
    await service.open();
    const again = new MassSupport(service);
    opened[0] = { service, mass: again };
    service.signer.start();
    await service.publisher.start();
    await again.runs.start();
    await service.clock.advance(10 * MINUTE);
    const view = await again.runs.view(plan.id);
    assert.equal(view?.run.state, 'done');
    assert.equal(view.run.counts.revoked, 1600);
    assert.ok((await statuses(service, issued)).every((status) => status === 'superseded'));
    assert.equal((await journalled(service, 'mass.started')).length, 1);
  });

  it('waits while the journal cannot be written, and goes on where it was', async () => {
    const { service, mass, issued } = await running(700);
    const plan = await mass.plan();
    service.journal.before = (entries) => {
      if (entries.some(({ type, detail }) => type === 'certificates.revoked' && detail?.['mass'] !== undefined))
        service.journal.broken = 'no space left on device';
    };
    await mass.runs.begin(plan.id, undefined, 'a');
    await settled();
    assert.match(mass.runs.active?.failure ?? '', /no space/);
    assert.deepEqual(new Set(await statuses(service, issued)), new Set(['good']));
    service.journal.before = undefined;
    service.journal.broken = undefined;
    await service.clock.advance(10 * MINUTE);
    assert.equal((await mass.runs.view(plan.id))?.run.counts.revoked, 700);
  });

  it('counts, and goes past, what changed after the plan', async () => {
    const { service, mass, issued } = await running(6);
    const plan = await mass.plan();
    await service.revoke([issued[0] as Serial], 'keyCompromise');
    await mass.runs.begin(plan.id, undefined, 'a');
    await service.clock.advance(10 * MINUTE);
    const { counts } = (await mass.runs.view(plan.id))?.run ?? {};
    assert.deepEqual([counts?.revoked, counts?.already], [5, 1]);
    assert.deepEqual((await statuses(service, issued))[0], 'keyCompromise');
  });

  it('moves no date before notBefore when the key was compromised earlier (T-30)', async () => {
    const { service, mass } = await open();
    const [old, young] = serials(2) as [Serial, Serial];
    await issueWith(service, old, { notBefore: START - 30 * DAY });
    await issueWith(service, young, { notBefore: START - 2 * DAY });
    const revokedAt = START - 10 * DAY;
    const plan = await mass.plan({ order: { ...ORDER, reason: 'keyCompromise', revokedAt } });
    await mass.runs.begin(plan.id, undefined, 'a');
    await settled();
    const found = await service.store.find(service.served.tag, [old, young]);
    assert.deepEqual(
      found.map((one) => one?.revocation?.revokedAt),
      [revokedAt, START - 2 * DAY],
    );
  });
});

describe('Signer: the mass lane', () => {
  it('signs a single revocation, an issue and what is asked for before it, and serves no `good` of what waits (P2)', async () => {
    const { service, mass, issued } = await running(1600);
    await service.signer.stop();
    const plan = await mass.plan();
    const other = serials(2, 5000) as [Serial, Serial];
    await service.issue(other);
    await mass.runs.begin(plan.id, undefined, 'a');
    await service.clock.advance(5 * SECOND);
    assert.equal(service.store.backlog('mass', Infinity), 1600);
    await service.revoke([other[0]]);
    // Nobody signs: then rather no answer than the old one.
    assert.equal((await service.store.lookup(service.served.tag, issued[1599] as Serial)).kind, 'pending');
    service.events = [];
    service.signer.start();
    const asked = service.signer.ask(service.served.tag, issued[1599] as Serial);
    await settled();
    await asked;
    const order = service.publicationOrder;
    const place = (serial: Serial): number => order.indexOf(serial);
    assert.ok(place(other[0]) < 64 && place(other[1]) < 64);
    // Two bulk batches began beside the urgent one.
    assert.ok(
      place(issued[1599] as Serial) < 64 + 2 * 256,
      `asked for, and published as number ${place(issued[1599] as Serial)}`,
    );
    assert.equal((await say(service, issued[1599] as Serial)).status, 'revoked');
    await service.clock.advance(10 * SECOND);
    assert.equal(service.store.backlog('mass', Infinity), 0);
  });

  it('goes before refreshes, until they have waited as long as they safely may (P4)', async () => {
    for (const late of [false, true]) {
      const { service, mass, issued } = await running(620);
      const { clock, store, served } = service;
      await service.signer.stop();
      const [listed, kept] = [issued.slice(0, 600), issued.slice(600)];
      const plan = await mass.plan({ list: await mass.shelf.upload(undefined, listed) });
      await mass.runs.begin(plan.id, undefined, 'a');
      await settled();
      clock.step(HOUR);
      await store.refreshAll(served.tag, undefined, clock.now());
      clock.step(refreshPatience(served.profile) + (late ? SECOND : -SECOND));
      service.events = [];
      service.signer.start();
      await settled();
      const order = service.publicationOrder;
      const places = kept.map((serial) => order.indexOf(serial));
      assert.ok(!places.includes(-1));
      // Two batches of 256 begin at once. The refreshes of what is listed are due as well, so theirs are spread among them.
      if (late) assert.ok(Math.min(...places) < 256, `the first refresh was number ${Math.min(...places)}`);
      else assert.ok(Math.min(...places) >= 512, `a refresh was number ${Math.min(...places)}`);
    }
  });

  it('waits so briefly that no answer, however short, reaches its deadline for it (P4, BR 4.9.9)', () => {
    for (const validityMs of [8 * HOUR, 16 * HOUR, 2 * DAY, 4 * DAY, 10 * DAY]) {
      for (const share of [0.1, 0.25, 0.5]) {
        const profile = { ...PROFILE, ocsp: { ...PROFILE.ocsp, validityMs, refreshAfterMs: validityMs * share } };
        // At the end of a responder certificate answers get shorter; their slack shrinks in proportion.
        for (const notAfter of [START + 8 * HOUR, START + 30 * HOUR, START + 90 * DAY]) {
          const responder = { notBefore: START - DAY, notAfter };
          const key = { issuer: '00000000' as IssuerTag, serial: serials(1)[0] as Serial };
          const times = planResponse(profile, responder, key, START);
          assert.ok(times !== undefined);
          const { thisUpdate, nextUpdate, refreshAt } = times;
          const patience = refreshPatience(profile);
          assert.ok(patience >= 0 && refreshAt + patience <= refreshDeadline(thisUpdate, nextUpdate) + SECOND);
        }
      }
    }
  });
});
