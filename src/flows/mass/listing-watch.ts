/** Whether the CRLs of a plan list everything that its mass revocation has recorded. */
import type { IssuerTag } from '../../core/certificate.ts';
import type { MassPlan } from '../../core/mass/plan.ts';
import type { MassShelf } from '../../ports/mass-shelf.ts';
import type { CrlShelf, Ledger, StoreEvent } from '../../ports/store.ts';

/** At the end of the list: the last line that was recorded is looked for among them, four batches of the recording. */
const LAST_LINES = 2000;
const PAGE = 500;

export class ListingWatch {
  readonly #plan: MassPlan;
  readonly #shelf: MassShelf;
  readonly #store: Ledger & Pick<CrlShelf, 'current'>;
  /** The greatest recordedSeq of each issuer: a CRL with it has everything. */
  readonly #upTo = new Map<IssuerTag, number>();

  constructor(plan: MassPlan, shelf: MassShelf, store: Ledger & Pick<CrlShelf, 'current'>) {
    this.#plan = plan;
    this.#shelf = shelf;
    this.#store = store;
  }

  follow(event: StoreEvent): void {
    if (event.type !== 'recorded' || event.change.lane !== 'mass') return;
    const { issuer, recordedSeq } = event.change.certificate;
    this.#upTo.set(issuer, Math.max(this.#upTo.get(issuer) ?? 0, recordedSeq));
  }

  /** Every CRL that the plan changes has the last of its records in it. */
  async done(): Promise<boolean> {
    const tags = new Map(this.#plan.issuers.map(({ id, tag }) => [id, tag]));
    for (const { issuer, shard } of this.#plan.crls) {
      const tag = tags.get(issuer) as IssuerTag;
      const current = await this.#store.current({ issuer: tag, shard });
      if (current === undefined || current.asOfSeq < (this.#upTo.get(tag) ?? (await this.#lastSeq(tag)))) return false;
    }
    return true;
  }

  /** After a restart the feed has not told of what was recorded before: the end of the list has. */
  async #lastSeq(tag: IssuerTag): Promise<number> {
    let last = 0;
    const plan = this.#plan;
    const from = Math.max(0, plan.counts.selected - LAST_LINES);
    for await (const page of this.#shelf.list(plan, plan.issuers.length > 1 ? 0 : from, PAGE)) {
      const serials = page.filter(({ issuer }) => issuer === tag).map(({ serial }) => serial);
      for (const found of await this.#store.find(tag, serials)) last = Math.max(last, found?.recordedSeq ?? 0);
    }
    this.#upTo.set(tag, last);
    return last;
  }
}
