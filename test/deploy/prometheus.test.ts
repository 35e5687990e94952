/** The shipped Prometheus: configuration, rules, their unit tests by promtool, the runbook, and the list of alerts that all go by. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { parse } from 'yaml';
import { makeProgram } from '../../src/apps/program.ts';
import { ALERT_LIMITS, ALERTS, ONLY_OUTSIDE } from '../../src/core/alerts.ts';
import { missingPrometheus, SHIPPED } from '../support/prometheus.ts';
import { namedIn } from '../support/promql.ts';

const ROOT = resolve(SHIPPED, '../..');
const read = (...path: readonly string[]): string => readFileSync(join(...path), 'utf8');

interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: { readonly severity?: string };
  readonly annotations?: { readonly summary?: string; readonly description?: string; readonly runbook_url?: string };
}
const rulesOf = (file: string): readonly Rule[] =>
  (parse(read(SHIPPED, file)) as { groups: readonly { rules: readonly Rule[] }[] }).groups.flatMap(
    ({ rules }) => rules,
  );
const alerts = rulesOf('alerts.rules.yml');
const recording = rulesOf('recording.rules.yml');
const tests = readdirSync(join(SHIPPED, 'tests')).map((name) => join('tests', name));

/** Every metric that any role may register: the names in the source. A real /metrics is held against them in e2e/alerts.test.ts. */
function registered(): ReadonlySet<string> {
  const files = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const names = files.flatMap((name) => read(ROOT, 'src', name).match(/(?<=')certstatus_[a-z0-9_]+(?=')/g) ?? []);
  return new Set(names);
}

/** The numbers and lengths of time of an expression, in seconds; 0, and the 1 of "is so", are none. */
function numbersIn(expr: string): Set<number> {
  const bare = expr.replace(/\{[^}]*\}|"[^"]*"/g, '').replace(/== 1\b/g, '');
  const found = [...bare.matchAll(/(?<![\w.])(\d+(?:\.\d+)?(?:e\d+)?)([smhd]?)(?![\w.])/g)];
  return new Set(found.map(([, number = '', unit]) => (unit ? secondsOf(number + unit) : Number(number))).filter((one) => one > 0)); // prettier-ignore
}

function secondsOf(length: string): number {
  return Number(length.slice(0, -1)) * ({ s: 1, m: 60, h: 3600, d: 86_400 }[length.slice(-1)] ?? NaN);
}

function leaves(limits: object): Set<number> {
  return new Set(Object.values(limits).flatMap((one: number | object) => (typeof one === 'number' ? [one] : [...leaves(one)]))); // prettier-ignore
}

describe('promtool', { skip: missingPrometheus }, () => {
  const promtool = (...args: readonly string[]): string =>
    execFileSync('promtool', args, { cwd: SHIPPED, encoding: 'utf8', stdio: 'pipe' });

  it('takes the configuration and the rules', () => {
    promtool('check', 'config', 'prometheus.yml');
    assert.match(promtool('check', 'rules', 'alerts.rules.yml', 'recording.rules.yml'), /SUCCESS/);
  });

  for (const file of tests)
    it(`${file}: each alert fires when it should, and its neighbour does not`, () => {
      const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], {
        cwd: SHIPPED,
        encoding: 'utf8',
      });
      assert.equal(status, 0, stdout + stderr);
    });
});

describe(
  'Alertmanager',
  { skip: spawnSync('amtool', ['--version']).error === undefined ? false : 'needs prometheus-alertmanager' },
  () => {
    it('takes the example', () => {
      execFileSync('amtool', ['check-config', join(SHIPPED, 'alertmanager.yml')], { stdio: 'pipe' });
    });
  },
);

describe('the rules', () => {
  it('are one alert for each name of core/alerts.ts, as urgent as that says', () => {
    assert.deepEqual(Object.fromEntries(alerts.map(({ alert, labels }) => [alert, labels?.severity])), { ...ALERTS });
    assert.equal(alerts.length, Object.keys(ALERTS).length, 'none twice');
  });

  it('each fire in a unit test', () => {
    type Sample = { readonly labels: string };
    type Test = { readonly promql_expr_test: readonly { readonly exp_samples: readonly Sample[] }[] };
    const fired = tests
      .flatMap((file) => (parse(read(SHIPPED, file)) as { tests: readonly Test[] }).tests)
      .flatMap(({ promql_expr_test }) => promql_expr_test.flatMap(({ exp_samples }) => exp_samples))
      .map(({ labels }) => /alertname="(\w+)"/.exec(labels)?.[1]);
    assert.deepEqual([...new Set(fired)].sort(), Object.keys(ALERTS).sort());
  });

  it('say what is wrong and what breaks, and name their section of the runbook', () => {
    for (const { alert = '', annotations } of alerts) {
      assert.ok((annotations?.summary ?? '').length > 20, alert);
      assert.ok((annotations?.description ?? '').length > 40, alert);
      assert.equal(annotations?.runbook_url, `{{ $externalLabels.runbooks }}runbook.md#${alert.toLowerCase()}`);
    }
  });

  it('read metrics that exist, and records that are recorded', () => {
    const { metrics, recorded } = namedIn([...alerts, ...recording].map(({ expr }) => expr));
    const known = registered();
    assert.deepEqual(
      [...metrics].filter((name) => !known.has(name)),
      [],
    );
    const records = new Set(recording.map(({ record }) => record));
    assert.deepEqual(
      [...recorded].filter((name) => !records.has(name)),
      [],
    );
  });

  it('begin where the status page begins: the numbers of core/alerts.ts, and no others', () => {
    for (const { alert = '', expr, for: held = '0s' } of alerts) {
      if (alert in ONLY_OUTSIDE) continue;
      const limits = (ALERT_LIMITS as Readonly<Record<string, object>>)[alert] ?? {};
      const written = numbersIn(expr);
      if ('holds' in limits) written.add(secondsOf(held));
      // Of a recorded rate the window stands in its name.
      for (const [, window = ''] of expr.matchAll(/rate(\d+[mh])/g)) written.add(secondsOf(window));
      assert.deepEqual([...written].sort(), [...leaves(limits)].sort(), alert);
    }
  });

  it('are inhibited by name: every alert that alertmanager.yml names exists', () => {
    const named = read(SHIPPED, 'alertmanager.yml').match(/(?<=alertname(?:=|=~|!~)")[^"]+/g) ?? [];
    const names = named.flatMap((pattern) => pattern.split('|'));
    assert.ok(names.length > 20);
    assert.deepEqual(
      names.filter((name) => !(name in ALERTS)),
      [],
    );
  });
});

describe('the runbook', () => {
  const text = read(ROOT, 'deploy/guide/runbook.md');
  const sections = new Map(
    text.split(/^## /m).slice(1).map((section) => [section.slice(0, section.indexOf('\n')), section] as const),
  ); // prettier-ignore

  it('has a section for each alert, and no other', () => {
    assert.deepEqual([...sections.keys()].sort(), Object.keys(ALERTS).sort());
  });

  it('says in each how urgent it is, what breaks, where to look, what to do, when it is over and who is told', () => {
    for (const [name, section] of sections) {
      assert.match(section, new RegExp(`^\\*\\*${ALERTS[name as keyof typeof ALERTS]}\\.\\*\\*`, 'm'), name);
      for (const part of [/\*\*Breaks:\*\*/, /\*\*Look/, /\*\*(Do|Look, do):\*\*/, /\*\*Over:\*\*/, /\*\*Tell:\*\*/])
        assert.match(section, part, name);
    }
  });

  it('calls commands and options that exist', () => {
    const called = [...text.matchAll(/`\$C ([^`]+)`/g)].map(([, words = '']) => words);
    assert.ok(called.length > 50);
    const wrong = called.filter((line) => {
      let command: Command = makeProgram();
      for (const word of line.split(' ')) {
        if (word.startsWith('--')) {
          if (word !== '--help' && !command.options.some(({ long }) => long === word)) return true;
        } else if (command.commands.length > 0 && word !== '…') {
          const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
          if (next === undefined) return true;
          command = next;
        }
      }
      return false;
    });
    assert.deepEqual(wrong, []);
  });

  it('links to sections and files that are there, and names metrics that exist', () => {
    for (const [, to = ''] of text.matchAll(/\]\(([^)]+)\)/g)) {
      if (to.startsWith('#'))
        assert.ok(
          [...sections.keys()].some((name) => `#${name.toLowerCase()}` === to),
          to,
        );
      else read(ROOT, 'deploy/guide', to);
    }
    const known = registered();
    assert.deepEqual(
      [...namedIn([text]).metrics].filter((name) => !known.has(name)),
      [],
    );
  });
});
