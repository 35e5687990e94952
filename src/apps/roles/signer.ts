/** The signer role: keys, the four lanes, and the CRLs of every issuer whose CRL key is here. */
import type { IssuerTag } from '../../core/certificate.ts';
import type { ServedIssuer } from '../../flows/issuer-setup.ts';
import type { FlowMetrics } from '../../flows/metrics.ts';
import type { ResponderChanges } from '../../flows/change-responder.ts';
import { CrlPublisher } from '../../flows/publish-crl.ts';
import { Signer, type SignerIssuer } from '../../flows/sign.ts';
import type { Journal } from '../../ports/journal.ts';
import type { Core } from '../core.ts';
import { responderChanges } from '../responder-life.ts';
import { openSigningKeys } from '../signing-keys.ts';

export interface SignerRole {
  readonly signer: Signer;
  readonly publishers: ReadonlyMap<IssuerTag, CrlPublisher>;
  readonly changes: ResponderChanges;
  start(): Promise<void>;
  /** Resolves when no batch and no CRL is under way. */
  stop(): Promise<void>;
}

/** @throws Problem `config` for a key that cannot be used for what it is configured for. */
export async function openSigner(core: Core, journal: Journal, metrics: FlowMetrics): Promise<SignerRole> {
  const { store, clock, log } = core;
  const issuers: SignerIssuer[] = [];
  for (const setup of core.setups) {
    const served = core.issuers.get(setup.id) as ServedIssuer;
    issuers.push({ served, keys: await openSigningKeys(setup, served, (message) => log.warn({}, message)) });
  }
  const signer = new Signer(issuers, store, journal, clock, log, metrics.signer);
  const publishers = new Map(
    issuers
      .filter(({ keys }) => keys.crl !== undefined)
      .map((at) => [at.served.tag, new CrlPublisher(at, store, journal, clock, log, metrics.crl(at.served.id))]),
  );
  const changes = responderChanges(core, journal, {
    keys: new Map(issuers.map(({ served, keys }) => [served.id, keys])),
    wake: () => signer.wake(),
  });
  let resuming: Promise<void> | undefined;
  return {
    signer,
    publishers,
    changes,
    async start() {
      signer.start();
      resuming = changes
        .resume([...core.issuers.values()])
        .catch((error: unknown) => log.error({ err: error }, 'retired responder certificates: not finished'));
      for (const publisher of publishers.values()) await publisher.start();
    },
    async stop() {
      await signer.stop();
      for (const publisher of publishers.values()) await publisher.stop();
      await resuming;
    },
  };
}
