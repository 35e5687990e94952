import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ReasonName } from '../../src/core/reason.ts';
import { RevokedSerials } from '../../src/core/reconcile/revoked-serials.ts';
import type { Serial } from '../../src/core/serial.ts';

const SEED = 5_9_10;
interface Entry {
  readonly scope: number;
  readonly serial: Serial;
  readonly said: { readonly revocationDate: number; readonly reason: ReasonName | undefined };
}

const reason = fc.constantFrom<ReasonName | undefined>(undefined, 'unspecified', 'keyCompromise', 'aACompromise');
const entry: fc.Arbitrary<Entry> = fc.record({
  scope: fc.constantFrom(0, 1, 0xffffff),
  // Short ones, so that many begin alike and differ in length alone.
  serial: fc.stringMatching(/^(00|01|ff){1,4}$/) as unknown as fc.Arbitrary<Serial>,
  said: fc.record({ revocationDate: fc.constantFrom(0, 1_700_000_000_000, NaN), reason }),
});
const keyOf = ({ scope, serial }: Entry): string => `${scope} ${serial}`;
const listed = (table: RevokedSerials, { scope, serial, said }: Entry): boolean =>
  table.listed(scope, Buffer.from(serial, 'hex'), said);

describe('RevokedSerials', () => {
  it('finds in all passes together what a Map finds, whatever it may hold at a time', () => {
    const unique = fc.uniqueArray(entry, { selector: keyOf, maxLength: 60 });
    fc.assert(
      fc.property(unique, unique, fc.integer({ min: 1, max: 70 }), (ledger, crl, most) => {
        const model = new Map(ledger.map((one) => [keyOf(one), one.said]));
        const doubtful = new Set<string>();
        const unlisted: string[] = [];
        const table = new RevokedSerials(most);
        do {
          for (const { scope, serial, said } of ledger) table.add(scope, serial, said);
          for (const one of crl) if (!listed(table, one)) doubtful.add(keyOf(one));
          for (const part of table.unlisted())
            for (const { scope, serial } of part) unlisted.push(`${scope} ${serial}`);
        } while (table.next());
        const same = (one: Entry): boolean => {
          const own = model.get(keyOf(one));
          return own !== undefined && Object.is(own.revocationDate, one.said.revocationDate) && own.reason === one.said.reason; // prettier-ignore
        };
        assert.deepEqual([...doubtful].sort(), crl.filter((one) => !same(one)).map(keyOf).sort()); // prettier-ignore
        const onCrl = new Set(crl.map(keyOf));
        assert.deepEqual(unlisted.sort(), [...model.keys()].filter((key) => !onCrl.has(key)).sort());
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('holds no more than it may, and forgets nobody for that', () => {
    const [MOST, COUNT] = [1000, 10_000];
    const table = new RevokedSerials(MOST);
    const said = { revocationDate: 1, reason: undefined };
    const serial = (n: number): Serial => `4f${n.toString(16).padStart(6, '0')}` as Serial;
    let [found, passes] = [0, 0];
    do {
      passes += 1;
      for (let n = 0; n < COUNT; n++) table.add(0, serial(n), said);
      assert.ok(table.count <= MOST, `${table.count}`);
      found += table.count;
      for (const part of table.unlisted()) assert.ok(part.length <= MOST);
    } while (table.next());
    assert.equal(found, COUNT);
    assert.ok(passes >= COUNT / MOST && passes <= 4 * (COUNT / MOST), `${passes} passes`);
  });
});
