/**
 * The responder certificates of an issuer while the service runs: they come and go without a restart (responder-news.ts,
 * change-responder.ts). Whoever holds a ServedIssuer sees every change at once.
 */
import type { Issuer } from '../core/issuer.ts';
import { ResponseTemplate } from '../core/ocsp/response.ts';
import { newestFirst, type ResponderUse } from '../core/policy/responder-choice.ts';
import type { ResponderCertificate } from '../core/responder-certificate.ts';
import { algorithmFor } from '../core/signature-algorithm.ts';
import type { EpochMs } from '../core/time.ts';

export interface ServedResponder {
  readonly certificate: ResponderCertificate;
  readonly template: ResponseTemplate;
}

/** More than an issuer ever has: twelve of 30 days in a year, those of one year kept. */
const MAX_RESPONDERS = 64;

export class Responders {
  #list: readonly ServedResponder[];
  readonly #retired = new Map<string, Exclude<ResponderUse, 'signing'>>();

  constructor(list: readonly ServedResponder[] = []) {
    this.#list = sorted(list);
  }

  /** Every certificate whose answers may still be served, newest first. */
  get list(): readonly ServedResponder[] {
    return this.#list.filter(({ certificate }) => this.useOf(certificate.id) !== 'nothing');
  }

  /** The same for people and alerts: without what has expired, unless nothing else is left. */
  shown(nowMs: EpochMs): readonly ServedResponder[] {
    const alive = this.list.filter(({ certificate }) => nowMs <= certificate.notAfter);
    return alive.length > 0 ? alive : this.list;
  }

  /** Those that may sign, newest first. */
  get signing(): readonly ServedResponder[] {
    return this.#list.filter(({ certificate }) => this.useOf(certificate.id) === 'signing');
  }

  /** Undefined also for one whose answers are served no more. */
  find(id: string): ServedResponder | undefined {
    return this.useOf(id) === 'nothing' ? undefined : this.#list.find(({ certificate }) => certificate.id === id);
  }

  /** False for one that may be on the shelf, but has not come here. */
  knows(id: string): boolean {
    return this.useOf(id) === 'nothing' || this.#list.some(({ certificate }) => certificate.id === id);
  }

  useOf(id: string): ResponderUse {
    return this.#retired.get(id) ?? 'signing';
  }

  get retired(): ReadonlyMap<string, Exclude<ResponderUse, 'signing'>> {
    return this.#retired;
  }

  /**
   * One that is known already changes nothing. What has expired stays until there are too many: a clock that was wrong for a
   * minute must not cost the certificate that signs, and no answer outlives its certificate anyhow (P4).
   */
  add(responder: ServedResponder): void {
    if (this.#list.some(({ certificate }) => certificate.id === responder.certificate.id)) return;
    this.#list = sorted([...this.#list, responder]).slice(0, MAX_RESPONDERS);
  }

  /** From now on it signs nothing; never taken back, except that `nothing` is less than `answers`. */
  retire(id: string, use: Exclude<ResponderUse, 'signing'>): void {
    if (this.#retired.get(id) !== 'nothing') this.#retired.set(id, use);
  }
}

function sorted(list: readonly ServedResponder[]): readonly ServedResponder[] {
  return [...list].sort((a, b) => newestFirst(a.certificate, b.certificate));
}

/** With the template from which its answers are assembled. */
export function servedResponder(issuer: Issuer, certificate: ResponderCertificate): ServedResponder {
  const template = new ResponseTemplate({
    issuer: issuer.hashes,
    responderKeyHash: certificate.keyHash,
    // T-16: a client has the CA certificate already.
    responderCertificate: certificate.delegated ? certificate.der : undefined,
    algorithm: algorithmFor(certificate.publicKey, `responder certificate ${certificate.id}`),
  });
  return { certificate, template };
}
