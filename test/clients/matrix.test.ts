/** Every client of the matrix, against one set of services. */
import { after, before, describe } from 'node:test';
import { describeAskers } from './asking.ts';
import { describeStaplers } from './stapling.ts';
import { World } from './world.ts';

describe('clients', () => {
  let world: World;
  before(async () => {
    world = await World.create();
  });
  after(() => world?.remove());

  describe('that ask', () => describeAskers(() => world));
  describe('that staple, and their visitors', () => describeStaplers(() => world));
});
