import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { History } from '../../src/apps/admin/history.ts';
import { ADMIN_RIGHTS, type Viewer } from '../../src/apps/admin/layout.ts';
import { type PageContext, statusPage } from '../../src/apps/admin/page.ts';
import { type Status, statusOf } from '../../src/apps/admin/status.ts';
import { StatusWatch } from '../../src/apps/admin/watch.ts';
import { DAY, HOUR, MINUTE, rfc3339, SECOND } from '../../src/core/time.ts';
import { registerGauges } from '../../src/flows/gauges.ts';
import { Responders } from '../../src/flows/responders.ts';
import { CRL, sample, token } from '../support/sample-status.ts';
import { settled } from '../flows/support-clock.ts';
import { makeIssuer, serials, START, TestService } from '../flows/support-service.ts';

const SEED = 79;
const VIEWER: Viewer = { name: 'alice', may: ['view'], csrf: 'c5rf' };

function show(status: Status, more: Partial<PageContext> = {}): string {
  const limits = new Map(status.issuers.map(({ id, ageLimitSeconds }) => [id, ageLimitSeconds]));
  const history = new History(limits, Date.parse(status.at) - HOUR);
  return statusPage(status, { viewer: VIEWER, history, runbook: undefined, query: {}, ...more });
}

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
    // Whatever is text in a status, wherever it stands; ids and addresses are made of it too, so tags are compared by their names.
    const names = (page: string): readonly string[] =>
      tags(page).map((tag) =>
        tag.replace(/ (id|for|aria-labelledby|action|value|href|datetime|title|aria-label)="[^"<>]*"/g, ''),
      );
    const plain = names(show(sample(['a', 'b', 'c', 'd', 'e']), { viewer: { ...VIEWER, may: ADMIN_RIGHTS } }));
    fc.assert(
      fc.property(fc.array(text, { minLength: 5, maxLength: 5 }), (words) => {
        // Two that are the same would make the problem one of the issuer's.
        const page = show(sample(words.map((word, i) => `${word}${i}`)), { viewer: { ...VIEWER, may: ADMIN_RIGHTS } });
        assert.deepEqual(names(page), plain);
      }),
      { numRuns: 200, seed: SEED },
    );
  });

  it('offers what the viewer may do, with their token, and nothing else', () => {
    const status = sample(['a', 'b', 'inactive', 'd', 'e']);
    const forms = (page: string): readonly string[] =>
      (page.match(/<form[^>]*>/g) ?? []).filter((form) => !form.includes('/sign-out'));
    assert.deepEqual(forms(show(status)), []);
    const operator = show(status, { viewer: { ...VIEWER, may: ['view', 'operate'] } });
    assert.deepEqual(forms(operator), [
      '<form method="post" action="/mass/a/pause">',
      '<form method="post" action="/issuers/a/crl/publish">',
    ]);
    // And one to sign out.
    assert.equal(operator.match(/name="csrf" value="c5rf"/g)?.length, 3);
    const officer = show(
      { ...status, tokens: [token('inactive'), token('active')] },
      { viewer: { ...VIEWER, may: ['view', 'activate'] } },
    );
    assert.ok(officer.includes('href="/activate/hsm%201"'));
    assert.deepEqual(forms(officer), ['<form method="post" action="/tokens/hsm%201/deactivate">']);
  });

  it('links to the runbook where there is one, and names the alert where there is none', () => {
    const status = sample(['a', 'b', 'c', 'd', 'e']);
    assert.ok(!show(status).includes('#tokenunusable'));
    assert.ok(show(status).includes('TokenUnusable'));
    assert.ok(
      show(status, { runbook: 'https://wiki.test/runbook' }).includes('href="https://wiki.test/runbook#tokenunusable"'),
    );
  });

  it('stays small with ten thousand shards, and shows the worst of them', () => {
    const worst = Array.from({ length: 20 }, (_, i) => ({
      ...CRL,
      shard: String(i + 1),
      state: i === 0 ? ('expired' as const) : ('ok' as const),
    }));
    const status = sample(['a', 'b', 'c', 'd', 'e']);
    const [one] = status.issuers;
    assert.ok(one !== undefined);
    const crls = { ...one.crls, scopes: 10_000, worst, more: 9980 };
    const page = show({ ...status, issuers: [{ ...one, crls }] });
    assert.ok(page.includes('17 more, and 9,980 that are better still'));
    assert.ok(page.length < 100_000, String(page.length));
  });

  it('says what was a moment ago as past, and no next CRL where none is signed', () => {
    const status = sample(['a', 'b', 'c', 'd', 'e']);
    const [one] = status.issuers;
    assert.ok(one !== undefined);
    const issuer = { ...one, leastNextUpdate: '2026-11-20T08:00:05Z', nextScheduledCrl: undefined };
    assert.ok(show({ ...status, issuers: [{ ...issuer, signsCrls: false }] }).includes('None is signed here.'));
    const page = show({ ...status, issuers: [issuer] });
    assert.match(page, /in 5 s<small><time datetime="2026-11-20T08:00:05Z">20 Nov 08:00:05Z/);
    assert.ok(page.includes('the first at once'));
    assert.match(page, /4 min ago\)/);
  });

  it('reloads unless it is asked not to, and keeps the range of the charts', () => {
    const status = sample(['a', 'b', 'c', 'd', 'e']);
    assert.ok(show(status).includes('data-reloads="10"'));
    const still = show(status, { query: { reload: 'off', range: 'days' } });
    assert.ok(!still.includes('data-reloads') && !still.includes('<script'));
    assert.ok(still.includes('id="reload" href="/?range=days"'));
    assert.ok(still.includes('id="range-days" href="/?range=days&#38;reload=off" aria-current="true"'));
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
      assert.ok(!show(status()).includes('<b>'));

      service.holder.behave = () => 'fail';
      service.at.crlHolder.behave = () => 'fail';
      await service.revoke(issued.slice(0, 1));
      await clock.stride(35 * MINUTE, 5 * MINUTE);
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
      clock.step(span.notAfter - 18 * DAY - clock.now());
      await settled();
      assert.match(said(), /the last responder certificate ends/);
    } finally {
      await service.remove();
    }
  });
});

describe('StatusWatch', () => {
  it('finds what no single look shows: refused signatures, certificates that wait; and forgets it when it is over', async () => {
    const service = await TestService.open();
    const { clock, metrics, sources } = service;
    registerGauges(metrics.set, sources);
    const watch = new StatusWatch({
      sources,
      metrics: metrics.set,
      service: { name: 'one', version: '0', roles: ['signer'], startedAt: '2026-01-01T00:00:00Z' },
      archive: () => undefined,
      counted: () => Promise.resolve(),
      log: { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined },
    });
    try {
      service.signer.start();
      await service.publisher.start();
      watch.start();
      const alerts = (): readonly string[] => watch.status().problems.map(({ alert }) => alert);
      await service.issue(serials(5));
      await clock.stride(HOUR, 10 * SECOND, () => void assert.deepEqual(alerts(), []));

      // What comes back from the key holder is not what it should be: it is thrown away, and the certificate waits.
      service.holder.behave = () => 'spoil';
      await service.issue(serials(3, 5));
      await clock.stride(MINUTE, 10 * SECOND);
      assert.deepEqual(alerts(), ['SigningRefused']);
      await clock.stride(5 * MINUTE, 10 * SECOND);
      assert.deepEqual([...alerts()].sort(), ['IssuanceLate', 'SigningRefused']);
      const late = watch.status().problems.find(({ alert }) => alert === 'IssuanceLate');
      assert.match(late?.what ?? '', /^3 certificates just issued wait/);
      // 15 minutes from issue (B-18).
      assert.equal(late?.promise?.breaksAt, rfc3339(START + HOUR + 15 * MINUTE));

      service.holder.behave = () => 'sign';
      await clock.stride(2 * MINUTE, 10 * SECOND);
      assert.deepEqual(alerts(), ['SigningRefused']);
      await clock.stride(16 * MINUTE, 10 * SECOND);
      assert.deepEqual(alerts(), []);
    } finally {
      watch.stop();
      await service.remove();
    }
  });
});
