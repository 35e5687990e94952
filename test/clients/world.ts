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
import { parseDocument } from 'yaml';
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
  | 'liveNonce'
  | 'expiredResponder'
  | 'rollOverOld'
  | 'rollOverNew';

/** No monitor, which would ask too: what the listeners count is what the clients send. */
const ROLES = ['--roles', 'intake,signer,responder'];
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
    const [p256, rsa, rolling, live, expired] = [
      new Kept(steady, 'p256', 'P-256'),
      new Kept(steady, 'rsa', 'RSA-2048'),
      new Kept(steady, 'rolling', 'P-256'),
      new Kept(steady, 'live', 'P-256'),
      new Kept(late, 'expired', 'P-256'),
    ];
    const cas = [p256, rsa, rolling, live, expired].map(({ ca }) => ca);
    try {
      await Promise.all([
        (async () => {
          assert.equal((await steady.run('init')).code, 0);
          await p256.register(p256.ca.issueResponder(utc(-48)));
          await rsa.register(rsa.ca.issueResponder(utc(-48), { key: 'RSA-2048' }));
          await rolling.register(rolling.ca.issueResponder(utc(-48)));
          await live.register(live.ca.issueResponder(utc(-48)));
          live.signForNonces();
          await steady.start(...ROLES);
        })(),
        (async () => {
          assert.equal((await late.run('init')).code, 0);
          // BR 4.9.9: nothing is signed with less than 8 h left, so it has a little more.
          await expired.register(expired.ca.issueResponder(utc(-48), { notAfter: utc(8.5) }));
          await late.start(...ROLES);
        })(),
      ]);
      const [p256Good, p256Revoked] = [await p256.issue('good'), await p256.issue('revoked')];
      const [rsaGood, rsaRevoked] = [await rsa.issue('good'), await rsa.issue('revoked')];
      const liveNonce = await live.issue('good');
      const rollOverOld = await rolling.issue('good');
      const rollOverNew = await rolling.changeOver(rollOverOld);
      // The service never hears of it (T-33).
      const [neverIssued] = p256.ca.issue() as [IssuedFile];
      await p256.says('unauthorized', neverIssued);
      const expiredResponder = await expired.issue('good');
      await late.stop();
      setClock(clock, 9 * HOUR_MS);
      await late.start(...ROLES);
      await expired.says('tryLater', expiredResponder);
      const subjects = {
        p256Good: p256.subject(p256Good),
        p256Revoked: p256.subject(p256Revoked),
        rsaGood: rsa.subject(rsaGood),
        rsaRevoked: rsa.subject(rsaRevoked),
        neverIssued: p256.subject(neverIssued),
        liveNonce: live.subject(liveNonce),
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

  /** To be answered for from the next start on. */
  async register(responder: IssuedFile & { readonly keyFile: string }): Promise<void> {
    const added = await this.#service.run(
      ...['issuer', 'add', this.#id, '--ca', this.ca.certificateFile, '--ocsp-path', `/${this.#id}`],
      ...['--responder-cert', responder.file, '--responder-key', responder.keyFile],
    );
    assert.equal(added.code, 0, added.stderr);
  }

  /** Issued by the CA, pushed to the running service, and answered for when this returns. */
  async issue(status: 'good' | 'revoked'): Promise<IssuedFile> {
    const [issued] = this.ca.issue() as [IssuedFile];
    await this.#post('certificates', { certificates: [{ certificate: derOf(issued.file).toString('base64') }] });
    const { serial } = issued;
    if (status === 'revoked') await this.#post('revocations', { revocations: [{ serial, reason: 'superseded' }] });
    await this.says(status, issued);
    return issued;
  }

  async #post(what: string, body: object): Promise<void> {
    const { status, body: said } = await this.#service.api('POST', `/v1/issuers/${this.#id}/${what}`, body);
    assert.equal(status, 200, JSON.stringify(said));
  }

  /** A request with a nonce gets an answer signed for it, with the nonce (RFC 9654 §2.1); from the next start on. */
  signForNonces(): void {
    const file = join(this.#service.data, 'issuers', this.#id, 'issuer.yaml');
    const settings = parseDocument(readFileSync(file, 'utf8'));
    settings.setIn(['ocsp', 'nonce'], 'live');
    writeFileSync(file, settings.toString());
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
    assert.equal((await this.#service.run('key', 'csr', '--issuer', this.#id, ...request)).code, 0);
    // Valid for more than a day, so that it signs at once (T-18).
    const next = ca.issueResponderFrom('next.csr', utc(-30));
    await this.#post('responders', { certificate: readFileSync(next.file, 'latin1'), key });
    const late = await this.issue('good');
    const by = async ({ serial }: IssuedFile): Promise<'new' | 'old'> =>
      (await this.#ask(serial, 'sha1')).body.includes(derOf(next.file)) ? 'new' : 'old';
    assert.deepEqual([await by(old), await by(late)], ['old', 'new']);
    return late;
  }

  #ask(serial: string, hash: CertIdHash): ReturnType<typeof exchange> {
    const request = ocspRequest(issuerFromFile(this.ca.certificateFile), serial, hash);
    return exchange({ port: this.#service.ports.public, path: getPath(`/${this.#id}`, request) });
  }
}

function derOf(file: string): Buffer {
  return new X509Certificate(readFileSync(file)).raw;
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
