/**
 * 100,000 requests that are not quite requests, on both listeners: octets flipped, cut, added; odd paths, methods and fields;
 * over kept connections. Each gets a well-formed OCSP error or an HTTP error, or, where the damage did not matter, a signed
 * answer to what was really asked, as another decoder reads it. Then the next proper request is answered, and no memory is lost.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { X509Certificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import { BasicOCSPResponse, OCSPRequest, OCSPResponse, OCSPResponseStatus } from '@peculiar/asn1-ocsp';
import { ask, ocspRequest } from '../support/ocsp-client.ts';
import { makeRandom, seedFrom, type Random } from '../support/random.ts';
import { RawConnection, type RawAnswer } from '../support/raw-connection.ts';
import { Service } from '../support/service.ts';

const REQUESTS = 100_000;
/** Kept connections per listener. */
const CONNECTIONS = 4;

describe('malformed requests', () => {
  const { seed } = seedFrom('CERTSTATUS_TEST_SEED');
  let service: Service;
  let samples: readonly Buffer[];
  let serials: { readonly valid: string; readonly revoked: string };

  before(async () => {
    service = await Service.demo();
    const { issuer, valid, revoked } = service.demo;
    const serialOf = (file: string): string => new X509Certificate(readFileSync(file)).serialNumber;
    serials = { valid: serialOf(valid), revoked: serialOf(revoked) };
    samples = (['sha1', 'sha256'] as const).flatMap((hash) => [
      ocspRequest(issuer, serials.valid, hash),
      ocspRequest(issuer, serials.revoked, hash),
      ocspRequest(issuer, serials.valid, hash, Buffer.alloc(32, 7)),
      ocspRequest(issuer, '51aabbcc', hash),
    ]);
  });
  after(() => service.remove());

  const rssOf = (): number =>
    Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${service.pid}/status`, 'latin1'))?.[1]) * 1024;

  it(`${REQUESTS} of them do no harm`, { timeout: 120_000 }, async (t) => {
    t.diagnostic(`seed ${seed}`);
    const tally = new Map<string, number>();
    const share = Math.ceil(REQUESTS / (2 * CONNECTIONS));
    const run = async (count: number, salt: number): Promise<void> => {
      await Promise.all(
        (['public', 'origin'] as const).flatMap((listener, l) =>
          Array.from({ length: CONNECTIONS }, (_, c) =>
            storm(service.ports[listener], samples, makeRandom(seed + salt + 16 * l + c), count, tally),
          ),
        ),
      );
    };
    // The first tenth warms caches and compiled code up; what grows after that is a leak.
    await run(Math.ceil(share / 10), 1000);
    const before = rssOf();
    await run(Math.ceil((share * 9) / 10), 2000);
    const grownMb = (rssOf() - before) / 2 ** 20;
    t.diagnostic([...tally].sort((a, b) => b[1] - a[1]).map(([what, count]) => `${what}: ${count}`).join(', ')); // prettier-ignore
    t.diagnostic(`resident memory ${(before / 2 ** 20).toFixed(0)} MB, ${grownMb.toFixed(1)} MB more at the end`);
    assert.ok(grownMb < 100, `${grownMb} MB more`);
    for (const outcome of ['malformedRequest', 'unauthorized', 'successful', 'HTTP 404', 'HTTP 400'])
      assert.ok((tally.get(outcome) ?? 0) > 0, `no ${outcome}: the mutations are too tame`);
    assert.equal(
      [...tally.values()].reduce((sum, count) => sum + count),
      2 * CONNECTIONS * (Math.ceil(share / 10) + Math.ceil((share * 9) / 10)),
    );
    for (const listener of ['public', 'origin'] as const) {
      for (const method of ['GET', 'POST'] as const) {
        assert.equal(
          (await ask(service.demo.issuer, serials.valid, { port: service.ports[listener], method })).status,
          'good',
        );
        assert.equal(
          (await ask(service.demo.issuer, serials.revoked, { port: service.ports[listener], method })).status,
          'revoked',
        );
      }
    }
    assert.doesNotMatch(service.log, /"level":"(error|fatal)"/);
  });
});

/** `count` requests one after the other over one connection, opened again whenever the service closes it. */
async function storm(
  port: number,
  samples: readonly Buffer[],
  random: Random,
  count: number,
  tally: Map<string, number>,
): Promise<void> {
  let connection: RawConnection | undefined;
  for (let done = 0; done < count; done++) {
    const asked = mutate(samples, random);
    if (connection === undefined || connection.closed) connection = new RawConnection(port);
    let answer: RawAnswer;
    try {
      answer = await connection.ask(asked.octets, asked.method === 'HEAD');
    } catch (error) {
      assert.fail(`${(error as Error).message}\nasked ${JSON.stringify(asked.octets.toString('latin1'))}`);
    }
    const outcome = judge(asked, answer);
    tally.set(outcome, (tally.get(outcome) ?? 0) + 1);
    // Who asked for the end need not be told of it (RFC 9112 §9.6).
    if (answer.last || asked.octets.includes('Connection: close')) connection.end();
  }
  connection?.end();
}

interface Asked {
  readonly octets: Buffer;
  readonly method: string;
  /** The OCSPRequest inside, when it was sent as one. */
  readonly der: Buffer | undefined;
}

/** @returns a word for the tally. @throws AssertionError for an answer that is none. */
function judge(asked: Asked, { status, type, body }: RawAnswer): string {
  const about = `HTTP ${status} ${type} to ${JSON.stringify(asked.octets.toString('latin1'))}`;
  if (status === 304 && asked.octets.includes('If-None-Match')) return 'HTTP 304';
  if (status !== 200) {
    // 505 is the origin listener's word for a request line that it cannot read.
    assert.ok((status >= 400 && status < 500) || status === 505, about);
    return `HTTP ${status}`;
  }
  if (type !== 'application/ocsp-response') {
    assert.match(type, /^text\/plain|^application\/pkix-/, about);
    return type;
  }
  if (asked.method === 'HEAD') return 'HEAD';
  const response = AsnConvert.parse(body, OCSPResponse);
  const word = OCSPResponseStatus[response.responseStatus];
  assert.ok(word !== undefined, about);
  if (response.responseBytes === undefined) {
    assert.notEqual(word, 'successful', about);
    // Our own fault, or the signer's: neither is the client's doing.
    assert.ok(word === 'malformedRequest' || word === 'unauthorized', about + word);
    return word;
  }
  // An answer was signed for exactly this CertID: then another decoder must find that very CertID in the request.
  const [single] = AsnConvert.parse(response.responseBytes.response.buffer, BasicOCSPResponse).tbsResponseData
    .responses;
  if (asked.der !== undefined) {
    const request = AsnConvert.parse(asked.der, OCSPRequest).tbsRequest.requestList[0];
    const [answered, question] = [single?.certID, request?.reqCert];
    assert.equal(hex(answered?.serialNumber), hex(question?.serialNumber), about);
    assert.equal(hex(answered?.issuerKeyHash.buffer), hex(question?.issuerKeyHash.buffer), about);
  }
  return word;
}

const hex = (octets: ArrayBuffer | undefined): string => Buffer.from(octets ?? new ArrayBuffer(0)).toString('hex');

function mutate(samples: readonly Buffer[], random: Random): Asked {
  const sample = samples[random.below(samples.length)] as Buffer;
  const post = random.chance(0.5);
  let der: Buffer | undefined = mutateOctets(sample, random);
  let method = post ? 'POST' : 'GET';
  let path = random.chance(0.5) ? '/OcspServer' : '/';
  let fields = 'Host: ocsp.test\r\n';
  let version = 'HTTP/1.1';
  if (!post) {
    const base64 = der.toString('base64');
    const spelling = random.below(3);
    path = `${path.replace(/\/$/, '')}/${spelling === 0 ? base64 : spelling === 1 ? encodeURIComponent(base64) : base64.replaceAll('+', '-').replaceAll('/', '_')}`;
    if (random.chance(0.1)) {
      path = mutateText(path, random);
      der = undefined;
    }
  }
  if (random.chance(0.08)) {
    path = `/${mutateText(random.bytes(random.below(200)).toString('base64'), random)}`;
    der = undefined;
  }
  if (random.chance(0.05)) {
    method = ['HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH', 'PROPFIND'][random.below(7)] as string;
    der = undefined;
  }
  if (random.chance(0.05)) fields += `X-${random.bytes(6).toString('hex')}: ${mutateText('a value', random)}\r\n`;
  if (random.chance(0.05))
    fields += `If-None-Match: ${mutateText('"abc", W/"def"', random)}\r\nIf-Modified-Since: ${mutateText('Sun, 06 Nov 1994 08:49:37 GMT', random)}\r\n`;
  if (random.chance(0.02)) fields += 'Connection: close\r\n';
  if (random.chance(0.01)) fields = '';
  if (random.chance(0.01)) fields += 'Host: again.test\r\n';
  if (random.chance(0.01)) version = ['HTTP/1.2', 'HTTP/2.0', 'HTTP/0.9', 'HTP/1.1', ''][random.below(5)] as string;
  let body: Buffer = Buffer.alloc(0);
  if (method === 'POST' || (method !== 'GET' && method !== 'HEAD' && random.chance(0.5))) {
    body = random.chance(0.1) ? random.bytes(random.below(600)) : (der ?? sample);
    if (der !== undefined) der = body;
    fields += `Content-Type: ${random.chance(0.1) ? mutateText('application/ocsp-request', random) : 'application/ocsp-request'}\r\nContent-Length: ${body.length}\r\n`;
  }
  const octets = Buffer.concat([Buffer.from(`${method} ${path} ${version}\r\n${fields}\r\n`, 'latin1'), body]);
  return { octets, method, der };
}

function mutateOctets(octets: Buffer, random: Random): Buffer {
  let changed: Buffer = Buffer.from(octets);
  const times = random.below(4);
  for (let i = 0; i < times; i++) {
    const kind = random.below(6);
    const at = random.below(changed.length || 1);
    if (kind <= 1 && changed.length > 0) changed[at] = (changed[at] as number) ^ (1 << random.below(8));
    else if (kind === 2) changed = changed.subarray(0, at);
    else if (kind === 3) changed = Buffer.concat([changed, random.bytes(1 + random.below(40))]);
    else if (kind === 4)
      changed = Buffer.concat([changed.subarray(0, at), random.bytes(1 + random.below(4)), changed.subarray(at)]);
    else if (changed.length > 0) changed[at] = random.below(256);
  }
  return changed;
}

/** Without what ends a line: that would make two requests of one, and the count of answers would not be ours to know. */
function mutateText(text: string, random: Random): string {
  const octets = mutateOctets(Buffer.from(text, 'latin1'), random);
  return octets.toString('latin1').replace(/[\r\n]/g, '?');
}
