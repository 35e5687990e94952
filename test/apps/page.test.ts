import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { statusPage } from '../../src/apps/admin/page.ts';
import { type Status, statusOf } from '../../src/apps/admin/status.ts';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/core/time.ts';
import { Responders } from '../../src/flows/responders.ts';
import { settled } from '../flows/support-clock.ts';
import { makeIssuer, serials, START, TestService } from '../flows/support-service.ts';

const SEED = 79;
const VIEWER = { name: 'alice', may: ['view'], csrf: 'c5rf' } as const;
const EMPTY: Status = {
  at: '2026-11-20T08:00:00Z',
  verdict: 'ok',
  problems: [],
  issuers: [],
  tokens: [],
  lanes: [],
  storeFailure: undefined,
  audit: { seq: 1, writable: true },
};

/** The tags of a page, in order: what a browser makes of it beside text. */
const tags = (page: string): readonly string[] => page.match(/<[^>]*>/g) ?? [];

describe('statusPage', () => {
  it(`lets no name, number or message become markup (seed ${SEED})`, () => {
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom(
        '<script>alert(1)</script>',
        '"><img src=x onerror=alert(1)>',
        "' onclick='x",
        '&lt;b&gt;',
        '-->',
      ),
    );
    const of = (words: readonly string[]): Status => {
      const [a = '', b = '', c = '', d = '', e = ''] = words;
      return {
        ...EMPTY,
        verdict: 'failing',
        problems: [{ severity: 'failing', what: a, todo: b }],
        lanes: [{ lane: c, waiting: 1 }],
        tokens: [{ name: a, describe: b, state: c, activatedAt: d, activatedBy: [e], sharesOf: [a], issuers: [b] }],
        issuers: [
          {
            id: a,
            name: b,
            preset: c,
            certificates: 1,
            oldestThisUpdate: undefined,
            leastNextUpdate: undefined,
            crl: { number: d, thisUpdate: EMPTY.at, nextUpdate: EMPTY.at, entries: 1, bytes: 1 },
            signsCrls: true,
            nextScheduledCrl: undefined,
            responders: [{ id: d, notAfter: e, days: 1, use: 'signing', signs: true }],
          },
        ],
      };
    };
    const plain = tags(statusPage(of(['a', 'b', 'c', 'd', 'e']), VIEWER));
    fc.assert(
      fc.property(fc.array(text, { minLength: 5, maxLength: 5 }), (words) => {
        assert.deepEqual(tags(statusPage(of(words), VIEWER)), plain);
      }),
      { numRuns: 300, seed: SEED },
    );
  });

  it('says what was a moment ago as past, and no next CRL where none is signed', () => {
    const one = {
      id: 'a',
      name: 'A',
      preset: 'baseline',
      certificates: 0,
      oldestThisUpdate: '2026-11-20T07:59:55Z',
      leastNextUpdate: '2026-11-20T08:00:05Z',
      crl: undefined,
      nextScheduledCrl: undefined,
      responders: [],
    };
    const page = statusPage({ ...EMPTY, issuers: [{ ...one, signsCrls: false }] }, VIEWER);
    assert.ok(page.includes('07:59:55Z (0 min ago)'));
    assert.ok(page.includes('08:00:05Z (in 0 min)'));
    assert.ok(page.includes('none is signed here'));
    assert.ok(statusPage({ ...EMPTY, issuers: [{ ...one, signsCrls: true }] }, VIEWER).includes('at once'));
  });

  it('shows the name as it is, escaped once', () => {
    const status = { ...EMPTY, problems: [{ severity: 'warning' as const, what: 'A & B <C> "D" \'E\'', todo: '' }] };
    assert.ok(statusPage(status, VIEWER).includes('A &#38; B &#60;C&#62; &#34;D&#34; &#39;E&#39;'));
  });
});

describe('statusOf', () => {
  it('finds nothing wrong while everything runs, and names what stops', async () => {
    const span = { notBefore: START - DAY, notAfter: START + 60 * DAY - SECOND };
    const service = await TestService.open([makeIssuer({ responders: [span], name: '<b>CA</b> & Sons' })]);
    try {
      const { clock } = service;
      const status = (): Status => statusOf(service.sources);
      const said = (): string =>
        status()
          .problems.map(({ what }) => what)
          .join('\n');
      assert.match(said(), /no CRL is being served/);
      const issued = serials(5);
      service.signer.start();
      await service.publisher.start();
      await service.issue(issued);
      await clock.stride(3 * DAY, 20 * MINUTE, () => void assert.equal(status().verdict, 'ok', said()));
      assert.ok(!statusPage(status(), VIEWER).includes('<b>'));

      service.holder.behave = () => 'fail';
      service.at.crlHolder.behave = () => 'fail';
      await service.revoke(issued.slice(0, 1));
      await clock.stride(30 * MINUTE, 5 * MINUTE);
      assert.equal(status().verdict, 'failing');
      assert.match(said(), /A revocation recorded \S+ is not in OCSP yet/);
      assert.match(said(), /a revocation recorded \S+ is on no CRL yet/);
      await clock.stride(9 * HOUR, HOUR);
      assert.match(said(), /the scheduled CRL is late/);
      await clock.stride(DAY, HOUR);
      assert.match(said(), /are being refreshed late/);
      await clock.stride(DAY, HOUR);
      assert.match(said(), /are older than their deadline/);
      service.journal.broken = 'no space left on device';
      await service.journal.append([]).catch(() => undefined);
      assert.match(said(), /The audit log cannot be written: no space left on device/);

      service.journal.broken = undefined;
      service.holder.behave = () => 'sign';
      service.at.crlHolder.behave = () => 'sign';
      await clock.advance(MINUTE);
      assert.equal(status().verdict, 'ok', said());
      const { sources } = service;
      const bare = statusOf({
        ...sources,
        issuers: sources.issuers.map((one) => ({ ...one, responders: new Responders() })),
      });
      assert.equal(bare.verdict, 'warning');
      assert.match(bare.problems[0]?.what ?? '', /no responder certificate that is still valid/);
      clock.step(span.notAfter - 20 * DAY - clock.now());
      await settled();
      assert.match(said(), /the last responder certificate ends/);
    } finally {
      await service.remove();
    }
  });
});
