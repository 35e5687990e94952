/**
 * All CRLs of one issuer: a publisher for each scope of its layout, and for each that was published before, whose certificates may
 * not all have ended (T-38). Each event of the feed goes to the publishers that it concerns.
 */
import { COMPLETE, type CrlRecord, type IssuerTag } from '../../core/certificate.ts';
import { scopesOf } from '../../core/crl/shards.ts';
import { Problem } from '../../core/problem.ts';
import type { EpochMs } from '../../core/time.ts';
import type { Change, StoreEvent } from '../../ports/store.ts';
import { CRL_TUNING, CrlPublisher, type PublisherParts } from './publish-crl.ts';
import { Turns } from '../sign/turns.ts';

/** Builds under way in a process: one more than one, so that a large CRL does not hold up all small ones. */
export const CRLS_AT_ONCE = 2;

export type IssuerCrlsOptions = Partial<Pick<PublisherParts, 'turns' | 'tuning' | 'everyCertificateNamesOcsp'>>;

export class IssuerCrls {
  readonly #parts: PublisherParts;
  readonly #publishers = new Map<string, CrlPublisher>();
  #told = 0;
  #started = false;

  /** @param options `turns` are shared by all issuers of the process. */
  constructor(
    at: PublisherParts['at'],
    store: PublisherParts['store'],
    journal: PublisherParts['journal'],
    clock: PublisherParts['clock'],
    log: PublisherParts['log'],
    metrics: PublisherParts['metrics'],
    options: IssuerCrlsOptions = {},
  ) {
    let claiming = 0;
    this.#parts = {
      at,
      store,
      journal,
      clock,
      log,
      metrics,
      turns: options.turns ?? new Turns(CRLS_AT_ONCE),
      tuning: options.tuning ?? CRL_TUNING,
      everyCertificateNamesOcsp: options.everyCertificateNamesOcsp ?? (() => true),
      told: () => this.#told,
      claims: {
        claim: async () => {
          const claimed = await store.claimCrl(at.served.tag);
          if (claimed) claiming += 1;
          return claimed;
        },
        release: async (failed) => {
          claiming -= 1;
          // Another build of the issuer would be fenced off, and is itself a sign that this process can build.
          if (failed && claiming === 0) await store.releaseCrl(at.served.tag);
        },
      },
    };
    for (const { shard } of scopesOf(at.served.crls, this.issuer)) this.#add(shard);
    store.follow((event) => this.#follow(event));
  }

  get issuer(): IssuerTag {
    return this.#parts.at.served.tag;
  }

  /** By the name of the shard; COMPLETE first, if there is one. */
  get publishers(): ReadonlyMap<string, CrlPublisher> {
    return this.#publishers;
  }

  /** The complete CRL that is current. */
  get current(): CrlRecord | undefined {
    return this.#publishers.get(COMPLETE)?.current;
  }

  /** When the oldest revocation that a CRL has to list and does not yet was recorded: the clock of B-14. */
  get oldestUnlisted(): EpochMs | undefined {
    let oldest: EpochMs | undefined;
    for (const { oldestUnlisted } of this.#publishers.values())
      if (oldestUnlisted !== undefined) oldest = Math.min(oldestUnlisted, oldest ?? Infinity);
    return oldest;
  }

  /** Publishes at once what is missing or due. */
  async start(): Promise<void> {
    this.#started = true;
    // A shared store that cannot be relied on yet says `gap` when it can.
    if (this.#parts.store.failureOf(this.issuer) === undefined) await this.#addKnown();
    for (const publisher of [...this.#publishers.values()]) await publisher.start();
  }

  async stop(): Promise<void> {
    this.#started = false;
    for (const publisher of this.#publishers.values()) await publisher.stop();
  }

  /** The key may be usable again. */
  wake(): void {
    for (const publisher of this.#publishers.values()) publisher.wake();
  }

  /**
   * Builds and publishes a CRL now, on top of the schedule.
   * @throws Problem `not-found` for a shard that the issuer has not, else saying why it was not published.
   */
  async publishNow(shard = COMPLETE): Promise<CrlRecord> {
    return this.publisher(shard).publishNow();
  }

  /** @throws Problem `not-found` */
  publisher(shard: string): CrlPublisher {
    const publisher = this.#publishers.get(shard);
    if (publisher !== undefined) return publisher;
    throw new Problem('not-found', 'the issuer has no such CRL', { field: 'shard', value: shard });
  }

  #add(shard: string): CrlPublisher {
    const publisher = new CrlPublisher({ issuer: this.issuer, shard }, this.#parts);
    this.#publishers.set(shard, publisher);
    return publisher;
  }

  /** @returns those that were not there. */
  async #addKnown(): Promise<readonly CrlPublisher[]> {
    const scopes = await this.#parts.store.scopes(this.issuer);
    return scopes.flatMap(({ shard }) => (this.#publishers.has(shard) ? [] : [this.#add(shard)]));
  }

  #follow(event: StoreEvent): void {
    if (event.type === 'recorded') {
      if (event.change.certificate.issuer === this.issuer) this.#recorded(event.change);
    } else if (event.type === 'crl') {
      if (event.record.issuer === this.issuer) this.#publishers.get(event.record.shard)?.published(event.record);
    } else if (event.type === 'gap' && event.issuer === this.issuer) {
      this.#told = 0;
      for (const publisher of this.#publishers.values()) publisher.gap();
      if (this.#started) void this.#addKnown().then((added) => added.forEach((one) => this.#startLate(one)), () => undefined); // prettier-ignore
    }
  }

  #recorded({ certificate, lane }: Change): void {
    this.#told = Math.max(this.#told, certificate.recordedSeq);
    // Not every change in the revocation lane revokes (a hold may end), and an import revokes in the refresh lane.
    if (certificate.revocation === undefined && lane !== 'revocation') return;
    this.#publishers.get(COMPLETE)?.recorded(certificate);
    const { crlShard } = certificate;
    if (crlShard === undefined) return;
    const known = this.#publishers.get(crlShard);
    if (known !== undefined) known.recorded(certificate);
    // Recorded under an earlier layout, and the first of its shard to be revoked.
    else if (this.#started) this.#startLate(this.#add(crlShard));
  }

  /** What it must list it finds in the index. */
  #startLate(publisher: CrlPublisher): void {
    void publisher.start().catch(() => publisher.gap());
  }
}
