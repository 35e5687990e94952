import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeGetPath, encodeGetPath, MAX_GET_CHARACTERS } from '../../src/core/ocsp/get-path.ts';
import { parseRequest } from '../../src/core/ocsp/request.ts';
import { tlv } from '../../src/core/der/writer.ts';
import { NGINX_PATH, ROOT_CA2_REQUESTS } from './ocsp-request-shapes.ts';

const SEED = 255_2026;

/** Every spelling of peers' clients and proxies, as a function of the plain base64. */
const SPELLINGS: Record<string, (base64: string) => string> = {
  'as RFC 9919 §6 has it': (text) => `/${encodeURIComponent(text)}`,
  'lower-case escapes': (text) => `/${encodeURIComponent(text).replace(/%../g, (escape) => escape.toLowerCase())}`,
  unescaped: (text) => `/${text}`,
  'without any slash': (text) => encodeURIComponent(text),
  'slashes in front': (text) => `///${text}`,
  'no padding': (text) => `/${text.replace(/=/g, '')}`,
  base64url: (text) => `/${text.replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')}`,
  'base64url with padding': (text) => `/${text.replace(/\+/g, '-').replace(/\//g, '_')}`,
  'a space for +': (text) => `/${text.replace(/\+/g, ' ')}`,
  '%20 for +': (text) => `/${text.replace(/\+/g, '%20')}`,
  'line breaks': (text) => `/${text.replace(/.{64}/g, '$&%0A')}`,
  'CRLF line breaks': (text) => `/${encodeURIComponent(text).replace(/[A-Z]{3}/g, '$&%0d%0a')}`,
  'escaped twice': (text) => `/${encodeURIComponent(encodeURIComponent(text))}`,
  'every character escaped': (text) => `/${[...text].map((c) => `%${c.charCodeAt(0).toString(16)}`).join('')}`,
  'a slash behind': (text) => `/${encodeURIComponent(text)}/`,
  'a slash behind, unescaped': (text) => `/${text}/`,
  'a slash behind, no padding': (text) => `/${text.replace(/=/g, '')}/`,
  'a query behind': (text) => `/${encodeURIComponent(text)}?cache=no/../x`,
  'slash and query behind': (text) => `/${text}/?x`,
  'a fragment behind': (text) => `/${text}#top?x`,
};

describe('decodeGetPath', () => {
  for (const [name, spell] of Object.entries(SPELLINGS)) {
    it(`reads a request spelt with ${name}`, () => {
      // Every length modulo 3, and octets that yield + and / and trailing slashes in base64.
      const anyDer = fc.oneof(
        fc.uint8Array({ minLength: 40, maxLength: 140 }),
        fc
          .array(fc.constantFrom(0xff, 0xfb, 0xef, 0xfe, 0x3f), { minLength: 40, maxLength: 140 })
          .map((octets) => Uint8Array.from(octets)),
      );
      fc.assert(
        fc.property(anyDer, (content) => {
          const der = tlv(0x30, content);
          const decoded = decodeGetPath(spell(der.toString('base64')));
          assert.ok(typeof decoded !== 'string', `${String(decoded)}: ${spell(der.toString('base64'))}`);
          assert.equal(decoded.toString('hex'), der.toString('hex'));
        }),
        { seed: SEED, numRuns: 200 },
      );
    });
  }

  it('reads what nginx and Java sent', () => {
    const der = decodeGetPath(NGINX_PATH);
    assert.ok(typeof der !== 'string');
    const parsed = parseRequest(der);
    assert.ok(parsed.kind === 'request');
    assert.equal(parsed.certIds[0]?.serial, '7f00a1b2c3d4e5f60011223344556601');
    assert.equal(`/${encodeGetPath(der)}`, NGINX_PATH);
  });

  it('reads the request for EV CA G3 of 2019, which holds a slash, behind a base URL that ends in one', () => {
    const [text, serial] = ROOT_CA2_REQUESTS[1];
    const der = decodeGetPath(`//${text}`);
    assert.ok(typeof der !== 'string');
    const parsed = parseRequest(der);
    assert.ok(parsed.kind === 'request' && parsed.certIds[0]?.serial === serial);
  });

  it('keeps the double slash within, which the crt.sh monitor asks for', () => {
    const zero = Buffer.alloc(20);
    const algorithm = Buffer.from('300906052b0e03021a0500', 'hex');
    const der = tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, tlv(0x30, algorithm, tlv(0x04, zero), tlv(0x04, zero), Buffer.from('020303fffc', 'hex')))))); // prettier-ignore
    const text = der.toString('base64');
    assert.match(text, /\/\//);
    assert.deepEqual(decodeGetPath(`/${text}`), der);
  });

  for (const [name, path, problem] of [
    ['nothing', '', 'empty'],
    ['slashes', '///', 'empty'],
    ['a query alone', '/?ocsp', 'empty'],
    ['a file name', '/favicon.ico', 'not-base64'],
    ['a directory above', '/../../etc/passwd', 'not-base64'],
    ['half an escape', '/MFEw%2', 'not-base64'],
    ['an escape that is none', '/MFEw%zz', 'not-base64'],
    ['a character outside base64', '/MFEw*FEw', 'not-base64'],
    ['a character outside ASCII', '/MFE\u0141MFEw', 'not-base64'],
    ['a control character', '/MFEw%00FEw', 'not-base64'],
    ['data behind the padding', '/MFE=MFEw', 'not-base64'],
    ['three paddings', '/MFEwMA===', 'not-base64'],
    ['one character over a group', '/MFEwM', 'not-base64'],
    ['padding alone', '/==', 'not-base64'],
    ['escaped three times', '/MFEw%25252BFEw', 'not-base64'],
    ['more than any request head holds', `/${'A'.repeat(MAX_GET_CHARACTERS)}`, 'too-long'],
  ] as const) {
    it(`refuses ${name}`, () => assert.equal(decodeGetPath(path), problem));
  }

  it('never throws, and never returns more octets than the characters hold', () => {
    const alphabet = fc.constantFrom(...'AMz09+/-_=%2Bf5 ?#\n~\u00ff\u0141');
    fc.assert(
      fc.property(fc.string({ unit: alphabet, maxLength: 60 }), (path) => {
        const decoded = decodeGetPath(path);
        assert.ok(typeof decoded === 'string' || (decoded.length > 0 && decoded.length <= path.length));
      }),
      { seed: SEED, numRuns: 20_000 },
    );
  });
});
