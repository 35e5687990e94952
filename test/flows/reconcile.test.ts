import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import type { Certificate, Revocation } from '../../src/core/certificate.ts';
import type { Serial } from '../../src/core/serial.ts';
import { DAY, MINUTE, SECOND } from '../../src/core/time.ts';
import type { Lookup } from '../../src/ports/store.ts';
import { PROFILE } from '../core/sample-pki.ts';
import { reconciled } from './support-reconcile.ts';
import { serials, START, TestService } from './support-service.ts';

const { coalesceMs } = PROFILE.crl;
let services: TestService[] = [];
afterEach(async () => {
  for (const service of services) await service.remove();
  services = [];
});

/** 60 certificates, all answered for; the first ten revoked and on the CRL. */
async function settledService(): Promise<{ service: TestService; issued: Serial[]; revoked: Serial[] }> {
  const service = await TestService.open();
  services.push(service);
  const issued = serials(60);
  await service.issue(issued);
  service.signer.start();
  await service.publisher.start();
  await service.clock.advance(SECOND);
  const revoked = issued.slice(0, 10);
  await service.revoke(revoked, 'superseded');
  await service.clock.advance(coalesceMs + MINUTE);
  return { service, issued, revoked };
}

/** What the ledger says of one certificate, changed on its way to whoever reads it. */
function falsify(service: TestService, serial: Serial, change: (real: Certificate) => Certificate | undefined): void {
  service.interfere.certificates = async function* (real, issuer) {
    for await (const page of real(issuer))
      yield page.flatMap((one) => (one.serial === serial ? (change(one) ?? []) : one));
  };
  service.interfere.find = async (real, issuer, asked) =>
    (await real(issuer, asked)).map((one) => (one?.serial === serial ? change(one) : one));
}

function falsifyAnswer(service: TestService, serial: Serial, change: (real: Lookup) => Lookup): void {
  service.interfere.lookup = async (real, issuer, asked) => {
    const found = await real(issuer, asked);
    return asked === serial ? change(found) : found;
  };
}

describe('reconcile', () => {
  it('finds no difference where there is none, and says so in the audit log', async () => {
    const { service } = await settledService();
    const report = await reconciled(service);
    assert.deepEqual(report.listed, []);
    assert.equal(report.differences, 0);
    const [issuer] = report.issuers;
    assert.equal(issuer?.certificates, 60);
    assert.equal(issuer?.answerable, 60);
    assert.equal(issuer?.revoked, 10);
    assert.equal(issuer?.crls.length, 1);
    assert.equal(issuer?.crls[0]?.entries, 10);
    assert.match(issuer?.fingerprints[0] ?? '', /^[0-9A-F]{64}$/, 'SR-8.6-a');
    assert.deepEqual(report.pending, { ocsp: { count: 0, oldestMs: 0 }, crl: { count: 0, oldestMs: 0 } });
    const records = [];
    for await (const record of service.journal.read(report.head?.seq ?? 0)) records.push(record);
    assert.equal(records.length, 1);
    assert.equal(records[0]?.type, 'status.reconciled');
    assert.match(records[0]?.description ?? '', /^difference 0 at .*: 60 certificates, 10 revoked, 1 CRL$/);
  });

  it('finds no difference in a first CRL that is published while the ledger is read', async () => {
    const service = await TestService.open();
    services.push(service);
    await service.issue(serials(3));
    service.interfere.certificates = async function* (real, issuer) {
      yield* real(issuer);
      await service.publisher.publishNow();
    };
    const first = await reconciled(service);
    assert.equal(first.issuers[0]?.crls.length, 0, 'there was none when it began');
    assert.deepEqual(
      first.listed.filter(({ channel }) => channel === 'archive'),
      [],
    );
    assert.equal(first.pending.crl.count, 1);
    delete service.interfere.certificates;
    const second = await reconciled(service);
    assert.equal(second.issuers[0]?.crls.length, 1);
    assert.equal(second.pending.crl.count, 0);
  });

  it('counts what is on its way as pending with its age, and as a difference when it is too late', async () => {
    const { service, issued } = await settledService();
    await service.signer.stop();
    await service.publisher.stop();
    await service.revoke([issued[20] as Serial]);
    service.clock.step(MINUTE);
    const soon = await reconciled(service);
    assert.deepEqual(soon.listed, []);
    assert.deepEqual(soon.pending, { ocsp: { count: 1, oldestMs: MINUTE }, crl: { count: 1, oldestMs: MINUTE } });
    service.clock.step(30 * MINUTE);
    const late = await reconciled(service);
    assert.deepEqual(
      late.listed.map(({ channel, serial, rule }) => [channel, serial, rule]),
      [
        ['ocsp', issued[20], 'CT-4.10.2-b'],
        ['crl', issued[20], 'C-18, B-14'],
      ],
    );
  });

  it('waits for the first CRL of an issuer as for any other', async () => {
    const service = await TestService.open();
    services.push(service);
    service.signer.start();
    assert.equal((await reconciled(service)).differences, 0, 'nothing is issued');
    await service.issue(serials(1));
    await service.clock.advance(MINUTE);
    const soon = await reconciled(service);
    assert.deepEqual([soon.listed, soon.pending.crl], [[], { count: 1, oldestMs: MINUTE }]);
    service.clock.step(30 * MINUTE);
    assert.deepEqual(
      (await reconciled(service)).listed.map(({ channel, rule }) => [channel, rule]),
      [['archive', 'B-12, T-38']],
    );
  });

  const differences: readonly {
    readonly what: string;
    readonly spoil: (service: TestService, revoked: Serial, good: Serial) => void;
    readonly of: 'revoked' | 'good';
    readonly found: readonly (readonly [channel: string, rule: string])[];
  }[] = [
    {
      what: 'an entry whose certificate the ledger has not',
      spoil: (service, revoked) => falsify(service, revoked, () => undefined),
      of: 'revoked',
      found: [['crl', 'SR-2.2-a']],
    },
    {
      what: 'another date in the ledger',
      spoil: (service, revoked) =>
        falsify(service, revoked, (real) => ({
          ...real,
          revocation: { ...(real.revocation as Revocation), revokedAt: START },
        })),
      of: 'revoked',
      found: [['crl', 'T-59']],
    },
    {
      what: 'another reason in the ledger',
      spoil: (service, revoked) =>
        falsify(service, revoked, (real) => ({
          ...real,
          revocation: { ...(real.revocation as Revocation), reason: undefined },
        })),
      of: 'revoked',
      found: [['crl', 'T-59']],
    },
    {
      what: 'an entry of a certificate that is good',
      spoil: (service, revoked) => falsify(service, revoked, (real) => ({ ...real, revocation: undefined })),
      of: 'revoked',
      found: [['crl', 'T-59']],
    },
    {
      what: 'a revoked certificate that is not listed',
      spoil: (service, _, good) =>
        falsify(service, good, (real) => ({ ...real, revocation: { revokedAt: START, reason: undefined } })),
      of: 'good',
      found: [['crl', 'C-18, B-14']],
    },
    {
      what: 'an answer of another reason',
      spoil: (service, revoked) =>
        falsifyAnswer(service, revoked, (found) =>
          found.kind !== 'published'
            ? found
            : { ...found, response: { ...found.response, revocation: { revokedAt: START, reason: 'keyCompromise' } } },
        ),
      of: 'revoked',
      found: [['ocsp', 'T-59']],
    },
    {
      what: 'an answer with the signature of another',
      spoil: (service, _, good) =>
        falsifyAnswer(service, good, (found) => {
          if (found.kind !== 'published') return found;
          const sha1 = Buffer.from(found.response.signatures.sha256);
          return { ...found, response: { ...found.response, signatures: { ...found.response.signatures, sha1 } } };
        }),
      of: 'good',
      found: [['ocsp', 'RFC 6960 §4.2.1']],
    },
    {
      what: 'an answer by a responder that is not known',
      spoil: (service, _, good) =>
        falsifyAnswer(service, good, (found) =>
          found.kind !== 'published' ? found : { ...found, response: { ...found.response, responder: '00000000' } },
        ),
      of: 'good',
      found: [['ocsp', 'P4']],
    },
  ];
  for (const { what, spoil, of, found } of differences) {
    it(`names ${what}`, async () => {
      const { service, issued, revoked } = await settledService();
      const serial = { revoked: revoked[4] as Serial, good: issued[30] as Serial };
      spoil(service, serial.revoked, serial.good);
      const { listed } = await reconciled(service);
      service.interfere = {};
      assert.deepEqual(
        listed.map((difference) => [difference.serial, difference.channel, difference.rule]),
        found.map(([channel, rule]) => [serial[of], channel, rule]),
      );
    });
  }

  for (const [how, mostHeld] of [
    ['', undefined],
    [', in several passes', 3],
  ] as const) {
    it(`needs no order of the ledger${how}`, async () => {
      const { service, issued, revoked } = await settledService();
      let passes = 0;
      service.interfere.certificates = async function* (real, issuer) {
        passes += 1;
        const whole: Certificate[] = [];
        for await (const page of real(issuer)) whole.push(...page);
        // Neither ascending nor descending, and in more pages than one.
        const mixed = whole.map((_, i) => whole[(i * 7) % whole.length] as Certificate);
        for (let from = 0; from < mixed.length; from += 11) yield mixed.slice(from, from + 11);
      };
      const well = await reconciled(service, 100, mostHeld);
      assert.deepEqual([well.listed, well.issuers[0]?.certificates, well.issuers[0]?.revoked], [[], 60, 10]);
      assert.ok(mostHeld === undefined ? passes === 1 : passes >= 4, `${passes} passes`);
      // The CRL lacks one, has one that the ledger has not, and says another date of a third.
      const [missing, foreign, other] = [issued[40], revoked[2], revoked[7]];
      const { certificates } = service.interfere;
      const changed = (one: Certificate): Certificate | undefined => {
        if (one.serial === missing) return { ...one, revocation: { revokedAt: START, reason: undefined } };
        if (one.serial === other)
          return { ...one, revocation: { ...(one.revocation as Revocation), revokedAt: START } };
        return one.serial === foreign ? undefined : one;
      };
      service.interfere.certificates = async function* (real, issuer) {
        for await (const page of certificates?.(real, issuer) ?? []) yield page.flatMap((one) => changed(one) ?? []);
      };
      service.interfere.find = async (real, issuer, asked) =>
        (await real(issuer, asked)).map((one) => one && changed(one));
      const { listed } = await reconciled(service, 100, mostHeld);
      service.interfere = {};
      assert.deepEqual(
        listed.filter(({ channel }) => channel === 'crl').map(({ serial, rule }) => `${serial} ${rule}`).sort(),
        [`${missing} C-18, B-14`, `${foreign} SR-2.2-a`, `${other} T-59`].sort(),
      ); // prettier-ignore
      assert.deepEqual(listed.filter(({ channel }) => channel === 'archive'), [], 'each CRL is judged once'); // prettier-ignore
    });
  }

  it('names answers and CRLs that have run out, each certificate once', async () => {
    const { service } = await settledService();
    await service.signer.stop();
    await service.publisher.stop();
    service.clock.step(12 * DAY);
    const { listed, differences } = await reconciled(service, 5);
    assert.equal(differences, 61);
    assert.equal(listed.length, 5, 'the rest is counted');
    const all = await reconciled(service, 100);
    const crl = all.listed.filter(({ channel }) => channel === 'archive');
    assert.equal(crl.length, 1);
    assert.match(crl[0]?.message ?? '', /expired/);
  });

  it('names a CRL whose octets are not those that were published', async () => {
    const { service } = await settledService();
    service.interfere.openCrl = async (real, record) => {
      const file = await real(record);
      const read = file.read.bind(file);
      return Object.assign(file, {
        read: async (at: number, length: number) => {
          const octets = Buffer.from(await read(at, length));
          // The last octet of the signature.
          if (at + length === file.octets) octets[length - 1] = (octets[length - 1] as number) ^ 1;
          return octets;
        },
      });
    };
    const { listed } = await reconciled(service);
    assert.match(listed.map(({ message }) => message).join('\n'), /octets are not those[^]*signature does not verify/);
  });

  it('takes nothing that is recorded while it runs for a difference', async () => {
    const { service, issued } = await settledService();
    let signed = false;
    service.interfere.lookup = async (real, issuer, serial) => {
      if (!signed) {
        signed = true;
        // Its page of the ledger says good; its answer says revoked before it is looked at.
        await service.revoke([serial]);
        await service.clock.advance(0);
      }
      return real(issuer, serial);
    };
    service.interfere.certificates = async function* (real, issuer) {
      await service.revoke([issued[50] as Serial]);
      yield* real(issuer);
    };
    const report = await reconciled(service);
    assert.deepEqual(report.listed, []);
    assert.equal(report.pending.crl.count, 1, 'the CRL was opened before');
    assert.equal(report.issuers[0]?.revoked, 11);
  });
});
