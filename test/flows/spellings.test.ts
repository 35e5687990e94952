import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Spellings, type Spelled } from '../../src/flows/serve/spellings.ts';

class Thing implements Spelled {
  spelledIn: number[] | undefined = undefined;
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

const SEED = 20261121;

describe('Spellings', () => {
  it('leads from the very words to what was kept, and from no others', () => {
    const spellings = new Spellings<Thing>(64);
    const thing = new Thing('a');
    const words = `/ocsp/${'M'.repeat(100)}Ab%2F`;
    spellings.keep(words, thing);
    assert.equal(spellings.find(words), thing);
    // Of one length and one end, and so of one place.
    assert.equal(spellings.find(words.replace('/ocsp/M', '/ocsp/N')), undefined);
    assert.equal(spellings.find(''), undefined);
  });

  it(`is never wrong, whatever was kept and forgotten in whatever order (seed ${SEED})`, () => {
    // Few places and few words, so that they push each other out.
    const word = fc.nat(40).map((n) => `/${n}`);
    const step = fc.record({ word, thing: fc.nat(12), forget: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const spellings = new Spellings<Thing>(16);
        const things = Array.from({ length: 13 }, (_, i) => new Thing(String(i)));
        const meant = new Map<string, Thing>();
        for (const { word, thing: at, forget } of steps) {
          const thing = things[at] as Thing;
          if (forget) {
            spellings.forget(thing);
            for (const [kept, one] of meant) if (one === thing) meant.delete(kept);
          } else {
            spellings.keep(word, thing);
            meant.set(word, thing);
            assert.equal(spellings.find(word), thing);
          }
          for (let n = 0; n <= 40; n++) {
            const found = spellings.find(`/${n}`);
            // What was pushed out is not found; what is found is right, and never something forgotten.
            if (found !== undefined) assert.equal(found, meant.get(`/${n}`));
          }
        }
      }),
      { seed: SEED, numRuns: 300 },
    );
  });

  it('stays small before a table of any size', () => {
    // 100 GB of answers: as many places would be more than an array has.
    const spellings = new Spellings<Thing>(1e11);
    const thing = new Thing('a');
    spellings.keep('/a', thing);
    assert.equal(spellings.find('/a'), thing);
  });

  it('holds on to nothing that it was told to forget, however it was spelled', () => {
    const spellings = new Spellings<Thing>(1024);
    const thing = new Thing('a');
    const words = Array.from({ length: 50 }, (_, i) => `/spelled/${i}`);
    for (const one of words) spellings.keep(one, thing);
    assert.ok((thing.spelledIn?.length ?? 0) <= 4);
    const found = words.filter((one) => spellings.find(one) === thing).length;
    assert.ok(found >= 4 && found <= 16, `${found} of 50 in four sets of four`);
    spellings.forget(thing);
    assert.equal(words.filter((one) => spellings.find(one) !== undefined).length, 0);
  });

  it('does not keep words that no client needs', () => {
    const spellings = new Spellings<Thing>(64);
    spellings.keep('x'.repeat(10_000), new Thing('a'));
    assert.equal(spellings.find('x'.repeat(10_000)), undefined);
  });

  it('has room for one even when it is made for none', () => {
    const spellings = new Spellings<Thing>(0);
    const thing = new Thing('a');
    spellings.keep('/a', thing);
    assert.equal(spellings.find('/a'), thing);
  });
});
