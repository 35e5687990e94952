import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { lasting, MAX_IMAGE_BODY, REASON_PHRASES, Reply, type ReplyStatus } from '../../src/core/reply.ts';

const STATUSES = Object.keys(REASON_PHRASES).map(Number) as ReplyStatus[];
const dateOf = (second: number) => ({ second, octets: Buffer.from(new Date(second * 1000).toUTCString(), 'latin1') });

/** A reply written the plain way. */
function written(status: ReplyStatus, headers: string, body: Buffer, keepAlive: boolean, second: number): string {
  const lines = [
    `HTTP/1.1 ${status} ${REASON_PHRASES[status]}`,
    ...(keepAlive ? [] : ['Connection: close']),
    `Date: ${new Date(second * 1000).toUTCString()}`,
  ];
  return `${lines.join('\r\n')}\r\n${headers}\r\n${body.length > MAX_IMAGE_BODY ? '' : body.toString('latin1')}`;
}

function headersOf(status: ReplyStatus, body: Buffer, tag: string): string {
  if (status === 304) return `Cache-Control: max-age=1\r\nETag: "${tag}"\r\n`;
  return `Content-Length: ${body.length}\r\nContent-Type: a/b\r\nETag: "${tag}"\r\n`;
}

describe('Reply', () => {
  it('says on each connection what is right for it, whatever it said on others and while they take their time', () => {
    const step = fc.oneof(
      fc.record({
        what: fc.constant('send' as const),
        keepAlive: fc.boolean(),
        second: fc.integer({ min: 1, max: 4 }),
        slow: fc.boolean(),
      }),
      fc.record({ what: fc.constant('renew' as const), tag: fc.stringMatching(/^[a-z]{0,9}$/) }),
    );
    const length = fc.constantFrom(0, 5, 900, 5000, MAX_IMAGE_BODY, MAX_IMAGE_BODY + 1);
    fc.assert(
      fc.property(fc.constantFrom(...STATUSES), length, fc.array(step, { maxLength: 20 }), (status, octets, steps) => {
        const body = Buffer.alloc(octets, 'answer ');
        let headers = headersOf(status, body, 'first');
        const reply = new Reply(status, headers, body, lasting);
        /** What slow connections are still sending, and what it is to be. */
        const underWay: [Buffer, string][] = [];
        for (const now of steps) {
          if (now.what === 'renew') {
            headers = headersOf(status, body, now.tag);
            reply.renew(headers, lasting);
          } else {
            const { keepAlive, second, slow } = now;
            const sent = reply.image(keepAlive, dateOf(second));
            const expected = written(status, headers, body, keepAlive, second);
            assert.equal(sent.toString('latin1'), expected);
            if (!slow) continue;
            underWay.push([sent, expected]);
            reply.leave();
          }
          assert.equal(reply.headers, headers);
          assert.equal(reply.bodyLength, body.length);
          assert.ok(reply.body.equals(body));
          const shown = status === 304 ? headers : headers.slice(headers.indexOf('Content-Type'));
          assert.equal(reply.fields.toString('latin1'), shown.slice(shown.indexOf(': ') + 2, -2));
        }
        for (const [sent, expected] of underWay) assert.equal(sent.toString('latin1'), expected);
      }),
      { numRuns: 300, seed: 9110 },
    );
  });

  it('leaves the octets of others alone that lie beside it', () => {
    const bodies = Array.from({ length: 200 }, (_, i) => Buffer.alloc(1 + ((i * 37) % 1500), i));
    const replies = bodies.map((body, i) => new Reply(200, headersOf(200, body, String(i)), body, lasting));
    for (const [i, reply] of replies.entries()) reply.image(i % 2 === 0, dateOf(i));
    for (const [i, reply] of replies.entries()) {
      assert.ok(reply.body.equals(bodies[i] as Buffer));
      assert.equal(reply.headers, headersOf(200, bodies[i] as Buffer, String(i)));
    }
  });
});
