/** What every rehearsal of failures does: a fleet under load before, and the judgement of all that was seen after. */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { check, explainViolations, type History } from './checker.ts';
import { Fleet, type FleetOptions } from './fleet.ts';
import { Load } from './load.ts';
import type { Member } from './member.ts';
import { ask } from './ocsp-client.ts';
import type { Random } from './random.ts';
import { freePorts } from './service.ts';

export class Rehearsal {
  readonly fleet: Fleet;
  readonly load: Load;

  private constructor(fleet: Fleet, random: Random) {
    this.fleet = fleet;
    this.load = new Load(fleet, random);
  }

  /** All processes run and rely on the store; the load is not started. */
  static async start(
    random: Random,
    options: Pick<FleetOptions, 'store' | 'responder' | 'responders' | 'shards'> & { readonly token?: (data: string, keys: string) => ReturnType<NonNullable<FleetOptions['token']>> }, // prettier-ignore
  ): Promise<Rehearsal> {
    const directory = mkdtempSync(join(tmpdir(), 'certstatus-fleet-'));
    const { store, responder, responders, shards, token } = options;
    const counts = { ...(responders !== undefined && { responders }) };
    const fleet = await Fleet.create({
      directory,
      ports: await freePorts(3 * Fleet.names(counts).length),
      store,
      ...counts,
      ...(shards !== undefined && { shards }),
      ...(responder !== undefined && { responder }),
      ...(token !== undefined && { token: (keys: string) => token(directory, keys) }),
    });
    const rehearsal = new Rehearsal(fleet, random);
    try {
      await fleet.start();
    } catch (error) {
      await rehearsal.end();
      throw error;
    }
    return rehearsal;
  }

  /** What a responder says of a certificate, as a word. */
  async says(serial: string, responder = this.fleet.responders[0] as Member): Promise<string> {
    return (await ask(this.fleet.issuer, serial, { port: responder.ports.public, path: '/OcspServer' })).status;
  }

  /** @throws with every broken promise. `tell` gets a line with what was seen. */
  async judge(tell: (line: string) => void): Promise<History> {
    const history = await this.load.finish();
    const { events, answers, crls, ledger, responders } = history;
    const count = (status: string): string =>
      `${answers.filter((answer) => answer.status === status).length} ${status}`;
    const statuses = ['good', 'revoked', 'unauthorized', 'tryLater', 'none'].map(count).join(', ');
    tell(
      `${events.length} events, ${answers.length} answers (${statuses}), ${crls.length} CRLs, ${ledger.length} look-ups`,
    );
    assert.deepEqual(this.load.refused, [], 'no right event is refused for good');
    const violations = check(history);
    assert.equal(violations.length, 0, explainViolations(violations));
    for (const status of ['good', 'revoked', 'unauthorized'])
      for (const responder of responders)
        for (const how of ['GET', 'POST'])
          assert.ok(answers.some((answer) => answer.status === status && answer.responder === responder && answer.how === how), `${responder} ${how} ${status}`); // prettier-ignore
    return history;
  }

  /** Stops everything and verifies the log of each process that has one; what was printed, by name. */
  async verifyAudits(): Promise<ReadonlyMap<string, string>> {
    await this.fleet.stop();
    const printed = new Map<string, string>();
    for (const member of [...this.fleet.intakes, ...this.fleet.signers]) {
      const { code, stdout, stderr } = await member.run('audit', 'verify');
      assert.equal(code, 0, `${member.name}: ${stdout}${stderr}`);
      printed.set(member.name, stdout);
    }
    return printed;
  }

  /** Whatever has happened: nothing of it is left. */
  async end(): Promise<void> {
    this.load.abandon();
    await this.fleet.kill();
    this.fleet.remove();
  }
}
