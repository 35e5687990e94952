/**
 * One key pair in several places, as one key holder: two HSMs that hold the same key, say. The first place that can sign is
 * used; what fails there because the place is gone is tried at the next one within the same call. It goes back by itself,
 * because every call begins at the first place that says it can sign.
 *
 * What fails for its own sake (a Problem other than `unavailable`) is not tried elsewhere: the same key refuses the same input.
 */
import { Problem } from '../../core/problem.ts';
import type { KeyHolder, PiecewiseSignature, SignPriority, SignResult } from '../../ports/key-holder.ts';

/**
 * @param holders in the order of preference.
 * @throws Problem `config` when there is none, or they are not of one key pair and algorithm.
 */
export function failover(holders: readonly KeyHolder[]): KeyHolder {
  const [first] = holders;
  if (first === undefined) throw new Problem('config', 'names no place of the key');
  for (const other of holders) {
    if (!other.publicKey.equals(first.publicKey) || !other.algorithm.identifier.equals(first.algorithm.identifier)) {
      throw new Problem('config', `is not the same key pair and algorithm as ${first.describe}`, {
        field: other.describe,
      });
    }
  }
  return holders.length === 1 ? first : new FailoverKey(holders, first);
}

class FailoverKey implements KeyHolder {
  readonly algorithm;
  readonly publicKey;
  readonly describe: string;
  readonly #holders: readonly KeyHolder[];

  constructor(holders: readonly KeyHolder[], first: KeyHolder) {
    this.#holders = holders;
    this.algorithm = first.algorithm;
    this.publicKey = first.publicKey;
    this.describe = holders.map(({ describe }) => describe).join(', else ');
  }

  get failure(): string | undefined {
    const failures: string[] = [];
    for (const { failure } of this.#holders) {
      if (failure === undefined) return undefined;
      failures.push(failure);
    }
    return failures.join('; ');
  }

  async sign(tbs: readonly Uint8Array[], priority: SignPriority): Promise<readonly SignResult[]> {
    const results: SignResult[] = [];
    /** Indexes of items that have found no holder. */
    let open = tbs.map((_, index) => index);
    /** What the last place said when it signed nothing; undefined after one that gave results. */
    let gone: unknown = new Problem('unavailable', this.failure ?? 'no place of the key can sign', {
      field: this.describe,
    });
    for (const holder of this.#holders) {
      if (holder.failure !== undefined) continue;
      try {
        const part = await holder.sign(
          open.map((index) => tbs[index] as Uint8Array),
          priority,
        );
        gone = undefined;
        const asked = open;
        asked.forEach((index, at) => (results[index] = part[at] as SignResult));
        open = asked.filter((index) => lacksHolder(results[index]));
      } catch (error) {
        gone = error;
      }
      if (gone === undefined && open.length === 0) return results;
    }
    // Some items may have their result from an earlier place: those stay, each of the others with its own error.
    if (results.length === 0) throw gone;
    return results;
  }

  /** Every place that can sign hashes along: which of them will is known at the end. */
  begin(): PiecewiseSignature {
    const begun = this.#holders.filter(({ failure }) => failure === undefined).map((holder) => holder.begin());
    if (begun.length === 0) {
      throw new Problem('unavailable', this.failure ?? 'no place of the key can sign', { field: this.describe });
    }
    return {
      update: (octets) => begun.forEach((one) => one.update(octets)),
      finish: async (priority) => {
        let last: SignResult | undefined;
        for (const one of begun) {
          last = await one
            .finish(priority)
            .catch((error: unknown): SignResult => ({ ok: false, error: error as Error }));
          if (!lacksHolder(last)) break;
        }
        return last as SignResult;
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#holders.map((holder) => holder.close()));
  }
}

function lacksHolder(result: SignResult | undefined): boolean {
  return result === undefined || (!result.ok && result.error instanceof Problem && result.error.code === 'unavailable');
}
