/** A random sample of an issuer's certificates, drawn from the ledger (core/reconcile/sample.ts). */
import type { Certificate } from '../../core/certificate.ts';
import { RankCounts, rankOf, sampleSize } from '../../core/reconcile/sample.ts';
import { Problem } from '../../core/problem.ts';
import type { EpochMs } from '../../core/time.ts';
import type { Ledger } from '../../ports/store.ts';
import type { ServedIssuer } from '../issuer-setup.ts';
import type { Pace } from '../pace.ts';

/** More than anybody looks at in a quarter, and little enough to be in memory. */
const MOST_SAMPLED = 100_000;

export interface SampleTerms {
  readonly seed: string;
  /** Issued in [from, to): by notBefore, or where that is not known by when it was recorded. */
  readonly from: EpochMs;
  readonly to: EpochMs;
  readonly percent: number;
  readonly minimum: number;
}

export interface DrawnSample {
  /** How many there were to draw from. */
  readonly population: number;
  /** In the order of their ranks. */
  readonly certificates: readonly Certificate[];
}

/**
 * Goes through the ledger twice and keeps the sample alone. What has expired is left out: nobody answers for it any more.
 * @param looked is told of every page how many certificates it had; each is looked at twice.
 * @throws Problem `too-large`
 */
export async function drawSample(
  ledger: Pick<Ledger, 'certificates'>,
  { tag }: ServedIssuer,
  terms: SampleTerms,
  nowMs: EpochMs,
  pace: Pace,
  looked: (count: number) => void = () => undefined,
): Promise<DrawnSample> {
  const eligible = ({ notBefore, notAfter, recordedAt }: Certificate): boolean => {
    const issuedAt = notBefore ?? recordedAt;
    return terms.from <= issuedAt && issuedAt < terms.to && (notAfter === undefined || nowMs <= notAfter);
  };
  const counts = new RankCounts();
  for await (const page of ledger.certificates(tag)) {
    for (const one of page) if (eligible(one)) counts.add(rankOf(terms.seed, tag, one.serial));
    looked(page.length);
    await pace.breathe();
  }
  const wanted = sampleSize(counts.total, terms.percent, terms.minimum);
  if (wanted > MOST_SAMPLED)
    throw new Problem('too-large', `a sample of ${wanted} certificates; at most ${MOST_SAMPLED}`, { field: 'percent' });
  const last = counts.bucketOf(wanted);
  const chosen: { readonly rank: Buffer; readonly certificate: Certificate }[] = [];
  for await (const page of ledger.certificates(tag)) {
    for (const certificate of page) {
      if (!eligible(certificate)) continue;
      const rank = rankOf(terms.seed, tag, certificate.serial);
      if (rank.readUInt16BE() <= last) chosen.push({ rank, certificate });
    }
    looked(page.length);
    await pace.breathe();
  }
  chosen.sort((a, b) => Buffer.compare(a.rank, b.rank));
  return { population: counts.total, certificates: chosen.slice(0, wanted).map(({ certificate }) => certificate) };
}
