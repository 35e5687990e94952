/** One row of the matrix as tests: each column asked of the client itself, and how its requests arrived. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Service } from '../support/service.ts';
import { SCENARIOS, type Client, type Scenario, type ScenarioId, type Verdict } from './matrix.ts';
import type { Running } from './servers.ts';
import type { Subject, World } from './world.ts';

/** What a client ended with, and its own words, for whoever wonders. */
export interface Judged {
  readonly verdict: Verdict | 'not understood';
  readonly said: string;
}

export interface Row {
  /** Before the first question. */
  readonly start?: () => Promise<void>;
  readonly ask: (scenario: ScenarioId, subject: Subject, of: Scenario['subject']) => Promise<Judged>;
  readonly stop?: () => Promise<void>;
}

export function describeRow(client: Client, world: () => World, row: Row): void {
  const skip = has(client.program) ? {} : { skip: `${client.program} is not installed` };
  describe(client.title, skip, () => {
    const seen: Partial<Record<ScenarioId, string>> = {};
    let already: ReadonlyMap<string, number>;
    before(async () => {
      already = await arrivals(world().steady);
      await row.start?.();
    });
    for (const { id, title, subject } of SCENARIOS) {
      const expected = client.verdicts[id];
      if (expected === undefined) continue;
      it(`${title}: ${expected}`, async () => {
        const { verdict, said } = await row.ask(id, world().subjects[subject], subject);
        seen[id] = verdict;
        assert.equal(verdict, expected, said);
      });
    }
    const { asks } = client;
    if (asks !== undefined) {
      it(`asks by ${asks.join(' and ')}, and in no other way`, async () => {
        const now = await arrivals(world().steady);
        const arrived = [...now].filter(([how, count]) => count !== (already.get(how) ?? 0)).map(([how]) => how);
        assert.deepEqual(arrived.sort(), [...asks].sort());
      });
    }
    after(async () => {
      await row.stop?.();
      const results = process.env.CLIENTS_RESULTS;
      if (results !== undefined)
        writeFileSync(join(results, `${client.id}.json`), `${JSON.stringify(seen, undefined, 2)}\n`);
    });
  });
}

/** A row that needs a server, from its first question to its last. */
export function serving<R extends Running>(
  start: () => Promise<R>,
  ask: (running: R, ...args: Parameters<Row['ask']>) => Promise<Judged>,
): Row {
  let running: R | undefined;
  return {
    start: async () => {
      running = await start();
    },
    ask: (...args) => ask(running as R, ...args),
    stop: async () => running?.server.stop(),
  };
}

export function has(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

/** Answers so far, by method and version of HTTP. */
async function arrivals(service: Service): Promise<ReadonlyMap<string, number>> {
  const metrics = (await service.get('/metrics', 'admin')).body.toString();
  const counts = new Map<string, number>();
  for (const [, method, version, count] of metrics.matchAll(
    /^certstatus_answers_total\{.*method="(\w+)",http_version="([\d.]+)".*\} (\d+)$/gm,
  )) {
    const how = `${method} ${version}`;
    counts.set(how, (counts.get(how) ?? 0) + Number(count));
  }
  return counts;
}
