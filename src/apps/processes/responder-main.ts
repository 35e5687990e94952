/** The program of a responder process (responders.ts starts it, nobody else). Imports no more than it uses: each costs memory in every process. */
import { join } from 'node:path';
import { FileCrlArchive } from '../../adapters/crl-archive/file-archive.ts';
import { runChild, type ChildLink, type ChildProgram } from '../../adapters/processes/child.ts';
import { LinkedStore } from '../../adapters/processes/linked-store.ts';
import { systemClock } from '../../adapters/system/clock.ts';
import { MetricTeller } from '../../core/metric-changes.ts';
import { Problem } from '../../core/problem.ts';
import { AskElsewhere } from '../../flows/serve/ask-elsewhere.ts';
import { Downloads } from '../../flows/serve/downloads.ts';
import { registerServingGauges } from '../../flows/serve/serving-gauges.ts';
import { LiveElsewhere } from '../../flows/serve/live-elsewhere.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { Log } from '../../flows/log.ts';
import { flowMetrics } from '../../flows/metrics.ts';
import { PublicFiles } from '../../flows/serve/public-files.ts';
import { ResponderNews } from '../../flows/sign/responder-news.ts';
import type { Front } from '../../ports/front.ts';
import type { ResponderStore } from '../../ports/store.ts';
import { readIssuers, type IssuerSetup } from '../issuer-files.ts';
import { makeLog } from '../log.ts';
import { connectionsOf, openResponder } from '../roles/responder.ts';
import { servedIssuer } from '../served-issuer.ts';
import { settleCrls } from '../settle-crls.ts';
import type { ResponderSettings } from './responders.ts';

runChild(async (link) => {
  const settings = link.settings as ResponderSettings;
  const { config } = settings;
  const log = makeLog(config.logLevel).child({ process: settings.index });
  const { store, close } = await openStore(link, settings, log);
  const clock = systemClock;
  const setups = setupsOf(settings, clock.now());
  const issuers = new Map(setups.map((setup) => [setup.id, servedIssuer(setup)]));
  const list = [...issuers.values()];
  const metrics = flowMetrics();
  const news = new ResponderNews(list, store, clock, log);
  await news.readShelves();
  const unreadable = (issuer: ServedIssuer, error: unknown): void => {
    if (store.failure === undefined) log.error({ err: error, issuer: issuer.id }, 'a current CRL cannot be read');
  };
  const downloads = new Downloads(clock, setImmediate);
  await settleCrls(list, store, log);
  const files = await PublicFiles.open(list, store, clock.now(), unreadable, downloads);
  const elsewhere = new AskElsewhere(store, clock);
  const urls = setups.flatMap(({ urls: { ocsp } }) => ocsp);
  const parts = { config, setups, issuers, urls, clock, log, store };
  const live = new LiveElsewhere(list, store, clock, log);
  const responder = openResponder(parts, files, news, (...asked) => elsewhere.ask(...asked), live, metrics);
  responder.misses.start();
  let fronts: readonly Front[] = [];
  const { table, misses } = responder;
  registerServingGauges(metrics.set, { store, table, misses, downloads, connections: () => connectionsOf(fronts) });
  const teller = new MetricTeller(metrics.set);
  return {
    async listen(at) {
      const opened = await responder.listen(at);
      fronts = opened.fronts;
      return opened.noOrigin;
    },
    told: () => teller.changes(),
    drain: () => fronts.forEach((front) => front.drain()),
    async stop(graceMs) {
      responder.misses.stop();
      await Promise.all(fronts.map((front) => front.close(graceMs)));
      await close();
    },
  } satisfies ChildProgram;
});

/** An async function that waits for nothing with an embedded store: what the first process says from now on must not be lost. */
async function openStore(
  { send, take }: ChildLink,
  { config, issuers }: ResponderSettings,
  log: Log,
): Promise<{ readonly store: ResponderStore; close(): Promise<void> }> {
  if (config.store.kind === 'embedded') {
    const store = new LinkedStore({
      send,
      archive: new FileCrlArchive(join(config.dataDir, 'crl')),
      unreadable: ({ issuer }, error) => log.error({ err: error, issuer }, 'a published CRL cannot be read'),
    });
    take((message) => store.take(message));
    return { store, close: () => Promise.resolve(store.close()) };
  }
  const shared = await import('../open-store.ts');
  const tags = setupsOf({ config, issuers }, systemClock.now()).map(({ issuer }) => issuer.tag);
  return shared.openStore(config, tags, log);
}

/** @throws Problem `config` when one that the first process has cannot be read any more. */
function setupsOf(
  { config, issuers }: Pick<ResponderSettings, 'config' | 'issuers'>,
  nowMs: number,
): readonly IssuerSetup[] {
  const reviews = readIssuers(config.dataDir, nowMs);
  const setups = reviews.flatMap(({ setup }) => setup ?? []);
  return issuers.map((id) => {
    const setup = setups.find((one) => one.id === id);
    if (setup !== undefined) return setup;
    const [problem] = reviews.flatMap(({ problems }) => problems);
    throw problem ?? new Problem('config', 'the issuer is not there any more', { field: join('issuers', id) });
  });
}
