/**
 * The part that every process has: issuers, store, and, where events are taken or anything is signed, its own journal. `serve`
 * puts the roles on top of it; a command that finds no service running uses it alone.
 */
import { FileJournal } from '../adapters/journal/file-journal.ts';
import { systemClock } from '../adapters/system/clock.ts';
import type { PublicUrl } from '../core/route.ts';
import { FollowedJournal } from '../flows/followed-journal.ts';
import type { ServedIssuer } from '../flows/issuer-setup.ts';
import type { Log } from '../flows/log.ts';
import { Recorder } from '../flows/record.ts';
import type { KeptArchive } from '../ports/archive-upkeep.ts';
import type { Clock } from '../ports/clock.ts';
import type { Freshness, Relay, Store, StoreCopies, StoreHealth } from '../ports/store.ts';
import type { Config, Loaded, Role } from './config.ts';
import { auditDir } from './data-directory.ts';
import type { IssuerSetup } from './issuer-files.ts';
import { openStore } from './open-store.ts';
import type { RedisTls } from './redis-tls.ts';
import { servedIssuer } from './served-issuer.ts';
import { settleCrls } from './settle-crls.ts';

export interface Core {
  readonly config: Config;
  readonly setups: readonly IssuerSetup[];
  readonly issuers: ReadonlyMap<string, ServedIssuer>;
  /** OCSP mounts of all issuers. */
  readonly urls: readonly PublicUrl[];
  readonly store: Store;
  /** Of a store that only this process may open; undefined for a shared one. */
  readonly relay: Relay | undefined;
  readonly copies: StoreCopies | undefined;
  /** Of a process that signs. */
  readonly archive: KeptArchive | undefined;
  readonly freshness: Freshness;
  readonly health: StoreHealth;
  /** Of a store that lies on this machine's disk. */
  readonly directory: string | undefined;
  /** Of a shared store that is reached by TLS. */
  readonly tls: RedisTls | undefined;
  /** Counts what is published already; call it once, before anything publishes. */
  countFreshness(): Promise<void>;
  /** Undefined in a process that neither takes events nor signs nor watches. */
  readonly journal: FollowedJournal | undefined;
  /** Undefined without the intake role. */
  readonly recorder: Recorder | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** Journal records that the ledger had not seen: more than none after a crash. */
  readonly recovered: number;
  close(): Promise<void>;
}

/**
 * Opens the store, and the journal of a process that needs one. An embedded ledger is brought up to date with the journal before
 * this resolves; a shared one is when the server answers (flows/keep-ledger.ts).
 * @throws Problem `unavailable` when another process has the data directory open.
 */
export async function openCore({ config, issuers: setups }: Loaded, log: Log): Promise<Core> {
  const clock = systemClock;
  const issuers = new Map(setups.map((setup) => [setup.id, servedIssuer(setup)]));
  // The store first: its lock is what keeps a second process out of the journal too.
  const { close: closeStore, ...opened } = await openStore(
    config,
    setups.map(({ issuer }) => issuer.tag),
    log,
  );
  let journal: FollowedJournal | undefined;
  try {
    await settleCrls([...issuers.values()], opened.store, log);
    // What the monitor has seen is evidence, so it has an audit log where there is no other.
    if (['intake', 'signer', 'monitor'].some((role) => config.roles.has(role as Role)))
      journal = new FollowedJournal(await FileJournal.open(auditDir(config), clock));
    const recorder =
      journal !== undefined && config.roles.has('intake') ? new Recorder(opened.store, journal, clock) : undefined;
    const recovered = config.store.kind === 'embedded' ? await recorder?.recover() : 0;
    return {
      config,
      setups,
      issuers,
      urls: setups.flatMap(({ urls }) => urls.ocsp),
      ...opened,
      journal,
      recorder,
      clock,
      log,
      recovered: recovered ?? 0,
      async close() {
        await recorder
          ?.close()
          .catch((error: unknown) => log.warn({ err: error }, 'the ledger could not be brought up to the last record'));
        await journal?.close();
        await closeStore();
      },
    };
  } catch (error) {
    await journal?.close();
    await closeStore();
    throw error;
  }
}
