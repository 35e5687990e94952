import { readdir, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host } from '../../ports/host.ts';

export const systemHost: Host = {
  async freeBytes(directory) {
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  },
  async filesBytes(directory) {
    let bytes = 0;
    for (const name of await readdir(directory)) {
      // A database drops files while it is looked at.
      bytes += (await stat(join(directory, name)).catch(() => undefined))?.size ?? 0;
    }
    return bytes;
  },
};
