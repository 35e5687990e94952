/** The signer role: keys, the four lanes, and the CRLs of every issuer whose CRL key is here. */
import type { IssuerTag } from '../../core/certificate.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { ClockWatch } from '../../flows/monitor/clock-watch.ts';
import type { FlowMetrics } from '../../flows/metrics.ts';
import { Activation } from '../../flows/sign/activation.ts';
import type { ResponderChanges } from '../../flows/sign/change-responder.ts';
import { CRLS_AT_ONCE, IssuerCrls } from '../../flows/crl/issuer-crls.ts';
import { LaneRates } from '../../flows/sign/lane-rates.ts';
import { Signer, type SignerIssuer } from '../../flows/sign/sign.ts';
import { slotMeters } from '../../flows/sign/slot-metrics.ts';
import { LiveSigner } from '../../flows/sign/sign-live.ts';
import { Turns } from '../../flows/sign/turns.ts';
import type { Journal } from '../../ports/journal.ts';
import type { Core } from '../core.ts';
import { type CrlBooks, openCrlBooks } from '../crl-books.ts';
import { keepCrlFacts } from '../crl-facts.ts';
import { responderChanges } from '../responder-life.ts';
import { combineShares } from '../shares.ts';
import { Keyring } from '../signing-keys.ts';

export interface SignerRole {
  readonly issuers: readonly SignerIssuer[];
  readonly activation: Activation;
  readonly signer: Signer;
  readonly lanes: LaneRates;
  readonly live: LiveSigner;
  readonly publishers: ReadonlyMap<IssuerTag, IssuerCrls>;
  readonly changes: ResponderChanges;
  readonly books: CrlBooks;
  start(): Promise<void>;
  /** Resolves when no batch and no CRL is under way and the tokens are closed. Also undoes openSigner alone. */
  stop(): Promise<void>;
}

/**
 * @param clocks while they are off nothing is signed.
 * @throws Problem `config` for a key that cannot be used for what it is configured for.
 */
export async function openSigner(
  core: Core,
  journal: Journal,
  metrics: FlowMetrics,
  clocks?: ClockWatch,
): Promise<SignerRole> {
  const { store, clock, log } = core;
  const keyring = new Keyring(core.config.tokens, (message) => log.warn({}, message), {
    meter: slotMeters(metrics.set),
    forbids: () => clocks?.fault,
  });
  const issuers: SignerIssuer[] = [];
  try {
    for (const setup of core.setups) {
      const served = core.issuers.get(setup.id) as ServedIssuer;
      issuers.push({ served, keys: await keyring.keysOf(setup, served) });
    }
  } catch (error) {
    await keyring.close();
    throw error;
  }
  const activation = new Activation(keyring.tokens, combineShares, journal, clock, log);
  const signer = new Signer(issuers, store, journal, clock, log, metrics.signer);
  const live = new LiveSigner(issuers, store, journal, clock, log, metrics.signer);
  const turns = new Turns(CRLS_AT_ONCE);
  const books = openCrlBooks(core, journal);
  const publishers = new Map(
    issuers
      .filter(({ keys }) => keys.crl !== undefined)
      .map((at) => {
        const crls = new IssuerCrls(at, store, journal, clock, log, metrics.crl(at.served.id), {
          turns,
          everyCertificateNamesOcsp: () => books.census.everyCertificateNamesOcsp(at.served.tag),
        });
        return [at.served.tag, crls];
      }),
  );
  const wake = (): void => {
    signer.wake();
    for (const publisher of publishers.values()) publisher.wake();
  };
  for (const { token } of keyring.tokens) token.onChange(wake);
  clocks?.onChange(wake);
  const lanes = new LaneRates(
    {
      signed: (lane) => metrics.set.sum('certstatus_signed_certificates_total', { lane, outcome: 'published' }),
      get asked() {
        return signer.asked;
      },
    },
    store,
    clock,
  );
  const changes = responderChanges(core, journal, keyring, {
    keys: new Map(issuers.map(({ served, keys }) => [served.id, keys])),
    wake: () => signer.wake(),
  });
  let resuming = Promise.resolve();
  const resume = (served: readonly ServedIssuer[]): void => {
    // A store that cannot be relied on says `gap` when it can again; one that forgot has lost the certificates too.
    const relied = served.filter(({ tag }) => store.failureOf(tag) === undefined);
    resuming = resuming
      .then(() => changes.resume(relied))
      .catch((error: unknown) => log.error({ err: error }, 'responder certificates: not all are in the store'));
  };
  store.follow((event) => {
    if (event.type === 'gap') resume([...core.issuers.values()].filter(({ tag }) => tag === event.issuer));
  });
  return {
    issuers,
    activation,
    signer,
    lanes,
    live,
    publishers,
    changes,
    books,
    async start() {
      books.urls.follow();
      keepCrlFacts(books.census, core.config.dataDir, log);
      books.census.start();
      signer.start();
      lanes.start();
      resume([...core.issuers.values()]);
      for (const publisher of publishers.values()) await publisher.start();
    },
    async stop() {
      books.census.stop();
      lanes.stop();
      await signer.stop();
      await live.stop();
      for (const publisher of publishers.values()) await publisher.stop();
      await resuming;
      await activation.stop();
      await keyring.close();
    },
  };
}
