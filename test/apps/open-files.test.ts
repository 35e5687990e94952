import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Config } from '../../src/apps/config.ts';
import { fittingBounds, openFilesFinding, openFilesLimit } from '../../src/apps/open-files.ts';

const SEED = 1024;
const config = (publicly: number, origin: number | undefined, kind = 'embedded'): Config =>
  ({
    file: 'certstatus.yaml',
    roles: new Set(['responder']),
    store: { kind },
    listen: {
      public: { maxConnections: publicly },
      origin: origin === undefined ? undefined : { maxConnections: origin },
    },
  }) as unknown as Config;

describe('open-files', () => {
  it('takes the bounds as they are where they fit, or where there is no limit', () => {
    for (const limit of [undefined, 20_000, 524_288]) {
      assert.deepEqual(fittingBounds(config(15_000, 3000), limit), { public: 15_000, origin: 3000, private: 256 });
      assert.equal(openFilesFinding(config(15_000, 3000), limit), undefined);
    }
    assert.equal(fittingBounds(config(10, undefined), 1024).origin, 0);
  });

  it('always leaves room for the rest of the process, and says what it takes', () => {
    const sizes = fc.integer({ min: 1, max: 1_000_000 });
    fc.assert(
      fc.property(sizes, fc.option(sizes, { nil: undefined }), fc.integer({ min: 200, max: 1_000_000 }), (a, b, limit) => {
        const wanted = config(a, b);
        const { public: publicly, origin, private: each } = fittingBounds(wanted, limit);
        assert.ok(publicly >= 1 && publicly <= a && origin <= (b ?? 0));
        assert.ok(publicly + origin + 2 * each + 80 <= limit);
        const said = openFilesFinding(wanted, limit)?.message;
        assert.equal(said === undefined, publicly === a && origin === (b ?? 0));
        if (said !== undefined) assert.ok(said.includes(`${publicly} and ${origin} are taken`));
      }),
      { seed: SEED, numRuns: 500 },
    ); // prettier-ignore
  });

  it('says nothing in a process that listens to nobody', () => {
    assert.equal(openFilesFinding({ ...config(15_000, 3000), roles: new Set(['signer']) }, 256), undefined);
  });

  it('knows the limit of this process', { skip: process.platform !== 'linux' }, () => {
    const limit = openFilesLimit();
    assert.ok(limit === undefined || limit >= 64, `${limit}`);
  });
});
