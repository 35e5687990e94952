/**
 * How a responder certificate becomes known to a running process: from the issuer's directory at start; by the feed, when a
 * signer puts it on the shelf; from the shelf, when an answer turns up that it has signed. Each time it is checked against the
 * issuer.
 */
import type { IssuerTag } from '../../core/certificate.ts';
import { Problem } from '../../core/problem.ts';
import { loadResponderCertificate } from '../../core/responder-certificate.ts';
import { checkResponderCertificate } from '../../core/signer-checks.ts';
import { SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { ResponderStore } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { Log } from '../log.ts';
import { servedResponder } from '../responders.ts';

/** After a look at the shelf: so long until the next, whatever answers turn up meanwhile. */
const LOOK_AGAIN_MS = 5 * SECOND;

/** Keeps the issuers' responders as the shelf and the feed have them. */
export class ResponderNews {
  readonly #issuers: ReadonlyMap<IssuerTag, ServedIssuer>;
  readonly #shelf: Pick<ResponderStore, 'responders' | 'retiredResponders'>;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #looks = new Map<IssuerTag, { readonly at: EpochMs; readonly done: Promise<void> }>();

  constructor(
    issuers: readonly ServedIssuer[],
    store: Pick<ResponderStore, 'responders' | 'retiredResponders' | 'follow'>,
    clock: Clock,
    log: Log,
  ) {
    this.#issuers = new Map(issuers.map((issuer) => [issuer.tag, issuer]));
    this.#shelf = store;
    this.#clock = clock;
    this.#log = log;
    store.follow((event) => {
      if (event.type === 'responder') this.#admit(event.issuer, event.der);
      else if (event.type === 'responder-retired')
        this.#issuers.get(event.issuer)?.responders.retire(event.responder, event.use);
      else if (event.type === 'gap') void this.#look(event.issuer);
    });
  }

  /** What was put on the shelf before this process followed. */
  async readShelves(): Promise<void> {
    await Promise.all([...this.#issuers.keys()].map((issuer) => this.#look(issuer)));
  }

  /** An answer has turned up whose responder is not known here: looks at the shelf, once for all who ask at the same time. Never rejects. */
  async meet(issuer: IssuerTag): Promise<void> {
    const last = this.#looks.get(issuer);
    const recent = last !== undefined && Math.abs(this.#clock.now() - last.at) < LOOK_AGAIN_MS;
    await (recent ? last.done : this.#look(issuer));
  }

  #look(issuer: IssuerTag): Promise<void> {
    const done = this.#read(issuer).catch((error: unknown) => {
      // It says `gap` when it can be read again.
      if (error instanceof Problem && error.code === 'unavailable') return;
      this.#log.error({ err: error }, 'the responder certificates cannot be read from the store');
    });
    this.#looks.set(issuer, { at: this.#clock.now(), done });
    return done;
  }

  async #read(tag: IssuerTag): Promise<void> {
    const issuer = this.#issuers.get(tag);
    if (issuer === undefined) return;
    const [ders, retired] = await Promise.all([this.#shelf.responders(tag), this.#shelf.retiredResponders(tag)]);
    for (const [id, use] of retired) issuer.responders.retire(id, use);
    for (const der of ders) this.#admit(tag, der);
  }

  /** P6: what comes from the store is believed no more than what comes from a file. */
  #admit(tag: IssuerTag, der: Buffer): void {
    const issuer = this.#issuers.get(tag);
    if (issuer === undefined) return;
    const now = this.#clock.now();
    try {
      const certificate = loadResponderCertificate(der, 'responder certificate of the store');
      if (now > certificate.notAfter) return;
      const findings = checkResponderCertificate(certificate, issuer.issuer, issuer.profile, now);
      const error = findings.find(({ severity }) => severity === 'error');
      if (error === undefined) issuer.responders.add(servedResponder(issuer.issuer, certificate));
      else
        this.#log.error(
          { issuer: issuer.id, responder: certificate.id, rule: error.rule },
          `a responder certificate of the store is refused: ${error.message}`,
        );
    } catch (error) {
      this.#log.error({ err: error, issuer: issuer.id }, 'a responder certificate of the store cannot be read');
    }
  }
}
