/** The program of a responder process that serves nobody: it writes down which CRLs it has been told of (processes-crls.test.ts). */
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileCrlArchive } from '../../src/adapters/crl-archive/file-archive.ts';
import { runChild } from '../../src/adapters/processes/child.ts';
import { LinkedStore } from '../../src/adapters/processes/linked-store.ts';

export interface LinkedChildSettings {
  readonly archive: string;
  /** One line per CRL: `<shard> <number> <octets>`. */
  readonly heard: string;
  /** How long reading a CRL takes here. */
  readonly slowMs: number;
}

runChild(async ({ settings, send, take }) => {
  const { archive, heard, slowMs } = settings as LinkedChildSettings;
  const files = new FileCrlArchive(archive);
  const store = new LinkedStore({
    send,
    archive: {
      read: async (record) => {
        // The first of a scope takes the longest: the next must not overtake it.
        await sleep(slowMs * Math.max(0, 3 - Number(record.number)));
        return files.read(record);
      },
    },
    unreadable: (record, error) => appendFileSync(heard, `${record.shard} ${record.number} ${String(error)}\n`),
  });
  take((message) => store.take(message));
  store.follow((event) => {
    if (event.type === 'crl')
      appendFileSync(heard, `${event.record.shard} ${event.record.number} ${event.der.length}\n`);
  });
  return Promise.resolve({
    listen: () => Promise.resolve(undefined),
    told: () => ({ counters: [], histograms: [], gauges: [] }),
    drain: () => undefined,
    stop: () => Promise.resolve(store.close()),
  });
});
