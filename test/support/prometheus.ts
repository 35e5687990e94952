/**
 * A real Prometheus with the shipped configuration and rules (deploy/prometheus), which watches processes of this machine. Only what
 * is the site's own is written anew: the targets, where the runbook is, and that there is no Alertmanager. The kernel kills it when
 * the process that started it dies (PR_SET_PDEATHSIG by `setpriv`).
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseDocument, stringify } from 'yaml';
import { exchange } from './http.ts';
import { until } from './service.ts';

export const SHIPPED = resolve(import.meta.dirname, '../../../deploy/prometheus');
const START_MS = 30_000;

const has = (program: string): boolean => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
/** For `{ skip }` of node:test. */
export const missingPrometheus: string | false =
  has('prometheus') && has('promtool') && has('setpriv') ? false : 'needs prometheus';

export interface Watched {
  readonly instance: string;
  readonly role: string;
  /** Its admin port on this machine. */
  readonly admin: number;
}

export interface PrometheusOptions {
  /** Kept; its configuration and its data. */
  readonly directory: string;
  readonly port: number;
  readonly targets: readonly Watched[];
  /** Where runbook.md is: a URL that ends in a slash. */
  readonly runbooks: string;
  /** Scrapes, evaluations and every `for` go so many times as fast; the expressions stay as they are. */
  readonly hurry?: number;
}

/** Of /api/v1/alerts. */
export interface SeenAlert {
  readonly state: 'pending' | 'firing';
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export class PrometheusServer {
  readonly port: number;
  readonly directory: string;
  readonly #options: PrometheusOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  log = '';

  constructor(options: PrometheusOptions) {
    this.#options = options;
    this.port = options.port;
    this.directory = options.directory;
    this.#configure();
  }

  #configure(): void {
    const { directory, targets, runbooks, hurry = 1 } = this.#options;
    mkdirSync(join(directory, 'targets'), { recursive: true });
    const config = parseDocument(readFileSync(join(SHIPPED, 'prometheus.yml'), 'utf8'));
    config.setIn(['global', 'external_labels', 'runbooks'], runbooks);
    config.deleteIn(['alerting', 'alertmanagers']);
    for (const name of ['scrape_interval', 'evaluation_interval'])
      config.setIn(['global', name], faster(String(config.getIn(['global', name])), hurry));
    writeFileSync(join(directory, 'prometheus.yml'), config.toString());
    for (const name of ['recording.rules.yml', 'alerts.rules.yml']) {
      const rules = readFileSync(join(SHIPPED, name), 'utf8');
      const hurried = rules.replace(
        /^( +for: )(\S+)$/gm,
        (_, begins: string, time: string) => begins + faster(time, hurry),
      );
      writeFileSync(join(directory, name), hurried);
    }
    const groups = targets.map(({ instance, role, admin }) => ({
      targets: [`127.0.0.1:${admin}`],
      labels: { instance, role },
    }));
    writeFileSync(join(directory, 'targets', 'all.yml'), stringify(groups));
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when it answers. @throws with its last words when it ends instead. */
  async start(): Promise<void> {
    const options = [
      `--config.file=${join(this.directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(this.directory, 'data')}`,
      '--storage.tsdb.retention.time=2d',
      `--web.listen-address=127.0.0.1:${this.port}`,
      '--log.level=warn',
    ];
    // In a process group of its own: Ctrl-C is for whoever started it, who stops it in order.
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'prometheus', ...options], {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
    process.once('exit', () => child.kill('SIGKILL'));
    const file = createWriteStream(join(this.directory, 'log'), { flags: 'a' });
    child.stderr.on('data', (chunk: Buffer) => {
      this.log += chunk.toString();
      file.write(chunk);
    });
    this.#child = child;
    let ended = false;
    this.#exited = new Promise<void>((done) => child.once('close', () => done())).then(() => (ended = true));
    await until(
      `Prometheus answers on port ${this.port}`,
      async () => {
        if (ended) throw new Error(`prometheus ended:\n${this.log}`);
        return exchange({ port: this.port, path: '/-/ready' }).then(
          ({ status }) => status === 200,
          () => false,
        );
      },
      START_MS,
      100,
    );
  }

  /** Where its page of alerts is: Debian ships the classic pages only. */
  async alertsPage(): Promise<string> {
    const { status } = await exchange({ port: this.port, path: '/alerts' });
    return `http://127.0.0.1:${this.port}${status === 200 ? '' : '/classic'}/alerts`;
  }

  async stop(): Promise<void> {
    if (this.running) this.#child?.kill('SIGTERM');
    await this.#exited;
  }

  /** Pending and firing. */
  async alerts(): Promise<readonly SeenAlert[]> {
    return ((await this.#api('alerts')) as { alerts: readonly SeenAlert[] }).alerts;
  }

  /** `instance` to whether its last scrape went well. */
  async health(): Promise<ReadonlyMap<string, string>> {
    type Target = { readonly labels: { readonly instance: string }; readonly health: string };
    const { activeTargets } = (await this.#api('targets')) as { activeTargets: readonly Target[] };
    return new Map(activeTargets.map(({ labels, health }) => [labels.instance, health]));
  }

  /** Every rule with what went wrong when it was evaluated last. */
  async rules(): Promise<readonly { readonly name: string; readonly health: string; readonly lastError?: string }[]> {
    type Group = { readonly rules: readonly { name: string; health: string; lastError?: string }[] };
    const { groups } = (await this.#api('rules')) as { groups: readonly Group[] };
    return groups.flatMap(({ rules }) => rules);
  }

  /** When the group that was evaluated longest ago was. */
  async evaluatedAt(): Promise<number> {
    const { groups } = (await this.#api('rules')) as { groups: readonly { readonly lastEvaluation: string }[] };
    return Math.min(...groups.map(({ lastEvaluation }) => Date.parse(lastEvaluation)));
  }

  async #api(path: string): Promise<unknown> {
    const { status, body } = await exchange({ port: this.port, path: `/api/v1/${path}` });
    const answer = JSON.parse(body.toString()) as { status: string; data: unknown; error?: string };
    if (status !== 200 || answer.status !== 'success') throw new Error(`${path}: ${answer.error ?? status}`);
    return answer.data;
  }
}

/** `15s` in a tenth: `1s`, because Prometheus knows no less than that worth scraping; `3m` in a tenth: `18s`. */
function faster(duration: string, times: number): string {
  if (times === 1) return duration;
  const [, count, unit] = /^(\d+)([smhd])$/.exec(duration) ?? [];
  const seconds = { s: 1, m: 60, h: 3600, d: 86_400 }[unit as 's' | 'm' | 'h' | 'd'] * Number(count);
  return `${Math.max(1, Math.round(seconds / times))}s`;
}
