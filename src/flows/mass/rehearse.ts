/**
 * Signs with the real keys, on the real path, and publishes nothing: how fast a mass revocation would be signed.
 *
 * What is signed is true: the answers that the certificates have a right to now, as a refresh would sign them. Answers that say
 * `revoked` would have the same cost; but a signed falsehood about a good certificate could be kept by somebody and shown until its
 * nextUpdate, and no drill is worth that. Every signature is in the journal, as the drill's (P8), and nothing goes to the store.
 */
import type { Certificate } from '../../core/certificate.ts';
import type { DrilledKey } from '../../core/mass/drill.ts';
import { answerable, planResponse } from '../../core/policy/freshness.ts';
import { Problem } from '../../core/problem.ts';
import { SECOND, type EpochMs } from '../../core/time.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Journal } from '../../ports/journal.ts';
import type { Ledger } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { SignerIssuer } from '../sign/sign.ts';
import { activeResponder, refusedRecord, signAnswers, signedRecord, type Work } from '../sign/sign-answers.ts';
import { Turns } from '../sign/turns.ts';

/** As the signer has them: a batch is signed while the one before it is checked and journalled. */
const BATCH = 256;
const BATCHES_UNDER_WAY = 2;
const CHECKS_IN_FLIGHT = 8;

/** Whichever comes first. */
export interface Sample {
  readonly certificates?: number;
  readonly ms?: number;
}

export class Rehearsal {
  readonly #issuers: readonly SignerIssuer[];
  readonly #store: Pick<Ledger, 'certificates'>;
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #checks = new Turns(CHECKS_IN_FLIGHT);

  constructor(issuers: readonly SignerIssuer[], store: Pick<Ledger, 'certificates'>, journal: Journal, clock: Clock) {
    this.#issuers = issuers;
    this.#store = store;
    this.#journal = journal;
    this.#clock = clock;
  }

  /**
   * Behind everything that is really to be signed: `bulk` to the key holder.
   * @param sample a short ledger is gone through once; then it ends.
   * @param drill what it is for, in the journal.
   * @throws Problem `unavailable` without a key that can sign.
   */
  async sign(served: ServedIssuer, sample: Sample, drill: string, actor: string): Promise<DrilledKey> {
    const at = this.#issuers.find((one) => one.served.tag === served.tag);
    const startedAt = this.#clock.now();
    const responder = at && activeResponder(at, startedAt);
    if (responder === undefined)
      throw new Problem('unavailable', 'no key of this issuer can sign here now', {
        field: 'issuer',
        value: served.id,
      });
    const totals = { certificates: 0, failed: 0 };
    const underWay = new Set<Promise<void>>();
    let failure: unknown;
    let taken = 0;
    const enough = (): boolean =>
      (sample.certificates !== undefined && taken >= sample.certificates) ||
      (sample.ms !== undefined && this.#clock.now() - startedAt >= sample.ms);
    const begin = async (certificates: readonly Certificate[]): Promise<void> => {
      const work = certificates.flatMap((certificate): Work[] => {
        const times = planResponse(served.profile, responder.served.certificate, certificate, this.#clock.now());
        const { issuer, serial } = certificate;
        return times === undefined
          ? []
          : [{ item: { issuer, serial, lane: 'refresh', dueAt: startedAt }, certificate, times }];
      });
      const made = this.#batch(served, responder, work, totals, drill, actor)
        .catch((error: unknown) => (failure ??= error))
        .then(() => void underWay.delete(made));
      underWay.add(made);
      if (underWay.size >= BATCHES_UNDER_WAY) await Promise.race(underWay);
    };
    let batch: Certificate[] = [];
    for await (const page of this.#store.certificates(served.tag)) {
      for (const certificate of page) {
        if (!answerable(served.profile, certificate.notAfter, this.#clock.now())) continue;
        batch.push(certificate);
        taken += 1;
        if (batch.length < BATCH && !enough()) continue;
        await begin(batch);
        batch = [];
        if (enough() || failure !== undefined) break;
      }
      if (enough() || failure !== undefined) break;
    }
    if (batch.length > 0 && failure === undefined) await begin(batch);
    await Promise.all(underWay);
    if (failure !== undefined) throw failure instanceof Error ? failure : new Error('the rehearsal failed');
    const seconds = (this.#clock.now() - startedAt) / SECOND;
    return {
      issuer: served.id,
      key: responder.holder.describe,
      ...totals,
      signatures: 2 * (totals.certificates + totals.failed),
      seconds,
      certificatesPerSecond: seconds === 0 ? 0 : totals.certificates / seconds,
    };
  }

  async #batch(
    served: ServedIssuer,
    responder: NonNullable<ReturnType<typeof activeResponder>>,
    work: readonly Work[],
    totals: { certificates: number; failed: number },
    drill: string,
    actor: string,
  ): Promise<void> {
    if (work.length === 0) return;
    // P8: nothing is signed that cannot be accounted for.
    if (this.#journal.failure !== undefined) throw new Problem('unavailable', this.#journal.failure, { rule: 'P8' });
    const now = (): EpochMs => this.#clock.now();
    const { answered, failed } = await signAnswers(responder, work, 'bulk', this.#checks, now);
    const refused = refusedRecord(served, responder.served, failed);
    const signed = signedRecord(served, responder.served, answered);
    await this.#journal.append([
      ...(refused === undefined ? [] : [refused]),
      ...(answered.length === 0
        ? []
        : [
            {
              ...signed,
              type: 'drill.signed' as const,
              actor,
              description: `${2 * answered.length} OCSP responses signed for ${drill}, of what is true; none is published`,
            },
          ]),
    ]);
    totals.certificates += answered.length;
    totals.failed += failed.length;
  }
}
