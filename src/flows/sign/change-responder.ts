/**
 * The life of a responder certificate: requested, installed, retired, while the service runs or while it does not.
 *
 * Install:
 *  1. check    certificate, key and that they belong together, by a signature that is recorded before it is made (P8), and
 *              verified. A failure changes nothing.
 *  2. keep     the certificate goes into the issuer's directory. A crash after it: a file that nobody names.
 *  3. record   `responder.installed`, before anything is signed with it (P8). A crash after it: the next attempt records again.
 *  4. name     issuer.yaml names it, in one rename. A crash after it: the next start uses it.
 *  5. shelf    so that every responder can assemble its answers before there are any; then it may sign.
 *
 * Retire: record, then issuer.yaml, then the shelf (from here on nobody signs with it), then all of its answers are due. A
 * crash in between is made good at the next start (`resume`), which makes issuer.yaml true.
 *
 * All of it may be asked for again: what is done already is left as it is.
 */
import { createHash, createPublicKey, type KeyObject, randomBytes } from 'node:crypto';
import { certificatesFromFile } from '../../core/certificate-reader.ts';
import { nameText } from '../../core/name.ts';
import { sameKey } from '../../core/same-key.ts';
import { pem } from '../../core/certificate-writer.ts';
import { assembleRequest, parseSubject, requestToBeSigned } from '../../core/csr.ts';
import type { JournalEntryType } from '../../core/journal-record.ts';
import { shownReference } from '../../core/key-reference.ts';
import type { Finding } from '../../core/lint/finding.ts';
import { chooseResponder, SETTLING_MS, successorDue, type ResponderUse } from '../../core/policy/responder-choice.ts';
import { Problem } from '../../core/problem.ts';
import { loadResponderCertificate, type ResponderCertificate } from '../../core/responder-certificate.ts';
import { checkOcspKey, checkResponderCertificate } from '../../core/signer-checks.ts';
import { rfc3339 } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { KeyHolder } from '../../ports/key-holder.ts';
import type { RefreshQueue, ResponderShelf } from '../../ports/store.ts';
import type { ServedIssuer, SigningKeys } from '../issuer-setup.ts';
import { servedResponder } from '../responders.ts';
import { verified } from './check-answer.ts';

/** The issuers' directories. Synchronous and durable: each call is done when it returns, or throws and has changed nothing. */
export interface ResponderFiles {
  keep(issuer: string, certificate: ResponderCertificate): void;
  /** @returns false when issuer.yaml names it already. @throws Problem `conflict` when it does with other keys. */
  name(issuer: string, certificate: ResponderCertificate, keys: readonly string[]): boolean;
  /**
   * One that issuer.yaml does not name is as good: an operator took it out already, or another signer installed it. The store
   * keeps what has been retired.
   * @throws Problem `unavailable` when it cannot tell whether issuer.yaml names it.
   */
  retire(issuer: string, responder: string, use: Exclude<ResponderUse, 'signing'>): void;
}

export interface ResponderChangeParts {
  /** Undefined when no service runs: keys are not open, and what changes takes effect at the next start. By issuer id. */
  readonly keys: ReadonlyMap<string, SigningKeys> | undefined;
  readonly store: RefreshQueue & ResponderShelf;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly files: ResponderFiles;
  /** @throws Problem when it cannot be opened. */
  readonly openKey: (issuer: string, references: readonly string[]) => Promise<KeyHolder>;
  /** There is work: called when answers were made due. */
  readonly wake: () => void;
}

export interface ResponderView {
  readonly id: string;
  readonly subject: string;
  readonly serial: string;
  readonly keyType: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly use: ResponderUse;
  /** Where the key is, and why it cannot sign now; only where keys are open. */
  readonly key?: string;
  readonly keyFailure?: string;
  /** True for the one that signs now. */
  readonly signs: boolean;
}

export interface RespondersView {
  readonly responders: readonly ResponderView[];
  readonly successor?: { readonly dueAt: string; readonly alarm: 'none' | 'warning' | 'failing' };
}

export interface Installed {
  readonly id: string;
  /** False when it was installed before. */
  readonly installed: boolean;
  readonly notBefore: string;
  readonly notAfter: string;
  /** From when on it is preferred: a day after notBefore (T-18). Earlier when nothing else can sign. */
  readonly signsFrom: string;
  readonly warnings: readonly { readonly rule: string; readonly message: string }[];
}

export interface Retired {
  readonly id: string;
  readonly use: ResponderUse;
  /** Certificates whose answers by it are still to be replaced. */
  readonly toReplace: number;
}

export class ResponderChanges {
  readonly #parts: ResponderChangeParts;
  /** One change at a time: each decides on what the one before has left. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(parts: ResponderChangeParts) {
    this.#parts = parts;
  }

  /** At the start of a signer: puts its certificates on the shelf, and goes on with what was retired and not yet replaced. */
  async resume(issuers: readonly ServedIssuer[]): Promise<void> {
    const { store, clock, keys } = this.#parts;
    for (const issuer of issuers) {
      for (const { certificate } of issuer.responders.signing)
        if (keys?.get(issuer.id)?.ocsp.has(certificate.id)) await store.addResponder(issuer.tag, certificate.der);
      for (const [id, use] of issuer.responders.retired) {
        await store.retireResponder(issuer.tag, id, use);
        await store.refreshAll(issuer.tag, id, clock.now());
      }
    }
  }

  view(issuer: ServedIssuer): RespondersView {
    const { keys, clock } = this.#parts;
    const now = clock.now();
    const holders = keys?.get(issuer.id)?.ocsp;
    const active = this.#chosen(issuer, undefined);
    const spans = issuer.responders.signing.map(({ certificate }) => certificate);
    const successor = successorDue(issuer.profile, spans, now);
    return {
      responders: issuer.responders.shown(now).map(({ certificate }) => {
        const holder = holders?.get(certificate.id)?.holder;
        return {
          id: certificate.id,
          subject: nameText(certificate.fields.subjectDer),
          serial: certificate.fields.serial,
          keyType: certificate.keyType,
          notBefore: rfc3339(certificate.notBefore),
          notAfter: rfc3339(certificate.notAfter),
          use: issuer.responders.useOf(certificate.id),
          ...(holder !== undefined && { key: holder.describe }),
          ...(holder?.failure !== undefined && { keyFailure: holder.failure }),
          signs: keys !== undefined && certificate.id === active,
        };
      }),
      ...(successor && { successor: { dueAt: rfc3339(successor.dueAt), alarm: successor.alarm } }),
    };
  }

  /**
   * A certification request for a key, signed by it.
   * @param subject in OpenSSL's notation; default: that of the newest responder certificate.
   * @throws Problem `refused` or `unavailable` when the key cannot sign.
   */
  async request(
    issuer: ServedIssuer,
    keys: readonly string[],
    subject: string | undefined,
    actor: string,
  ): Promise<{ readonly csr: string; readonly keyType: string }> {
    const newest = issuer.responders.list[0]?.certificate.fields.subjectDer;
    const subjectDer = subject === undefined ? newest : parseSubject(subject, '/subject');
    if (subjectDer === undefined)
      throw new Problem('invalid', 'is needed: there is no responder certificate yet whose subject could be repeated', {
        field: '/subject',
      });
    return this.#withKey(issuer, keys, async (holder) => {
      const publicKey = publicKeyOf(holder);
      const permitted = issuer.profile.responder.keyTypes;
      if (!permitted.includes(holder.algorithm.keyType))
        throw new Problem('refused', `key ${holder.algorithm.keyType}: the profile permits ${permitted.join(', ')}`, {
          field: '/key',
          value: shown(keys),
          rule: 'CT-6.1.5-b',
        });
      this.#mustNotBeCaKey(issuer, holder, keys);
      const tbs = requestToBeSigned(subjectDer, publicKey);
      // P8: a signature that the log does not know of must not exist, so the record is first.
      await this.#record('responder.requested', issuer, actor, `certification request for ${holder.describe}`, {
        key: holder.describe,
        keyType: holder.algorithm.keyType,
        subject: nameText(subjectDer),
        tbsSha256: createHash('sha256').update(tbs).digest('hex'),
      });
      const der = assembleRequest(tbs, holder.algorithm, await signOne(holder, tbs, publicKey));
      return { csr: pem('CERTIFICATE REQUEST', der), keyType: holder.algorithm.keyType };
    });
  }

  /**
   * @param text PEM, or base64 of the DER.
   * @throws Problem `invalid` when it is no certificate, `refused` naming the rule that it breaks, `conflict` when it was retired or
   *   is installed with another key, `unavailable` when the key cannot sign now.
   */
  install(issuer: ServedIssuer, text: string, keys: readonly string[], actor: string): Promise<Installed> {
    return this.#oneByOne(() => this.#install(issuer, readCertificateText(text), keys, actor));
  }

  async #install(
    issuer: ServedIssuer,
    certificate: ResponderCertificate,
    keys: readonly string[],
    actor: string,
  ): Promise<Installed> {
    const { clock, files, store } = this.#parts;
    const { id, notBefore, notAfter } = certificate;
    if (issuer.responders.useOf(id) !== 'signing')
      throw new Problem('conflict', 'was retired: have the CA issue another', { field: '/certificate', value: id });
    const findings = checkResponderCertificate(certificate, issuer.issuer, issuer.profile, clock.now());
    refuse(findings, '/certificate', id);
    const holder = await this.#open(issuer, keys);
    const open = this.#parts.keys?.get(issuer.id)?.ocsp;
    let taken = false;
    try {
      refuse(checkOcspKey(holder.publicKey, certificate, issuer.issuer), '/key', shown(keys));
      this.#mustNotBeCaKey(issuer, holder, keys);
      await this.#record(
        'responder.key-proof',
        issuer,
        actor,
        `${holder.describe} proves that it is the key of ${id}`,
        {
          responder: id,
          key: holder.describe,
        },
      );
      await signOne(holder, keyProof(), certificate.publicKey);
      const known = issuer.responders.signing.some((served) => served.certificate.id === id);
      if (!known || open?.has(id) === false) {
        files.keep(issuer.id, certificate);
        await this.#record(
          'responder.installed',
          issuer,
          actor,
          `responder certificate ${id} with ${holder.describe}`,
          {
            responder: id,
            serial: certificate.fields.serial,
            notBefore: rfc3339(notBefore),
            notAfter: rfc3339(notAfter),
            key: holder.describe,
          },
        );
      }
      const installed = files.name(issuer.id, certificate, keys);
      await store.addResponder(issuer.tag, certificate.der);
      issuer.responders.add(servedResponder(issuer.issuer, certificate));
      if (open?.has(id) === false) {
        open.set(id, { holder, publicKey: certificate.publicKey });
        taken = true;
        this.#parts.wake();
      }
      return {
        id,
        installed,
        notBefore: rfc3339(notBefore),
        notAfter: rfc3339(notAfter),
        signsFrom: rfc3339(notBefore + SETTLING_MS),
        warnings: findings.map(({ rule, message }) => ({ rule, message })),
      };
    } finally {
      if (!taken) await holder.close();
    }
  }

  /**
   * Ends the use of a certificate now (CT-6.2.6-b): nothing is signed with it any more, and everything that it has signed is due
   * for another signature.
   * @param drop serve nothing of it meanwhile: tryLater, or another signature on the spot, rather than an answer by a key in other hands.
   * @throws Problem `not-found`, or `conflict` when nothing else could sign and `drop` does not say that this is meant.
   */
  retire(issuer: ServedIssuer, id: string, drop: boolean, actor: string): Promise<Retired> {
    return this.#oneByOne(async () => {
      const { files, store, clock, keys } = this.#parts;
      const responder = issuer.responders.list.find(({ certificate }) => certificate.id === id);
      const was = issuer.responders.useOf(id);
      if (responder === undefined && was === 'signing')
        throw new Problem('not-found', 'no such responder certificate; see GET …/responders', {
          field: 'responder',
          value: id,
        });
      const use = drop || was === 'nothing' ? 'nothing' : 'answers';
      if (use === 'answers' && this.#chosen(issuer, id) === undefined)
        throw new Problem(
          'conflict',
          'nothing else could sign: install a successor first, or drop its answers, whereupon clients get tryLater',
          { field: 'responder', value: id, rule: 'CT-6.2.6-b' },
        );
      if (was !== use) {
        const what = use === 'nothing' ? 'its answers are dropped' : 'its answers are replaced';
        await this.#record('responder.retired', issuer, actor, `responder certificate ${id}: ${what}`, {
          responder: id,
          use,
        });
        files.retire(issuer.id, id, use);
      }
      issuer.responders.retire(id, use);
      await store.retireResponder(issuer.tag, id, use);
      keys?.get(issuer.id)?.ocsp.delete(id);
      const toReplace = await store.refreshAll(issuer.tag, id, clock.now());
      this.#parts.wake();
      return { id, use, toReplace };
    });
  }

  /** P7: the key of a CA signs nothing that has to do with a responder, also not a request; whatever issuer here it belongs to. */
  #mustNotBeCaKey(issuer: ServedIssuer, holder: KeyHolder, keys: readonly string[]): void {
    const key = publicKeyOf(holder);
    const crlKeys = [...(this.#parts.keys?.values() ?? [])].flatMap(({ crl }) => crl?.publicKey ?? []);
    if (![issuer.issuer.publicKey, ...crlKeys].some((other) => sameKey(other, key))) return;
    throw new Problem('refused', 'is the key of a CA: a responder has a key of its own', {
      field: '/key',
      value: shown(keys),
      rule: 'CT-6.1.7-a, P7',
    });
  }

  /** The certificate that signs now, or would without `except`. Where no keys are open, every key counts as usable. */
  #chosen(issuer: ServedIssuer, except: string | undefined): string | undefined {
    const keys = this.#parts.keys;
    const holders = keys?.get(issuer.id)?.ocsp;
    const candidates = issuer.responders.signing.map(({ certificate }) => {
      const holder = holders?.get(certificate.id)?.holder;
      return { certificate, usable: keys === undefined || (holder !== undefined && holder.failure === undefined) };
    });
    const others = candidates.filter(({ certificate }) => certificate.id !== except);
    return chooseResponder(others, this.#parts.clock.now())?.certificate.id;
  }

  async #withKey<T>(issuer: ServedIssuer, keys: readonly string[], run: (holder: KeyHolder) => Promise<T>): Promise<T> {
    const holder = await this.#open(issuer, keys);
    try {
      return await run(holder);
    } finally {
      await holder.close();
    }
  }

  async #open(issuer: ServedIssuer, keys: readonly string[]): Promise<KeyHolder> {
    let holder: KeyHolder;
    try {
      holder = await this.#parts.openKey(issuer.id, keys);
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== 'config') throw error;
      // In a configuration it would stop the start; here it is what a request says.
      throw new Problem('refused', error.message, {
        field: '/key',
        value: shown(keys),
        ...(error.rule !== undefined && { rule: error.rule }),
      });
    }
    if (holder.failure === undefined) return holder;
    await holder.close();
    throw new Problem('unavailable', `the key cannot sign now: ${holder.failure}`, {
      field: '/key',
      value: shown(keys),
    });
  }

  async #record(
    type: JournalEntryType,
    issuer: ServedIssuer,
    actor: string,
    description: string,
    detail: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    await this.#parts.journal.append([{ type, actor, issuer: issuer.id, issuerTag: issuer.tag, description, detail }]);
  }

  #oneByOne<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#changing.then(run);
    this.#changing = result.catch(() => undefined);
    return result;
  }
}

const shown = (keys: readonly string[]): string => keys.map(shownReference).join(' ');

function readCertificateText(text: string): ResponderCertificate {
  const field = '/certificate';
  const isPem = text.includes('-----BEGIN');
  const ders = certificatesFromFile(Buffer.from(text, isPem ? 'latin1' : 'base64'), field);
  if (ders.length !== 1)
    throw new Problem('invalid', `holds ${ders.length} certificates: exactly the responder's own is needed (T-16)`, {
      field,
    });
  return loadResponderCertificate(ders[0] as Buffer, field);
}

/** @throws Problem `refused` with the first error and how many more there are. */
function refuse(findings: readonly Finding[], field: string, value: string): void {
  const errors = findings.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (first === undefined) return;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  throw new Problem('refused', `${first.message}${more}`, { field, value, rule: `${first.rule}, ${first.citation}` });
}

function publicKeyOf(holder: KeyHolder): KeyObject {
  return createPublicKey({ key: holder.publicKey, format: 'der', type: 'spki' });
}

/** No SEQUENCE, so never the to-be-signed part of anything. */
function keyProof(): Buffer {
  return Buffer.concat([Buffer.from('certstatus key proof'), randomBytes(32)]);
}

/** A signature that verifies. @throws Problem `unavailable` when the key does not give one. */
async function signOne(holder: KeyHolder, tbs: Buffer, publicKey: KeyObject): Promise<Buffer> {
  const [result] = await holder.sign([tbs], 'urgent');
  if (result?.ok && (await verified(tbs, result.signature, publicKey, holder.algorithm.identifier)))
    return result.signature;
  const why = result === undefined || result.ok ? 'its signature does not verify' : result.error.message;
  throw new Problem('unavailable', `the key cannot sign: ${why}`, { field: '/key', value: holder.describe });
}
