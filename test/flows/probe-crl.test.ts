import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { loadIssuer } from '../../src/core/issuer.ts';
import type { CrlLayout } from '../../src/core/crl/shards.ts';
import { DAY, HOUR, SECOND } from '../../src/core/time.ts';
import { probeCrl } from '../../src/flows/monitor/probe-crl.ts';
import type { Wire } from '../../src/ports/wire.ts';
import { caCertificate, ecKey } from '../core/sample-pki.ts';
import { FakeClock } from './support-clock.ts';
import { makeIssuer, serials, TestService } from './support-service.ts';

const URL_1 = 'http://crl.example.com/1.crl';
const crls: CrlLayout = {
  complete: true,
  completeUrls: [],
  shards: { count: 1, highest: 1, url: 'http://crl.example.com/{shard}.crl' },
  caUrl: undefined,
};

/** Two CRLs of one shard, one after the other. */
let service: TestService;
const bodies: Buffer[] = [];
let clock: FakeClock;
before(async () => {
  const made = makeIssuer();
  service = await TestService.open([{ ...made, served: { ...made.served, crls } }]);
  const issued = serials(5);
  await service.issue(issued);
  service.signer.start();
  await service.publisher.start();
  await service.clock.advance(SECOND);
  const body = async () => {
    const record = await service.store.current({ issuer: service.served.tag, shard: '1' });
    assert.ok(record !== undefined);
    return service.store.body(record);
  };
  bodies.push(await body());
  await service.revoke(issued.slice(0, 2));
  await service.clock.advance(HOUR);
  bodies.push(await body());
  clock = new FakeClock(service.clock.now());
});
after(() => service.remove());

interface Asked {
  readonly method: string;
  readonly version: string;
  readonly fields: Readonly<Record<string, string>>;
  /** How many questions were before it. */
  readonly nth: number;
}

interface Answered {
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A good web server with this file. */
function goodAnswer(asked: Asked, body: Buffer): Answered {
  const etag = `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`;
  const fields = {
    'content-type': 'application/pkix-crl',
    etag,
    'cache-control': 'public, max-age=60',
    date: new Date(clock.now()).toUTCString(),
  };
  if (asked.fields['if-none-match'] === etag) return { status: 304, fields, body: Buffer.alloc(0) };
  const range = /^bytes=0-(\d+)$/.exec(asked.fields['range'] ?? '')?.[1];
  if (range !== undefined) return { status: 206, fields, body: body.subarray(0, Number(range) + 1) };
  return { status: 200, fields: { ...fields, 'content-length': String(body.length) }, body };
}

function wireOf(answer: (asked: Asked) => Answered): Wire {
  let nth = 0;
  return {
    exchange({ octets }) {
      const [first = '', ...lines] = Buffer.from(octets).toString('latin1').split('\r\n');
      const [method = '', , version = ''] = first.split(' ');
      const fields = Object.fromEntries(
        lines.filter((line) => line !== '').map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]), // prettier-ignore
      );
      const { status, fields: given, body } = answer({ method, version, fields, nth: nth++ });
      const shown = { 'content-length': String(body.length), ...given };
      const head = Object.entries(shown).map(([name, value]) => `${name}: ${value}\r\n`);
      const sent = method === 'HEAD' || status === 304 ? Buffer.alloc(0) : body;
      const received = Buffer.concat([Buffer.from(`HTTP/1.1 ${status} X\r\n${head.join('')}\r\n`, 'latin1'), sent]);
      return Promise.resolve({ octets: received, closed: true });
    },
  };
}

async function findings(
  answer: (asked: Asked) => Answered,
  given: Partial<Parameters<typeof probeCrl>[0]> = {},
  at = clock,
): Promise<readonly string[]> {
  const target = { url: URL_1, issuers: [service.served.issuer], known: [], ...given };
  const report = await probeCrl(target, wireOf(answer), at);
  return report.findings.map(({ severity, asked, rule }) => `${severity} ${asked} ${rule}`);
}

describe('a probe of a CRL', () => {
  const [first, second] = [(): Buffer => bodies[0] as Buffer, (): Buffer => bodies[1] as Buffer];

  it('finds nothing wrong with a good one, nor with one that is replaced meanwhile', async () => {
    assert.deepEqual(await findings((asked) => goodAnswer(asked, second())), []);
    assert.deepEqual(await findings((asked) => goodAnswer(asked, asked.nth < 5 ? first() : second())), []);
  });

  const spoilt: readonly (readonly [what: string, found: string, answer: (asked: Asked) => Answered])[] = [
    ['a redirect', 'error GET BR 4.10.2, P-11', () => ({ status: 301, fields: { location: 'https://x/' }, body: Buffer.alloc(0) })], // prettier-ignore
    ['PEM', 'error GET C-29, T-43', (asked) => goodAnswer(asked, Buffer.from(`-----BEGIN X509 CRL-----\n${second().toString('base64')}\n-----END X509 CRL-----\n`))], // prettier-ignore
    ['an error page with 200', 'error GET C-29', (asked) => goodAnswer(asked, Buffer.from('<html>'))],
    ['another Content-Type', 'warning GET C-29, T-43', (asked) => {
      const good = goodAnswer(asked, second());
      return { ...good, fields: { ...good.fields, 'content-type': 'text/plain' } };
    }], // prettier-ignore
    ['a spoilt signature', 'error GET C-32, T-19', (asked) => {
      const body = Buffer.from(second());
      body[body.length - 1] = (body.at(-1) as number) ^ 1;
      return goodAnswer(asked, body);
    }], // prettier-ignore
    ['an older one after a newer', 'error GET again C-10, P-21', (asked) => goodAnswer(asked, asked.nth < 5 ? second() : first())], // prettier-ignore
    ['a conditional GET with the whole file', 'warning GET with If-None-Match H-04, H-05', (asked) => goodAnswer({ ...asked, fields: { range: asked.fields['range'] ?? '' } }, second())], // prettier-ignore
    ['a range of other octets', 'error GET of a range RFC 9110 §14.4', (asked) => {
      const good = goodAnswer(asked, second());
      return good.status === 206 ? { ...good, body: Buffer.alloc(64) } : good;
    }], // prettier-ignore
    ['the whole file for a range', 'warning GET of a range RFC 9110 §14.2', (asked) => goodAnswer({ ...asked, fields: { ...asked.fields, range: '' } }, second())], // prettier-ignore
  ];
  for (const [what, found, answer] of spoilt) {
    it(`names ${what}`, async () => {
      const all = await findings(answer);
      assert.ok(all.includes(found), all.join('\n'));
    });
  }

  it('names a shard under another URL than its own, and one that names another known CRL', async () => {
    const good = (asked: Asked): Answered => goodAnswer(asked, second());
    const elsewhere = 'http://crl.example.com/2.crl';
    const all = await findings(good, { url: elsewhere, known: [URL_1, elsewhere] });
    assert.ok(all.includes('error GET P-11, T-37'), all.join('\n'));
    assert.ok(all.includes('error GET P-21, T-37'), all.join('\n'));
  });

  it('names the CRL of another CA, and of another key of the same name', async () => {
    const good = (asked: Asked): Answered => goodAnswer(asked, second());
    const sameName = loadIssuer([caCertificate(ecKey())], 'same name');
    assert.ok((await findings(good, { issuers: [sameName] })).includes('error GET C-32, T-19'));
    const other = makeIssuer({ name: 'Other' }).served.issuer;
    assert.ok((await findings(good, { issuers: [other] })).includes('error GET C-06, T-15'));
  });

  it('names one that has run out', async () => {
    const later = new FakeClock(clock.now() + 30 * DAY);
    assert.ok((await findings((asked) => goodAnswer(asked, second()), {}, later)).includes('error GET P4'));
  });
});
