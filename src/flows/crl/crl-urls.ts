/**
 * Keeps the books of the CRL URLs that the CCADB must know (core/crl/ccadb.ts): compares what unexpired certificates name with what the
 * feed says, and records each change.
 *
 *  1. journal  one record: the truth (P8). A crash before: the change is found again.
 *  2. feed     the same, for people and scripts. A crash before: it is found again, and the journal has it twice.
 *
 * Of several signers over one store each has books of its own.
 */
import type { IssuerTag } from '../../core/certificate.ts';
import {
  booksOf,
  ccadbFields,
  ccadbProblems,
  changesSince,
  dueBy,
  namedUrls,
  type CcadbFields,
  type NamedUrl,
  type UrlBooks,
  type UrlChange,
} from '../../core/crl/ccadb.ts';
import type { JournalEntry } from '../../core/journal-record.ts';
import type { MetricSet } from '../../core/metric.ts';
import { rfc3339, SECOND, wholeSecond, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { UrlFeed } from '../../ports/url-feed.ts';
import type { CrlCensus } from './crl-census.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { Log } from '../log.ts';

export interface UrlsView {
  readonly ccadb: CcadbFields;
  /** What stands in the way of entering it there. */
  readonly problems: readonly string[];
  /** Changes that nobody has said are in the CCADB yet. */
  readonly open: readonly (UrlChange & { readonly dueBy?: string })[];
}

export class CrlUrls {
  readonly #census: CrlCensus;
  readonly #feed: UrlFeed;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #books = new Map<IssuerTag, UrlBooks>();
  /** One change of the books after the other. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(census: CrlCensus, feed: UrlFeed, journal: Journal, clock: Clock, log: Log) {
    this.#census = census;
    this.#feed = feed;
    this.#journal = journal;
    this.#clock = clock;
    this.#log = log;
  }

  /** Records changes as they come, from now on. */
  follow(): void {
    this.#census.onChange((issuer) => {
      const census = this.#census.of(issuer.tag);
      if (census === undefined) return;
      void this.#exclusively(() => this.#compare(issuer)).catch((error: unknown) =>
        this.#log.warn({ err: error, issuer: issuer.id }, 'a change of the CRL URLs could not be recorded'),
      );
    });
  }

  /** As of now. @throws Problem `unavailable` */
  async view(issuer: ServedIssuer): Promise<UrlsView> {
    const { census } = await this.#census.exact(issuer);
    return this.#exclusively(async () => {
      const { open } = await this.#compare(issuer);
      const now = this.#clock.now();
      const urls = namedUrls(census, issuer.crls, now);
      return {
        ccadb: ccadbFields(urls),
        problems: ccadbProblems(urls, census, issuer.crls, now),
        open: open.map((change) => {
          const due = dueBy(change, ofUrl(urls, change));
          return { ...change, ...(due !== undefined && { dueBy: rfc3339(due) }) };
        }),
      };
    });
  }

  /** Every change there was, oldest first. */
  async changes(issuer: ServedIssuer): Promise<readonly UrlChange[]> {
    return this.#feed.read(issuer.id);
  }

  /** Somebody has brought the CCADB up to date, up to this change (all of them by default). @returns how many were open. */
  async acknowledge(issuer: ServedIssuer, upTo: number | undefined, actor: string): Promise<number> {
    return this.#exclusively(async () => {
      const books = await this.#of(issuer);
      const last = Math.min(upTo ?? books.lastSeq, books.lastSeq);
      const count = books.open.filter(({ seq }) => seq <= last).length;
      if (count === 0) return 0;
      const why = `${actor} has entered the changes up to ${last}`;
      await this.#record(issuer, [{ change: 'acknowledged', upTo: last, why }], actor);
      return count;
    });
  }

  /** Changes that are not acknowledged, and when the first of them is due; from memory, undefined while nothing is known. */
  openOf(issuer: ServedIssuer): { readonly count: number; readonly dueBy: EpochMs | undefined } | undefined {
    const books = this.#books.get(issuer.tag);
    const census = this.#census.of(issuer.tag);
    if (books === undefined || census === undefined) return undefined;
    if (books.open.length === 0) return { count: 0, dueBy: undefined };
    const urls = namedUrls(census, issuer.crls, this.#clock.now());
    const due = books.open.flatMap((change) => dueBy(change, ofUrl(urls, change)) ?? []);
    return { count: books.open.length, dueBy: due.length === 0 ? undefined : Math.min(...due) };
  }

  async #compare(issuer: ServedIssuer): Promise<UrlBooks> {
    const books = await this.#of(issuer);
    const census = this.#census.of(issuer.tag);
    const changes = census === undefined ? [] : changesSince(books, namedUrls(census, issuer.crls, this.#clock.now()));
    return changes.length === 0 ? books : this.#record(issuer, changes, 'signer');
  }

  async #of(issuer: ServedIssuer): Promise<UrlBooks> {
    const known = this.#books.get(issuer.tag);
    if (known !== undefined) return known;
    const books = booksOf(await this.#feed.read(issuer.id));
    this.#books.set(issuer.tag, books);
    return books;
  }

  async #record(
    issuer: ServedIssuer,
    changes: readonly Omit<UrlChange, 'seq' | 'at'>[],
    actor: string,
  ): Promise<UrlBooks> {
    const { lastSeq } = await this.#of(issuer);
    const at = rfc3339(wholeSecond(this.#clock.now()));
    const sealed = changes.map((change, i): UrlChange => ({ seq: lastSeq + 1 + i, at, ...change }));
    await this.#journal.append(sealed.map((change) => entryOf(issuer, change, actor)));
    await this.#feed.append(issuer.id, sealed);
    const books = booksOf(await this.#feed.read(issuer.id));
    this.#books.set(issuer.tag, books);
    return books;
  }

  #exclusively<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#writing.then(run);
    this.#writing = done.catch(() => undefined);
    return done;
  }
}

/** Two figures per issuer, whatever the number of its shards. */
export function registerUrlGauges(set: MetricSet, urls: CrlUrls, issuers: readonly ServedIssuer[], clock: Clock): void {
  set.gauge(
    'certstatus_crl_urls_unacknowledged',
    'Number of CRL URLs that certificates name, or name no longer, and that nobody has said are in the CCADB (crl urls --acknowledge).',
    function* () {
      for (const issuer of issuers) {
        const open = urls.openOf(issuer);
        if (open !== undefined) yield [{ issuer: issuer.id }, open.count] as const;
      }
    },
  );
  set.gauge(
    'certstatus_crl_urls_due_seconds',
    'Time until the CCADB must know a CRL URL that is not acknowledged: 7 d after the first certificate, 4 h after its first revocation (CCADB 6.2).',
    function* () {
      for (const issuer of issuers) {
        const due = urls.openOf(issuer)?.dueBy;
        if (due !== undefined) yield [{ issuer: issuer.id }, (due - clock.now()) / SECOND] as const;
      }
    },
  );
}

function ofUrl(urls: readonly NamedUrl[], { url }: UrlChange): NamedUrl | undefined {
  return urls.find((named) => named.url === url);
}

function entryOf(issuer: ServedIssuer, change: UrlChange, actor: string): JournalEntry {
  const { seq, change: what, why, url, kind, upTo } = change;
  return {
    type: what === 'acknowledged' ? 'crl.urls-acknowledged' : what === 'added' ? 'crl.url-added' : 'crl.url-removed',
    actor,
    issuer: issuer.id,
    issuerTag: issuer.tag,
    description: why,
    // JSON leaves out what is undefined.
    detail: { change: seq, url, kind, upTo },
  };
}
