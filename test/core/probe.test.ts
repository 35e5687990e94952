import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AsnConvert } from '@peculiar/asn1-schema';
import { OCSPRequest } from '@peculiar/asn1-ocsp';
import fc from 'fast-check';
import { decodeGetPath } from '../../src/core/ocsp/get-path.ts';
import { parseRequest } from '../../src/core/ocsp/request.ts';
import { readHttpAnswer, type HttpAnswer } from '../../src/core/probe/http-answer.ts';
import { judgeFreshness, judgeHttp } from '../../src/core/probe/http-rules.ts';
import {
  awkwardQuestion,
  NOBODY,
  noncedQuestion,
  plainQuestion,
  type ProbeSubject,
} from '../../src/core/probe/question.ts';
import { spellings, tellTales } from '../../src/core/probe/spellings.ts';
import { serialFromHex } from '../../src/core/serial.ts';

const SEED = 4049_2026;

const octets = (length: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((value) => Buffer.from(value));
const subjects: fc.Arbitrary<ProbeSubject> = fc
  .constantFrom(['sha1', 20] as const, ['sha256', 32] as const)
  .chain(([hash, length]) =>
    fc.record({
      hash: fc.constant(hash),
      issuer: fc.record({ name: octets(length), key: octets(length) }),
      serial: fc.bigInt({ min: 1n, max: 2n ** 158n }).map((value) => serialFromHex(value.toString(16))),
    }),
  );

describe('what a probe asks', () => {
  it('is a request about the subject, with all that goes wrong in its base64, whoever the subject is', () => {
    fc.assert(
      fc.property(subjects, (subject) => {
        const der = awkwardQuestion(subject);
        const base64 = der.toString('base64');
        for (const text of ['//', '+', '=']) assert.ok(base64.includes(text), base64);
        // Not much longer than what clients send by GET (RFC 9919 §6: up to 255 octets).
        assert.ok(base64.length <= 240, String(base64.length));
        const parsed = parseRequest(der);
        assert.equal(parsed.kind, 'request');
        if (parsed.kind !== 'request') return;
        assert.equal(parsed.certIds[0]?.serial, subject.serial);
        assert.deepEqual([parsed.criticalUnknown, parsed.nonce], [false, undefined]);
        const [asked] = AsnConvert.parse(der, OCSPRequest).tbsRequest.requestList;
        assert.ok(Buffer.from(asked?.reqCert.issuerKeyHash.buffer as ArrayBuffer).equals(subject.issuer.key));
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('is read by openssl', () => {
    const directory = mkdtempSync(join(tmpdir(), 'certstatus-probe-'));
    try {
      const questions = [
        plainQuestion(NOBODY),
        awkwardQuestion(NOBODY),
        noncedQuestion(NOBODY, Buffer.alloc(32, 0xa5)),
      ];
      const read = questions.map((der, i) => {
        const file = join(directory, `${i}.der`);
        writeFileSync(file, der);
        const { status, stdout, stderr } = spawnSync('openssl', ['ocsp', '-reqin', file, '-req_text'], {
          encoding: 'utf8',
        });
        assert.equal(status, 0, stderr);
        assert.match(stdout, /Serial Number: 2A/);
        return stdout;
      });
      assert.doesNotMatch(read[0] as string, /Extensions/);
      assert.match(read[1] as string, /Acceptable OCSP Responses/);
      assert.match(read[2] as string, /OCSP Nonce:\s+0420A5A5/);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it('is spelt in ways that all mean it, and in tell-tale ways that mean it only once decoded', () => {
    const der = awkwardQuestion(NOBODY);
    for (const path of ['/', '/OcspServer', '/a/b/']) {
      const mount = path.replace(/\/$/, '');
      for (const { name, target } of spellings(path, 'h', der)) {
        const rest = target.replace('http://h', '').slice(mount.length);
        assert.deepEqual(decodeGetPath(rest), der, name);
      }
      for (const { name, target } of tellTales(path, der)) {
        const rest = target.slice(mount.length);
        const got = decodeGetPath(rest);
        assert.ok(typeof got === 'string' || parseRequest(got).kind === 'malformed', name);
        assert.deepEqual(decodeGetPath(decodeURIComponent(rest)), der, name);
      }
    }
  });
});

describe('an HTTP answer from its octets', () => {
  const read = (text: string, isHead = false, ended = true): HttpAnswer | 'not-http' | undefined =>
    readHttpAnswer(Buffer.from(text, 'latin1'), isHead, ended);

  it('is whole when its framing says so, and not before', () => {
    const length = 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc';
    const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\n\r\n';
    for (const [text, framing] of [
      [length, 'content-length'],
      [chunked, 'chunked'],
    ] as const) {
      for (let cut = 0; cut < text.length; cut++) {
        assert.equal(read(text.slice(0, cut), false, false), undefined, String(cut));
        assert.equal(read(text.slice(0, cut)), 'not-http', String(cut));
      }
      const answer = read(`${text}zz`, false, false) as HttpAnswer;
      assert.deepEqual([answer.body.toString(), answer.framing, answer.surplus], ['abc', framing, 2]);
    }
    const open = 'HTTP/1.0 200 OK\r\n\r\nabc';
    assert.equal(read(open, false, false), undefined);
    assert.deepEqual((read(open) as HttpAnswer).body.toString(), 'abc');
    assert.equal((read(length, true, false) as HttpAnswer).surplus, 3);
    assert.equal(read('SSH-2.0-OpenSSH\r\n\r\n'), 'not-http');
  });

  it('is anything without a crash', () => {
    const pieces = fc.constantFrom('HTTP/1.1 200 OK\r\n', 'Content-Length: ', 'Transfer-Encoding: chunked\r\n', '\r\n', '5', ':', 'x', '\r\n\r\n', '\0'); // prettier-ignore
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), fc.boolean(), fc.boolean(), (parts, isHead, ended) => {
        const answer = read(parts.join(''), isHead, ended);
        if (typeof answer === 'object') judgeHttp('x', answer, true);
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });
});

describe('how fresh an answer is', () => {
  const NOW = Date.UTC(2026, 10, 21);
  const findings = (fields: string, nextUpdateInS = 3600): string[] =>
    judgeFreshness(
      'GET',
      readHttpAnswer(Buffer.from(`HTTP/1.1 200 OK\r\nETag: "x"\r\n${fields}\r\nContent-Length: 0\r\n\r\n`), false, true) as HttpAnswer,
      NOW + nextUpdateInS * 1000,
      NOW,
    ).map(({ message }) => message); // prettier-ignore

  it('is what Age, or without it Date, says against max-age', () => {
    const control = 'Cache-Control: public, max-age=60';
    const date = (agoS: number): string => `Date: ${new Date(NOW - agoS * 1000).toUTCString()}`;
    assert.deepEqual(findings(control), []);
    assert.deepEqual(findings(`${control}\r\nAge: 60\r\n${date(60)}`), []);
    assert.deepEqual(findings(`${control}\r\nAge: 63`), ['served 63 s old, with max-age 60']);
    assert.deepEqual(findings(`${control}\r\n${date(64)}`), ['served 64 s old, with max-age 60']);
    // A clock of theirs that is ahead proves nothing.
    assert.deepEqual(findings(`${control}\r\n${date(-500)}`), []);
    assert.deepEqual(findings(control, 30), ['may be kept for 60 s more, but nextUpdate is in 30 s']);
    assert.deepEqual(findings(`${control}, s-maxage=7200`), [
      'may be kept for 7200 s more, but nextUpdate is in 3600 s',
    ]);
    assert.deepEqual(findings('Cache-Control: no-store'), ['a signed answer with Cache-Control "no-store"']);
    assert.deepEqual(findings('X: y'), ['a signed answer with no Cache-Control']);
  });
});
