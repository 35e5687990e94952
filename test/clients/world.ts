/**
 * What the clients of the matrix meet: two running services, with a CA of its own for each situation, kept by a real
 * `openssl ca`. Every certificate names its responder in its AIA extension, so that servers and libraries find it themselves.
 *
 * The second service is one whose only responder certificate has run out while it was down: it published good answers, was
 * stopped, and comes up when the clock is past notAfter. Nobody can wait for that, so its clock is put forward.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { exchange } from '../support/http.ts';
import {
  getPath,
  issuerFromFile,
  ocspRequest,
  readAnswer,
  type CertIdHash,
  type OcspAnswer,
} from '../support/ocsp-client.ts';
import { OpensslCa, type IssuedFile } from '../support/openssl-ca.ts';
import { Service, until } from '../support/service.ts';

/** A certificate that a client is to judge, with what it needs to ask. All are paths of PEM files. */
export interface Subject {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
  /** The certificate and its CA's: what a server sends. */
  readonly chain: string;
  /** Of its responder, the same as in its AIA. */
  readonly url: string;
}

export type SubjectName =
  | 'p256Good'
  | 'p256Revoked'
  | 'rsaGood'
  | 'rsaRevoked'
  | 'neverIssued'
  | 'expiredResponder'
  | 'rollOverOld'
  | 'rollOverNew';

const HOUR_MS = 3_600_000;

export class World {
  readonly steady: Service;
  readonly expired: Service;
  readonly subjects: Readonly<Record<SubjectName, Subject>>;
  /** For whatever a client wants to keep in files. */
  readonly directory = mkdtempSync(join(tmpdir(), 'certstatus-clients-'));
  readonly #cas: readonly OpensslCa[];

  private constructor(
    services: readonly [Service, Service],
    cas: readonly OpensslCa[],
    subjects: Readonly<Record<SubjectName, Subject>>,
  ) {
    [this.steady, this.expired] = services;
    this.#cas = cas;
    this.subjects = subjects;
  }

  static async create(): Promise<World> {
    const clock = mkdtempSync(join(tmpdir(), 'certstatus-clock-'));
    const steady = await Service.create();
    const late = await Service.create({ NODE_OPTIONS: `--import=${pathToFileURL(clockFile(clock))}` });
    setClock(clock, 0);
    const [p256, rsa, rolling, expired] = [
      new Kept(steady, 'p256', 'P-256'),
      new Kept(steady, 'rsa', 'RSA-2048'),
      new Kept(steady, 'rolling', 'P-256'),
      new Kept(late, 'expired', 'P-256'),
    ];
    const cas = [p256, rsa, rolling, expired].map(({ ca }) => ca);
    try {
      const [p256Good, p256Revoked] = p256.issueTwo();
      const [rsaGood, rsaRevoked] = rsa.issueTwo();
      const [rollOverOld] = rolling.issueTwo();
      const [expiredResponder] = expired.issueTwo();
      await Promise.all([
        (async () => {
          assertDone(await steady.run('init'));
          await p256.register(p256.ca.issueResponder(utc(-48)));
          await rsa.register(rsa.ca.issueResponder(utc(-48), { key: 'RSA-2048' }));
          await rolling.register(rolling.ca.issueResponder(utc(-48)));
          await steady.start();
        })(),
        (async () => {
          assertDone(await late.run('init'));
          // BR 4.9.9: nothing is signed with less than 8 h left, so it has a little more.
          await expired.register(expired.ca.issueResponder(utc(-48), { notAfter: utc(8.5) }));
          await late.start();
          await expired.says('good', expiredResponder);
          await late.stop();
          setClock(clock, 9 * HOUR_MS);
          await late.start();
          await expired.says('tryLater', expiredResponder);
        })(),
      ]);
      await p256.says('good', p256Good);
      await p256.says('revoked', p256Revoked);
      await rsa.says('good', rsaGood);
      await rsa.says('revoked', rsaRevoked);
      const rollOverNew = await rolling.changeOver(rollOverOld);
      // After the import, so that only the CA itself knows it (T-33).
      const [neverIssued] = p256.ca.issue() as [IssuedFile];
      await p256.says('unauthorized', neverIssued);
      const subjects = {
        p256Good: p256.subject(p256Good),
        p256Revoked: p256.subject(p256Revoked),
        rsaGood: rsa.subject(rsaGood),
        rsaRevoked: rsa.subject(rsaRevoked),
        neverIssued: p256.subject(neverIssued),
        expiredResponder: expired.subject(expiredResponder),
        rollOverOld: rolling.subject(rollOverOld),
        rollOverNew: rolling.subject(rollOverNew),
      };
      return new World([steady, late], cas, subjects);
    } catch (problem) {
      await Promise.all([steady.remove(), late.remove()]);
      for (const ca of cas) ca.remove();
      throw problem;
    } finally {
      // Read at start only.
      rmSync(clock, { recursive: true, force: true });
    }
  }

  async remove(): Promise<void> {
    await Promise.all([this.steady.remove(), this.expired.remove()]);
    for (const ca of this.#cas) ca.remove();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** One CA, and the service that answers for it. */
class Kept {
  readonly ca: OpensslCa;
  readonly #service: Service;
  readonly #id: string;

  constructor(service: Service, id: string, key: 'P-256' | 'RSA-2048') {
    this.#service = service;
    this.#id = id;
    this.ca = new OpensslCa({ subject: `/C=JP/O=certstatus tests/CN=Clients ${id} CA`, key, ocspUrl: this.#url });
  }

  get #url(): string {
    return this.#service.url(`/${this.#id}`);
  }

  subject({ serial, file }: IssuedFile): Subject {
    const { certificateFile, directory, leafKeyFile } = this.ca;
    const chain = join(directory, `chain-${serial}.pem`);
    writeFileSync(chain, readFileSync(file, 'utf8') + readFileSync(certificateFile, 'utf8'));
    return { certificate: file, key: leafKeyFile, ca: certificateFile, chain, url: this.#url };
  }

  /** The second is revoked. */
  issueTwo(): readonly [IssuedFile, IssuedFile] {
    const [good, revoked] = this.ca.issue({ count: 2 }) as [IssuedFile, IssuedFile];
    this.ca.revoke(revoked, '-crl_reason', 'superseded');
    return [good, revoked];
  }

  /** As its operators do: register the CA, then bring along what it has issued. */
  async register(responder: IssuedFile & { readonly keyFile: string }): Promise<void> {
    const { ca } = this;
    const added = await this.#service.run(
      ...['issuer', 'add', this.#id, '--ca', ca.certificateFile, '--ocsp-path', `/${this.#id}`],
      ...['--responder-cert', responder.file, '--responder-key', responder.keyFile],
    );
    assertDone(added);
    assertDone(await this.#service.run('import', 'index', ca.indexFile, '--issuer', this.#id));
  }

  /** Waits until our own client hears so: a matrix is not run against something else than it says, nor against a signer's start. */
  async says(status: OcspAnswer['status'], { serial }: IssuedFile): Promise<void> {
    const issuer = issuerFromFile(this.ca.certificateFile);
    for (const hash of ['sha1', 'sha256'] as const) {
      await until(`${this.#id} says ${status} of ${serial}`, async () => {
        return readAnswer(await this.#ask(serial, hash), issuer, serial, hash).status === status;
      });
    }
  }

  /**
   * The next responder certificate comes in while answers of the one before it are still served. Returns a certificate whose
   * answer is signed by the new one; that of `old` is by the old one.
   */
  async changeOver(old: IssuedFile): Promise<IssuedFile> {
    const { ca } = this;
    const key = join(ca.directory, 'next.key');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    const request = ['--key', key, '--out', join(ca.directory, 'next.csr')];
    assertDone(await this.#service.run('key', 'csr', '--issuer', this.#id, ...request));
    // Valid for more than a day, so that it signs at once (T-18).
    const next = ca.issueResponderFrom('next.csr', utc(-30));
    await this.says('good', old);
    assertDone(
      await this.#service.run('key', 'install', '--issuer', this.#id, '--certificate', next.file, '--key', key),
    );
    const [late] = ca.issue() as [IssuedFile];
    assertDone(await this.#service.run('import', 'certs', late.file, '--issuer', this.#id));
    await this.says('good', late);
    const by = async ({ serial }: IssuedFile): Promise<'new' | 'old'> =>
      (await this.#ask(serial, 'sha1')).body.includes(new X509Certificate(readFileSync(next.file)).raw) ? 'new' : 'old';
    assert.deepEqual([await by(old), await by(late)], ['old', 'new']);
    return late;
  }

  #ask(serial: string, hash: CertIdHash): ReturnType<typeof exchange> {
    const request = ocspRequest(issuerFromFile(this.ca.certificateFile), serial, hash);
    return exchange({ port: this.#service.ports.public, path: getPath(`/${this.#id}`, request) });
  }
}

function assertDone({ code, stdout, stderr }: Awaited<ReturnType<Service['run']>>): void {
  assert.equal(code, 0, `${stderr}${stdout}`);
}

/** So many hours from now, as `openssl ca` wants it. */
function utc(hours: number): string {
  return `${new Date(Date.now() + hours * HOUR_MS).toISOString().slice(0, 19).replace(/\D/g, '')}Z`;
}

const clockFile = (directory: string): string => join(directory, 'clock.mjs');

/** The clock of every program that loads it from now on is `aheadMs` ahead. */
function setClock(directory: string, aheadMs: number): void {
  writeFileSync(
    clockFile(directory),
    `const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given) { given.length === 0 ? super(RealDate.now() + ${aheadMs}) : super(...given); }
  static now() { return RealDate.now() + ${aheadMs}; }
};
`,
  );
}
