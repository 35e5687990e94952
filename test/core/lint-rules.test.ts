import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { loadPreset, presetIds } from '../../src/apps/presets.ts';
import { assembleCrl, CrlBuilder } from '../../src/core/crl/crl.ts';
import { issuingDistributionPoint } from '../../src/core/crl/idp.ts';
import { loadIssuer } from '../../src/core/issuer.ts';
import { kindOf } from '../../src/core/lint/kind.ts';
import { CRL_RULES, lintCrl, lintResponse, RESPONSE_RULES } from '../../src/core/lint/lint.ts';
import { lintResponder, RESPONDER_RULES } from '../../src/core/lint/responder.ts';
import type { LintAuthority } from '../../src/core/lint/rule.ts';
import { findingsOfSuccession } from '../../src/core/lint/succession.ts';
import { readCrl } from '../../src/core/crl/crl-reader.ts';
import { Problem } from '../../src/core/problem.ts';
import { loadResponderCertificate } from '../../src/core/responder-certificate.ts';
import { serialFromHex } from '../../src/core/serial.ts';
import { algorithmFor } from '../../src/core/signature-algorithm.ts';
import { DAY } from '../../src/core/time.ts';
import { makeAuthority, signWith } from './ocsp-authority.ts';
import { COVERED_ELSEWHERE, NOT_ON_BYTES, OUTSIDE_FINDINGS, STANDARDS_IDS } from './lint-coverage.ts';

const authority = makeAuthority('rsa');
const curved = makeAuthority('ec');
after(() => {
  authority.remove();
  curved.remove();
});
const NOW = Math.floor(Date.now() / 1000) * 1000;
const EVERYBODY: readonly LintAuthority[] = [
  'rfc',
  'cabf-tls',
  'cabf-smime',
  'cabf-cs',
  'ccadb',
  'mozilla',
  'microsoft',
];
const RULES = { CRL: CRL_RULES, OCSP: RESPONSE_RULES, responder: RESPONDER_RULES };
const ids = new Set(Object.values(RULES).flatMap((rules) => rules.map(({ id }) => id)));
/** Said by the readers, who go no further, by what compares two CRLs or counts entries, and by the checks of a key. */
const BY_READER = [
  'C-22',
  'T-31',
  'O-01',
  'O-03',
  'T-56',
  'X.690 §10',
  'X.690 §8.3.2',
  'e_crl_unique_revoked_certificate',
  'SR-6.1.6-a',
];

interface Options {
  readonly shard?: string;
  readonly kind?: 'user-certificates' | 'ca-certificates';
  readonly days?: number;
  readonly of?: typeof authority;
  readonly reasons?: boolean;
  readonly invalidityDate?: 'omit' | 'revocation-date';
  readonly serials?: readonly string[];
  readonly number?: bigint;
}

function ourCrl({ shard, kind = 'user-certificates', days = 7, of = authority, reasons = true, invalidityDate = 'omit', serials = ['01', 'ff'], number = 7n }: Options = {}): Buffer {
  const algorithm = algorithmFor(of.ca.key, 'key');
  const builder = new CrlBuilder({
    issuerName: of.ca.subject,
    authorityKeyIdentifier: of.ca.keyHash,
    algorithm,
    thisUpdate: NOW,
    nextUpdate: NOW + days * DAY - 1000,
    number,
    invalidityDate,
    ...(shard !== undefined && { extensions: [issuingDistributionPoint(shard, kind)] }),
  });
  for (const serial of serials) builder.add({ serial: serialFromHex(serial), revokedAt: NOW - DAY, reason: reasons ? 'superseded' : undefined });
  const tbs = builder.tbs();
  return Buffer.from(assembleCrl(tbs, algorithm, signWith(of.ca, tbs)));
} // prettier-ignore

describe('the catalogue', () => {
  it('says of every rule what it demands, where that stands and whom it binds', () => {
    for (const [kind, rules] of Object.entries(RULES)) {
      for (const { id, says, citation, authorities } of rules) {
        assert.ok(says.length > 5 && says.length < 140 && !says.endsWith('.'), `${kind} ${id}: ${says}`);
        assert.ok(citation.length > 0 && authorities.length > 0, `${kind} ${id}`);
      }
    }
  });

  it('has every rule of the standards once: by itself, by another, or with the reason why octets do not show it', () => {
    for (const id of STANDARDS_IDS) {
      const ways = [ids.has(id) || BY_READER.includes(id), id in COVERED_ELSEWHERE, id in NOT_ON_BYTES].filter(Boolean);
      assert.equal(ways.length, 1, `${id}: ${ways.length} ways`);
    }
    for (const [id, by] of Object.entries(COVERED_ELSEWHERE))
      for (const one of by) assert.ok(ids.has(one) || BY_READER.includes(one), `${id} is said to be covered by ${one}`);
    const listed = new Set(STANDARDS_IDS);
    for (const id of [...Object.keys(COVERED_ELSEWHERE), ...Object.keys(NOT_ON_BYTES)]) assert.ok(listed.has(id), id);
  });

  it('covers each finding of the outside linters', () => {
    for (const [name, by] of Object.entries(OUTSIDE_FINDINGS)) {
      assert.ok(by.length > 0, name);
      for (const one of by) assert.ok(ids.has(one) || BY_READER.includes(one), `${name}: ${one}`);
    }
    assert.ok(Object.keys(OUTSIDE_FINDINGS).length > 50);
  });
});

describe('what we write', () => {
  const ca = loadIssuer([authority.ca.der], 'ca');
  const bound = {
    ca,
    issuer: { name: authority.ca.subject, keyIdentifier: authority.ca.keyHash },
    servedAt: NOW,
    nowMs: NOW,
  };

  it('passes everybody’s rules: complete, sharded, empty, RSA and ECDSA', () => {
    const url = 'http://crl.example/1.crl';
    const findings = [
      lintCrl(ourCrl(), { ...bound, authorities: EVERYBODY, subject: 'subscriber', form: 'der', url }),
      lintCrl(ourCrl({ shard: url }), { ...bound, authorities: EVERYBODY, subject: 'subscriber', form: 'der', url }),
      lintCrl(ourCrl({ serials: [] }), { ...bound, authorities: EVERYBODY, subject: 'subscriber' }),
      lintCrl(ourCrl({ shard: url, kind: 'ca-certificates', days: 90 }), { ...bound, authorities: EVERYBODY, subject: 'ca', url }),
      lintCrl(ourCrl({ of: curved }), { ca: loadIssuer([curved.ca.der], 'ca'), authorities: EVERYBODY }),
    ];
    assert.deepEqual(findings, [[], [], [], [], []]);
  }); // prettier-ignore

  it('has nothing above a notice under every preset', () => {
    const ids = presetIds();
    assert.ok(ids.length >= 7);
    for (const id of ids) {
      const { authorities, issues, crl } = loadPreset(id, 'preset');
      const { validity = 7 * DAY, invalidityDate = 'omit' } = crl;
      const subject = issues === 'ca-certificates' ? 'ca' : 'subscriber';
      const der = ourCrl({ days: validity / DAY, invalidityDate });
      const findings = lintCrl(der, { ...bound, authorities, subject, maxValidityMs: validity });
      assert.deepEqual(findings.filter(({ severity }) => severity !== 'notice'), [], id);
    }
  }); // prettier-ignore

  it('is read and believed by openssl, certtool and python3-cryptography as far as they are here', (t) => {
    for (const [name, options] of [['whole', {}], ['shard', { shard: 'http://crl.example/1.crl' }], ['empty', { serials: [] }]] as const) {
      authority.write(`${name}.crl`, ourCrl(options));
      authority.write('ca.der', authority.ca.der);
      authority.openssl('crl', '-inform', 'DER', '-in', `${name}.crl`, '-CAfile', 'ca.pem', '-noout', '-text');
      authority.openssl('asn1parse', '-inform', 'DER', '-in', `${name}.crl`);
      const dir = authority.dir;
      const tools: readonly (readonly string[])[] = [
        ['certtool', '--verify-crl', '--load-ca-certificate', 'ca.der', '--inder', '--infile', `${name}.crl`],
        ['python3', '-c', `from cryptography import x509\nca=x509.load_pem_x509_certificate(open('ca.pem','rb').read())\nc=x509.load_der_x509_crl(open('${name}.crl','rb').read())\nassert c.is_signature_valid(ca.public_key())\nassert [e.value for e in c.extensions] is not None\nassert len(list(c))==${name === 'empty' ? 0 : 2}`],
      ];
      for (const [tool = '', ...args] of tools) {
        try {
          execFileSync(tool, args, { cwd: dir, stdio: 'pipe' });
        } catch (error) {
          const { code, stderr } = error as { code?: string; stderr?: Buffer };
          if (code === 'ENOENT' || String(stderr).includes('ModuleNotFoundError')) t.diagnostic(`${tool} is not here`);
          else throw error;
        }
      }
    }
  }); // prettier-ignore
});

describe('two CRLs, one after the other', () => {
  it('names entries that have gone or lost their reason, and another scope', () => {
    const rules = (before: Options, next: Options): string[] =>
      findingsOfSuccession(readCrl(ourCrl(before)), readCrl(ourCrl(next))).map(({ rule, severity }) => `${severity} ${rule}`);
    assert.deepEqual(rules({}, { serials: ['01', '02', 'ff'] }), []);
    assert.deepEqual(rules({}, { serials: ['01'] }), ['notice C-22']);
    assert.deepEqual(rules({}, { reasons: false }), ['notice T-31']);
    assert.deepEqual(rules({ reasons: false }, {}), []);
    assert.deepEqual(rules({}, { shard: 'http://crl.example/1.crl' }), ['error T-37']);
  }); // prettier-ignore
});

describe('whatever it is given', () => {
  it('lint throws nothing but Problems, and says so in bounded time', () => {
    const crl = ourCrl({ shard: 'http://crl.example/1.crl', invalidityDate: 'revocation-date' });
    const answer = { revocation: { revokedAt: NOW - DAY, reason: 'superseded' as const }, thisUpdate: NOW, nextUpdate: NOW + DAY };
    const serial = serialFromHex('7f01');
    const response = Buffer.from(authority.template.assemble('sha1', serial, answer, signWith(authority.responder, authority.template.tbs('sha1', serial, answer))));
    const ca = loadIssuer([authority.ca.der], 'ca');
    const context = { authorities: [...EVERYBODY, 'cybertrust', 'secom'] as const, ca, servedAt: NOW };
    const run = (der: Buffer): void => {
      try {
        kindOf(der, 'file');
      } catch (error) {
        assert.ok(error instanceof Problem);
      }
      lintCrl(der, context);
      lintResponse(der, context);
      try {
        lintResponder(loadResponderCertificate(der), { ...context, issuer: ca, nowMs: NOW });
      } catch (error) {
        assert.ok(error instanceof Problem, String(error));
      }
    };
    const change = fc.record({ at: fc.nat(), value: fc.nat(255), kind: fc.constantFrom('set', 'cut', 'insert', 'drop') });
    fc.assert(
      fc.property(fc.constantFrom(crl, response, authority.responder.der), fc.array(change, { minLength: 1, maxLength: 4 }), (good, changes) => {
        let der = Buffer.from(good);
        for (const { at, value, kind } of changes) {
          const i = at % Math.max(1, der.length);
          if (kind === 'set') der[i] = value;
          else if (kind === 'cut') der = der.subarray(0, i);
          else if (kind === 'insert') der = Buffer.concat([der.subarray(0, i), Buffer.of(value), der.subarray(i)]);
          else der = Buffer.concat([der.subarray(0, i), der.subarray(i + 1)]);
        }
        run(der);
      }),
      { numRuns: 3000, seed: 20261121 },
    );
  }); // prettier-ignore
});
