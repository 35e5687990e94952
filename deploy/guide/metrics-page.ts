/** The page deploy/guide/metrics.md, from the help texts that the service registers, the table beside this file, and the alerting rules. */
import { existsSync, readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { Metric } from '../../src/core/metric.ts';
import { ArchiveKeeper } from '../../src/flows/archive/archive-upkeep.ts';
import { registerForecastGauges } from '../../src/flows/crl/crl-forecast.ts';
import { registerUrlGauges } from '../../src/flows/crl/crl-urls.ts';
import { registerGauges } from '../../src/flows/gauges.ts';
import { HostGauges, registerStoreGauges } from '../../src/flows/host-gauges.ts';
import { registerMassGauges } from '../../src/flows/mass/mass-gauges.ts';
import { flowMetrics } from '../../src/flows/metrics.ts';
import { ClockWatch } from '../../src/flows/monitor/clock-watch.ts';
import { Reconciliations } from '../../src/flows/monitor/reconciliations.ts';
import { RevocationClock } from '../../src/flows/monitor/revocation-clock.ts';
import { registerRevocationDeadlines } from '../../src/flows/monitor/revocation-deadline.ts';
import { SampleWatch } from '../../src/flows/monitor/sample-watch.ts';
import { SelfProbe } from '../../src/flows/monitor/self-probe.ts';
import { probeSeconds } from '../../src/flows/monitor/timed-wire.ts';
import { registerOfflineGauges } from '../../src/flows/offline/offline-watch.ts';
import { processEnds, registerProcessGauges } from '../../src/flows/serve/serving-gauges.ts';
import { slotMeters } from '../../src/flows/sign/slot-metrics.ts';
import { addSignIn } from '../../src/apps/admin/sign-in.ts';
import { deployFile } from '../../src/apps/deploy-file.ts';
import { METRIC_ROWS } from './metrics-table.ts';

/** Whatever is asked of it. Metrics are registered without any of their sources being looked at. */
const nothing: never = new Proxy(() => undefined, {
  get: (_, name) =>
    name === Symbol.iterator ? [][Symbol.iterator].bind([]) : name === Symbol.toPrimitive ? () => 0 : nothing,
  apply: () => nothing,
}) as never;

/** This, and otherwise whatever is asked of it. */
const having = (given: object): never =>
  new Proxy(given, { get: (target, name): unknown => Reflect.get(target, name) ?? nothing }) as never;

/** Every metric that a process can have, by name. */
export function allMetrics(): readonly Metric[] {
  const metrics = flowMetrics();
  const { set } = metrics;
  metrics.answer.count('good', 'GET', '1.1', 'sha1');
  metrics.answer.malformed('example');
  metrics.shed('public');
  metrics.signer.answers('issue', 'published');
  metrics.signer.refused('check');
  metrics.crl('example');
  slotMeters(set)('example');
  registerGauges(set, { ...(nothing as object), ...GAUGE_SOURCES });
  registerProcessGauges(set, nothing);
  processEnds(set);
  registerStoreGauges(set, nothing, nothing);
  new HostGauges(set, { ...HOST, host: nothing, health: nothing, clock: nothing });
  new ClockWatch(set, nothing);
  registerForecastGauges(set, nothing, [], nothing);
  registerUrlGauges(set, nothing, [], nothing);
  registerMassGauges(set, nothing);
  registerOfflineGauges(set, nothing, nothing);
  registerRevocationDeadlines(set, nothing);
  probeSeconds(set);
  const parts = { issuers: [], feed: nothing, ledger: nothing, journal: undefined, wire: nothing, clock: nothing, log: nothing, metrics: set, share: 1 }; // prettier-ignore
  new RevocationClock(parts);
  new SampleWatch(parts);
  new Reconciliations(nothing).registerGauges(set);
  new SelfProbe([], 0, nothing, nothing, nothing, set);
  new ArchiveKeeper(nothing, set);
  addSignIn(nothing, having({ metrics: set }));
  return [...set].sort((a, b) => (a.name < b.name ? -1 : 1));
}

const HOST = { version: '', node: '', roles: new Set<string>(), directories: new Map<string, string>(), storeDirectory: undefined }; // prettier-ignore
const GAUGE_SOURCES = {
  issuers: [],
  store: nothing,
  freshness: nothing,
  files: nothing,
  table: nothing,
  misses: nothing,
  connections: nothing,
  journal: nothing,
  publishers: new Map<never, never>(),
  signers: [],
  tokens: nothing,
  clock: nothing,
};

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
}

/** Names of the alerts that look at each metric, by way of recording rules too. */
export function alertsByMetric(rules: readonly Rule[]): ReadonlyMap<string, readonly string[]> {
  const recorded = new Map(rules.flatMap((rule) => (rule.record === undefined ? [] : [[rule.record, rule.expr]])));
  const metricsIn = (expr: string, seen: ReadonlySet<string> = new Set()): string[] => {
    const names = new Set(expr.match(/[a-zA-Z_:][a-zA-Z0-9_:]*/g) ?? []);
    return [...names].flatMap((name) => {
      const below = recorded.get(name);
      if (below !== undefined && !seen.has(name)) return metricsIn(below, new Set([...seen, name]));
      const base = name.replace(/_(?:bucket|sum|count)$/, '');
      return [name, base].filter((one) => one in METRIC_ROWS);
    });
  };
  const found = new Map<string, string[]>();
  for (const { alert, expr } of rules) {
    if (alert === undefined) continue;
    for (const metric of new Set(metricsIn(expr))) found.set(metric, [...(found.get(metric) ?? []), alert]);
  }
  return found;
}

/** Those in deploy/prometheus. */
export function shippedRules(): readonly Rule[] {
  const files = ['recording.rules.yml', 'alerts.rules.yml'].map((name) => deployFile('prometheus', name));
  return files
    .filter((file) => existsSync(file))
    .flatMap((file) => (parse(readFileSync(file, 'utf8')) as { groups: { rules: Rule[] }[] }).groups)
    .flatMap(({ rules }) => rules);
}

export function metricsPage(): string {
  const alerts = alertsByMetric(shippedRules());
  const rows = allMetrics().map(({ name, kind, help }) => {
    const { labels, shows } = METRIC_ROWS[name] ?? { labels: [], shows: '' };
    const all = [...labels, ...(kind === 'summary' ? ['quantile'] : [])];
    const used = [...new Set(alerts.get(name) ?? [])].map((alert) => `[${alert}](runbook.md#${alert.toLowerCase()})`);
    return `| \`${name}\` | ${kind} | ${all.join(', ')} | ${cell(help)} | ${shows} | ${used.join(', ')} |`;
  });
  return [HEAD, '| metric | type | labels | meaning | shows | alerts |', '|---|---|---|---|---|---|', ...rows, ''].join(
    '\n',
  );
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');

const HEAD = `# Metrics

What \`/metrics\` on the admin port says, in the Prometheus text format. This page is generated (\`npm run metrics\`) from the help texts
of the service; a test holds it against them.

Units are in the names: seconds, bytes; \`_total\` only grows; what is a plain count says so. Instants are told as ages or times left, so no
rule needs a clock. A gauge that does not apply is absent, not 0. A summary tells shares of all published answers as they are now, not of
what was asked for. Labels come from closed lists or from the configuration, so their number is bounded whatever clients send; a client's
address, a serial number or a host name is in none of them. \`shows\`: the promise (P1 to P8) or duty that the figure proves. Where responder
processes serve beside the first (\`responder.processes\`), its gauges come once more for each of them, with the label \`process\`.

The cache hit rate is \`1 - rate(certstatus_lookups_total) / rate(certstatus_answers_total)\`: nothing is counted twice for a hit.
`;
