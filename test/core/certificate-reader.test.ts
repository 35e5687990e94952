import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { AsnConvert } from '@peculiar/asn1-schema';
import { Certificate, type TBSCertificate } from '@peculiar/asn1-x509';
import fc from 'fast-check';
import { certificatesFromFile, readCertificate } from '../../src/core/certificate-reader.ts';
import { nameText } from '../../src/core/name.ts';
import {
  accessUrls,
  authorityKeyIdentifier,
  crlDistributionPoints,
  extendedKeyUsage,
  isCertificateAuthority,
  isPrecertificate,
  keyUsage,
  OID,
  subjectKeyIdentifier,
} from '../../src/core/certificate-extensions.ts';
import * as write from '../../src/core/certificate-writer.ts';
import { tlv } from '../../src/core/der/writer.ts';
import { Problem } from '../../src/core/problem.ts';
import { caCertificate, CA_NAME, ecKey, keyIdOf, NOW, rsaKey, spkiOf } from './sample-pki.ts';

const BUNDLE = '/usr/share/ca-certificates/mozilla';
const ca = ecKey();

function subscriber(
  extensions = [write.basicConstraints(false)],
  change: Partial<write.CertificateDraft> = {},
): Buffer {
  const subjectDer = write.writeName([['CN', 'www.example.test']]);
  const draft = {
    serial: write.serialFromRandom(Buffer.alloc(16, 7)),
    issuerDer: CA_NAME,
    subjectDer,
    notBefore: NOW,
    notAfter: NOW,
  };
  return write.writeCertificate({ ...draft, spkiDer: spkiOf(ca), extensions, ...change }, ca.privateKey);
}

describe('readCertificate', () => {
  it(
    'agrees with @peculiar and OpenSSL on every root of the Mozilla bundle',
    { skip: !existsSync(BUNDLE) && 'no ca-certificates here' },
    () => {
      const files = readdirSync(BUNDLE);
      assert.ok(files.length > 100);
      for (const file of files) {
        const [der, ...more] = certificatesFromFile(readFileSync(`${BUNDLE}/${file}`));
        assert.ok(der !== undefined && more.length === 0, file);
        const ours = readCertificate(der);
        const openssl = new X509Certificate(der);
        const peculiar = AsnConvert.parse(der, Certificate);
        assert.equal(ours.serial, Buffer.from(peculiar.tbsCertificate.serialNumber).toString('hex'), file);
        assert.equal(ours.notBefore, Date.parse(openssl.validFrom), file);
        assert.equal(ours.notAfter, Date.parse(openssl.validTo), file);
        assert.deepEqual(ours.spkiDer, openssl.publicKey.export({ type: 'spki', format: 'der' }), file);
        assert.deepEqual(
          ours.keyBits,
          Buffer.from(peculiar.tbsCertificate.subjectPublicKeyInfo.subjectPublicKey),
          file,
        );
        assert.deepEqual(ours.signature, Buffer.from(peculiar.signatureValue), file);
        assert.deepEqual(ours.tbsDer, Buffer.from(peculiar.tbsCertificateRaw as ArrayBuffer), file);
        assert.equal(ours.version, peculiar.tbsCertificate.version + 1, file);
        assert.equal(isCertificateAuthority(ours), openssl.ca, file);
        assert.equal(ours.extensions.length, peculiar.tbsCertificate.extensions?.length ?? 0, file);
        for (const [index, extension] of (peculiar.tbsCertificate.extensions ?? []).entries()) {
          assert.deepEqual(ours.extensions[index]?.value, Buffer.from(extension.extnValue.buffer), file);
          assert.equal(ours.extensions[index]?.critical, extension.critical, file);
        }
        const unescaped = openssl.subject
          .replace(/\\(.)/g, '$1')
          .split('\n')
          .filter((line) => /^(C|O|OU|CN)=/.test(line));
        for (const line of unescaped.filter((text) => /^[ -~]*$/.test(text)))
          assert.ok(nameText(ours.subjectDer).includes(line), `${file}: ${line}`);
      }
    },
  );

  it('finds what a status service needs in a subscriber certificate', () => {
    const certificate = readCertificate(
      subscriber([
        write.basicConstraints(false),
        write.keyUsageExtension('digitalSignature', 'decipherOnly'),
        write.extKeyUsage('serverAuth', 'clientAuth'),
        write.authorityKeyIdentifierExtension(keyIdOf(ca)),
        write.subjectKeyIdentifierExtension(Buffer.from('0102', 'hex')),
        write.authorityInfoAccess({ ocsp: 'http://ocsp.example.test', caIssuers: 'http://ca.example.test/ca.crt' }),
        write.crlDistributionPoint('http://crl.example.test/7.crl'),
      ]),
    );
    assert.deepEqual(accessUrls(certificate), {
      ocsp: ['http://ocsp.example.test'],
      caIssuers: ['http://ca.example.test/ca.crt'],
    });
    assert.deepEqual(crlDistributionPoints(certificate), ['http://crl.example.test/7.crl']);
    assert.deepEqual(authorityKeyIdentifier(certificate), { keyIdentifier: keyIdOf(ca), more: false });
    assert.deepEqual(subjectKeyIdentifier(certificate), Buffer.from('0102', 'hex'));
    assert.deepEqual([...(keyUsage(certificate) ?? [])], ['digitalSignature', 'decipherOnly']);
    assert.deepEqual(extendedKeyUsage(certificate), ['2b06010505070301', '2b06010505070302']);
    assert.equal(isPrecertificate(certificate), false);
    assert.equal(isCertificateAuthority(certificate), false);
  });

  it('knows a precertificate by its poison', () => {
    assert.equal(isPrecertificate(readCertificate(subscriber([write.basicConstraints(false), write.poison()]))), true);
  });

  it('reads 2049 as UTCTime and 2050 as GeneralizedTime', () => {
    const dates = { notBefore: Date.UTC(2049, 11, 31, 23, 59, 59), notAfter: Date.UTC(2050, 0, 1) };
    const der = subscriber([write.basicConstraints(false)], dates);
    const certificate = readCertificate(der);
    assert.deepEqual(
      [certificate.notBefore, certificate.notAfter, certificate.utcTime],
      [dates.notBefore, dates.notAfter, false],
    );
    assert.equal(Date.parse(new X509Certificate(der).validTo), dates.notAfter);
  });

  for (const [defect, from, to] of [
    ['a day that does not exist', '261120080000Z', '260230080000Z'],
    ['an hour that does not exist', '261120080000Z', '261120240000Z'],
    ['a minute that does not exist', '261120080000Z', '261120086000Z'],
    ['a local time', '261120080000Z', '26112008+0100'],
  ] as const) {
    it(`refuses ${defect}`, () => {
      const der = Buffer.from(subscriber().toString('latin1').replace(from, to), 'latin1');
      assert.throws(
        () => readCertificate(der),
        (error: Problem) => error.code === 'invalid' && error.rule === 'RFC 5280 §4.1.2.5',
      );
    });
  }

  it('refuses an extension that appears twice', () => {
    const der = subscriber([write.ocspNoCheck(), write.ocspNoCheck()]);
    assert.throws(
      () => readCertificate(der),
      (error: Problem) => error.rule === 'RFC 5280 §4.2',
    );
  });

  it('refuses octets after the certificate, and every truncation of it', () => {
    const der = subscriber();
    assert.throws(() => readCertificate(Buffer.concat([der, Buffer.of(0)])), Problem);
    for (let length = 0; length < der.length; length += 1)
      assert.throws(() => readCertificate(der.subarray(0, length)), Problem);
  });

  it('reads an altered certificate as @peculiar does, or refuses it with a Problem', () => {
    const der = subscriber([
      write.basicConstraints(false),
      write.crlDistributionPoint('http://crl.example.test/1.crl'),
    ]);
    const seed = 20261121;
    let compared = 0;
    console.log(`seed ${seed}`);
    const readable = (altered: Buffer): ReturnType<typeof readCertificate> | undefined => {
      try {
        const certificate = readCertificate(altered);
        crlDistributionPoints(certificate);
        return certificate;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        return undefined;
      }
    };
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (offset, xor) => {
        const altered = Buffer.from(der);
        altered[offset] = (altered[offset] as number) ^ xor;
        const ours = readable(altered);
        if (ours === undefined) return;
        let peculiar: TBSCertificate;
        try {
          peculiar = AsnConvert.parse(altered, Certificate).tbsCertificate;
        } catch {
          return; // it also looks inside names and keys, which are only bytes to us
        }
        compared += 1;
        assert.equal(ours.serial, Buffer.from(peculiar.serialNumber).toString('hex'));
        assert.equal(ours.notAfter, peculiar.validity.notAfter.getTime().getTime());
        assert.equal(ours.extensions.length, peculiar.extensions?.length);
      }),
      { seed, numRuns: 2000 },
    );
    assert.ok(compared > 500, `only ${compared} of 2000 were compared`);
  });

  it('reads 100,000 certificates in seconds', () => {
    const der = subscriber();
    const started = process.cpuUsage().user;
    for (let count = 0; count < 20_000; count += 1) crlDistributionPoints(readCertificate(der));
    const microseconds = (process.cpuUsage().user - started) / 20_000;
    console.log(`${microseconds.toFixed(1)} µs each`);
    assert.ok(microseconds < 60, `${microseconds} µs for one certificate`);
  });
});

describe('certificatesFromFile', () => {
  const [one, two] = [subscriber(), caCertificate(rsaKey())];

  it('takes PEM with any number of blocks, text around them and other blocks between', () => {
    const key = ca.privateKey.export({ type: 'pkcs8', format: 'pem' });
    const text = `subject=/CN=x\n${write.pem('CERTIFICATE', one)}${key}${write.pem('X509 CERTIFICATE', two).replace(/\n/g, '\r\n')}`;
    assert.deepEqual(certificatesFromFile(Buffer.from(text)), [one, two]);
  });

  it('takes DER, also several one after the other', () => {
    assert.deepEqual(certificatesFromFile(one), [one]);
    assert.deepEqual(certificatesFromFile(Buffer.concat([one, two])), [one, two]);
  });

  it('refuses what holds no certificate', () => {
    assert.throws(() => certificatesFromFile(Buffer.from('hello')), /no certificate/);
    assert.throws(
      () => certificatesFromFile(Buffer.from('-----BEGIN CERTIFICATE-----\nM!!=\n-----END CERTIFICATE-----')),
      /not base64/,
    );
    assert.throws(() => certificatesFromFile(Buffer.concat([one, Buffer.of(0x30)])), Problem);
  });
});

describe('nameText', () => {
  it('shows every type of string that openssl writes', () => {
    const directory = mkdtempSync(join(tmpdir(), 'certstatus-names-'));
    try {
      const strings = [
        ['BMPSTRING', '日本'],
        ['UNIVERSALSTRING', '日本𠮟'],
        ['UTF8String', '日本𠮟'],
        ['PRINTABLESTRING', 'Example'],
        ['IA5STRING', 'a@b'],
        ['T61STRING', 'é'],
      ] as const;
      const sections = strings.map(
        ([type, text], i) => `a${i}=SEQ:b${i}\n[b${i}]\no=OID:2.5.4.3\nv=FORMAT:UTF8,${type}:${text}\n`,
      );
      const sets = strings.map((_, i) => `s${i}=SET:c${i}\n`).join('');
      const contents = strings.map((_, i) => `[c${i}]\n${sections[i]}`).join('');
      writeFileSync(join(directory, 'config'), `asn1=SEQ:name\n[name]\n${sets}${contents}`);
      execFileSync('openssl', ['asn1parse', '-genconf', 'config', '-noout', '-out', 'name'], { cwd: directory, stdio: 'pipe' }); // prettier-ignore
      const der = readFileSync(join(directory, 'name'));
      assert.equal(nameText(der), strings.map(([, text]) => `CN=${text}`).join(', '));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it('shows the octets of what is no string of its type', () => {
    const named = (type: number, ...octets: number[]): string =>
      nameText(tlv(0x30, tlv(0x31, tlv(0x30, Buffer.from('0603550403', 'hex'), tlv(type, Buffer.from(octets))))));
    assert.equal(named(0x1e, 0, 0x41, 0), 'CN=#004100');
    assert.equal(named(0x1c, 0, 0, 0x41), 'CN=#000041');
    assert.equal(named(0x1c, 0xff, 0, 0, 0x41), 'CN=\ufffd');
    assert.equal(named(0x1e), 'CN=');
  });
});

describe('extension accessors', () => {
  it('pass over access methods and locations that are not theirs', () => {
    const [method, other, uri, name] = ['06082b06010505073001', '06082b06010505073003', '8601' + '78', 'a4023000'];
    const descriptions = [`300e${method}${name}`, `300d${other}${uri}`, `300a${method}`, `300d${method}${uri}`].join(
      '',
    );
    const value = Buffer.from(`30${(descriptions.length / 2).toString(16)}${descriptions}`, 'hex');
    const certificate = readCertificate(subscriber([{ oid: OID.authorityInfoAccess, critical: false, value }]));
    assert.deepEqual(accessUrls(certificate), { ocsp: ['x'], caIssuers: [] });
  });

  it('answer undefined or empty for a certificate without extensions of their kind', () => {
    const certificate = readCertificate(
      subscriber([{ oid: OID.ocspNoCheck, critical: false, value: Buffer.of(5, 0) }]),
    );
    assert.equal(keyUsage(certificate), undefined);
    assert.equal(extendedKeyUsage(certificate), undefined);
    assert.equal(authorityKeyIdentifier(certificate), undefined);
    assert.equal(subjectKeyIdentifier(certificate), undefined);
    assert.deepEqual(crlDistributionPoints(certificate), []);
    assert.deepEqual(accessUrls(certificate), { ocsp: [], caIssuers: [] });
  });
});
