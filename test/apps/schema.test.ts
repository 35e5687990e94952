import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { importRequest, issueRequest, MAX_ITEMS, parseBody, revokeRequest } from '../../src/apps/intake/schema.ts';
import { Problem } from '../../src/core/problem.ts';

const SEED = 8081;
const ISSUED = { serial: '0a1b', notAfter: '2027-01-01T00:00:00Z' };

/** The problem that a body is refused with. */
function refusal(...given: Parameters<typeof parseBody>): Problem {
  try {
    parseBody(...given);
  } catch (error) {
    assert.ok(error instanceof Problem);
    return error;
  }
  return assert.fail('it was accepted');
}

describe('parseBody', () => {
  it('takes what the documentation shows', () => {
    parseBody(issueRequest, {
      certificates: [
        { ...ISSUED, notBefore: '2026-01-01T00:00:00Z', precertificate: false, crlShard: 'http://a/b.crl' },
      ],
    });
    parseBody(issueRequest, { certificates: [{ certificate: 'MIIB' }, ISSUED] });
    parseBody(revokeRequest, {
      revocations: [
        {
          serial: '0a1b',
          reason: 'keyCompromise',
          revokedAt: '2026-01-01T00:00:00Z',
          clause: '4.9.1.1-3',
          requestedBy: 'x',
        },
      ],
    });
    parseBody(importRequest, { source: 'index.txt', rows: [{ line: 1, serial: '01' }] });
  });

  for (const [what, schema, body, field, value] of [
    [
      'a misspelt member',
      revokeRequest,
      { revocations: [{ serial: '01', revokedAtt: 'x' }] },
      '/revocations/0',
      undefined,
    ],
    ['a member too many', issueRequest, { certificates: [ISSUED], more: 1 }, '/', undefined],
    [
      'a missing end',
      issueRequest,
      { certificates: [ISSUED, { serial: '01' }] },
      '/certificates/1/notAfter',
      undefined,
    ],
    [
      'a number for a serial',
      issueRequest,
      { certificates: [{ ...ISSUED, serial: 17 }] },
      '/certificates/0/serial',
      '17',
    ],
    [
      'both forms at once',
      issueRequest,
      { certificates: [{ ...ISSUED, certificate: 'MIIB' }] },
      '/certificates/0',
      undefined,
    ],
    [
      'an unknown reason',
      revokeRequest,
      { revocations: [{ serial: '01', reason: 'because' }] },
      '/revocations/0/reason',
      'because',
    ],
    ['a reason by number', revokeRequest, { revocations: [{ serial: '01', reason: 1 }] }, '/revocations/0/reason', '1'],
    [
      'a reason of Object',
      revokeRequest,
      { revocations: [{ serial: '01', reason: 'toString' }] },
      '/revocations/0/reason',
      'toString',
    ],
    ['an empty list', issueRequest, { certificates: [] }, '/certificates', '[]'],
    ['no body', issueRequest, undefined, '/', undefined],
    ['a list', issueRequest, [], '/', '[]'],
    ['a negative line', importRequest, { source: 'x', rows: [{ line: -1, serial: '01' }] }, '/rows/0/line', '-1'],
  ] as const) {
    it(`refuses ${what} and names the field`, () => {
      const problem = refusal(schema, body);
      assert.equal(problem.code, 'invalid');
      assert.equal(problem.field, field);
      if (value !== undefined) assert.equal(problem.value, value);
    });
  }

  it('refuses more items than one request may have as too large', () => {
    const certificates = Array.from({ length: MAX_ITEMS + 1 }, () => ISSUED);
    const problem = refusal(issueRequest, { certificates });
    assert.deepEqual([problem.code, problem.field], ['too-large', '/certificates']);
    parseBody(issueRequest, { certificates: certificates.slice(1) });
  });

  it(`throws nothing but a Problem, whose value is short (seed ${SEED})`, () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.jsonValue(),
          fc.record({ certificates: fc.array(fc.jsonValue()) }),
          fc.record({ revocations: fc.jsonValue() }),
        ),
        (body) => {
          for (const schema of [issueRequest, revokeRequest, importRequest]) {
            try {
              parseBody<unknown>(schema, body);
            } catch (error) {
              assert.ok(error instanceof Problem && error.field?.startsWith('/') && (error.value ?? '').length <= 80);
            }
          }
        },
      ),
      { numRuns: 500, seed: SEED },
    );
  });
});
