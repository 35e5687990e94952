/**
 * The whole search: `node dist/test/fuzz/run.js --requests 1000000 --seed 1`. Says how far it is, and ends with 1 and the
 * octets when a listener did anything else than it owes.
 */
import { parseArgs } from 'node:util';
import { fuzz } from './fuzz.ts';
import { World } from './world.ts';

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 32) },
    faults: { type: 'string', default: '1' },
  },
});
const [requests, seed, faults] = [Number(values.requests), Number(values.seed), Number(values.faults)];
console.log(`seed ${seed}, ${requests} requests to each listener`);
const world = await World.open();
const started = Date.now();
let said = started;
try {
  const found = await fuzz(world, {
    seed,
    requests,
    faults,
    note: (fault) => console.log(`\n${fault}\n`),
    progress: (done) => {
      if (Date.now() - said < 5000) return;
      said = Date.now();
      const rate = done / ((said - started) / 1000);
      console.log(`${done} of ${requests}, ${rate.toFixed(0)}/s, ${((requests - done) / rate).toFixed(0)} s left`);
    },
  });
  console.log(`${found.requests} requests in ${((Date.now() - started) / 1000).toFixed(0)} s`);
  for (const [name, words] of found.tally) {
    const sorted = [...words].sort((a, b) => b[1] - a[1]);
    console.log(`${name}: ${sorted.map(([word, count]) => `${word} ${count}`).join(', ')}`);
  }
  for (const fault of found.faults) console.log(`\n${fault}`);
  if (found.faults.length > 0) process.exitCode = 1;
} finally {
  await world.close();
}
process.exit();
