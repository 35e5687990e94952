/** The store contracts on a Cluster of three masters, where each issuer lies on one of them. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import type { Cluster } from 'ioredis';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { Keys } from '../../src/adapters/redis/keys.ts';
import { RedisStore } from '../../src/adapters/redis/store.ts';
import { OTHER, TAG, type StoreUnderTest } from '../contracts/store-records.ts';
import { storeContract } from '../contracts/store.ts';
import { needsRedis, startCluster, type RedisCluster } from '../support/redis.ts';

describe('RedisStore on a Cluster', { skip: needsRedis }, () => {
  const root = mkdtempSync(join(tmpdir(), 'redis-cluster-store-'));
  let cluster: RedisCluster;
  let redis: Cluster;
  let begun = 0;
  let opened: RedisStore[] = [];
  before(async () => {
    cluster = await startCluster();
    redis = await cluster.client();
  });
  after(async () => {
    await Promise.all(opened.map((store) => store.close()));
    await cluster.remove();
    rmSync(root, { recursive: true });
  });

  /** A Cluster has one data set: the stores of earlier tests end with it. */
  async function begin(): Promise<StoreUnderTest> {
    await Promise.all(opened.map((store) => store.close()));
    opened = [];
    await Promise.all(redis.nodes('master').map((node) => node.flushall()));
    const archive = new FileCrlArchive(join(root, String(++begun)));
    return {
      shared: true,
      async open(disturbed = (whole) => whole) {
        const store = await RedisStore.open({
          redis,
          name: 'intake-1',
          intakes: ['intake-1'],
          journals: true,
          issuers: [TAG, OTHER],
          archive: disturbed(archive),
          certificates: 500,
          replicas: 0,
        });
        opened.push(store);
        await store.vouch();
        return store;
      },
      async tamper(record) {
        writeFileSync(archive.path(record), 'other');
        await redis.set(new Keys(record.issuer).piece(record, 0), 'other');
      },
    };
  }
  storeContract('redis cluster', begin);
});
