/** Backups over the private interface: the store is copied by the process that has it open; its files are copied by the command. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { StoreCopying } from '../../flows/backup/store-copy.ts';
import type { Core } from '../core.ts';
import { backupNote } from './backup-schema.ts';
import { authorise, type Client } from './clients.ts';
import { parseBody } from './schema.ts';

/** Of a process whose store is its own. */
export function addBackupRoutes(
  app: FastifyInstance,
  { copies, journal, clock, log, config }: Core,
  identify: (request: FastifyRequest) => Client,
): void {
  if (copies === undefined || journal === undefined) return;
  const place = (id: number): string => {
    const directory = join(config.dataDir, 'backup');
    // What lies there belongs to a command that did not come to its end.
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { mode: 0o750 });
    return join(directory, `store-${id}`);
  };
  const copying = new StoreCopying({ copies, journal, clock, log, place });
  app.addHook('onClose', () => copying.stop());

  app.post('/v1/backups', (request) => {
    const client = identify(request);
    authorise(client, 'keys', undefined);
    return copying.begin(client.actor);
  });

  app.get('/v1/backups', (request) => {
    authorise(identify(request), 'keys', undefined);
    return copying.last ?? {};
  });

  app.post('/v1/backups/notes', async (request) => {
    const client = identify(request);
    authorise(client, 'keys', undefined);
    const { type, ...detail } = parseBody(backupNote, request.body);
    await copying.note(client.actor, type, detail);
    return { noted: type };
  });
}
