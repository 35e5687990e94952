/** What a process that signs, or a command without a service, counts and keeps of the CRLs as a whole. */
import { join } from 'node:path';
import { FileUrlFeed } from '../adapters/url-feed/file-feed.ts';
import { CrlCensus } from '../flows/crl/crl-census.ts';
import { CrlUrls } from '../flows/crl/crl-urls.ts';
import type { Journal } from '../ports/journal.ts';
import type { Core } from './core.ts';

export interface CrlBooks {
  readonly census: CrlCensus;
  readonly urls: CrlUrls;
}

/** They count when asked, until `census.start` and `urls.follow`. */
export function openCrlBooks({ config, issuers, store, clock, log }: Core, journal: Journal): CrlBooks {
  const census = new CrlCensus([...issuers.values()], store, clock, log);
  const feed = new FileUrlFeed(join(config.dataDir, 'crl-urls'));
  return { census, urls: new CrlUrls(census, feed, journal, clock, log) };
}
