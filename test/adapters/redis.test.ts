import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import type { Redis } from 'ioredis';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { Keys } from '../../src/adapters/redis/keys.ts';
import { RedisStore, type RedisStoreOptions } from '../../src/adapters/redis/store.ts';
import { OTHER, TAG, type StoreUnderTest } from '../contracts/store-records.ts';
import { storeContract } from '../contracts/store.ts';
import { needsRedis, startRedis, type RedisServer } from '../support/redis.ts';

describe('RedisStore', { skip: needsRedis }, () => {
  const root = mkdtempSync(join(tmpdir(), 'redis-store-'));
  let server: RedisServer;
  let client: Redis;
  let databases = 0;
  before(async () => {
    server = await startRedis({ config: { databases: '1000' } });
    client = await server.client();
  });
  after(async () => {
    await server.remove();
    rmSync(root, { recursive: true });
  });

  async function begin(): Promise<StoreUnderTest> {
    const db = ++databases;
    const redis = client.duplicate({ db });
    redis.on('error', () => undefined);
    after(() => redis.disconnect());
    await new Promise((resolve) => redis.once('ready', resolve));
    const archive = new FileCrlArchive(join(root, String(db)));
    const options: RedisStoreOptions = {
      redis,
      name: 'intake-1',
      intakes: ['intake-1'],
      journals: true,
      issuers: [TAG, OTHER],
      certificates: 500,
      replicas: 0,
    };
    return {
      shared: true,
      async open(disturbed = (whole) => whole) {
        const store = await RedisStore.open({ ...options, archive: disturbed(archive) });
        await store.vouch();
        return store;
      },
      async tamper(record) {
        writeFileSync(archive.path(record), 'other');
        await redis.set(new Keys(record.issuer).piece(record, 0), 'other');
      },
    };
  }
  storeContract('redis', begin);
});
