/** The dashboards: files as their source says, a shape that Grafana imports, expressions that Prometheus reads, metrics that exist. */
import { after, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse, stringify } from 'yaml';
import { DASHBOARDS } from '../../deploy/grafana/dashboards.ts';
import { grafanaModel } from '../../deploy/grafana/panels.ts';
import { missingPrometheus, SHIPPED } from '../support/prometheus.ts';
import { namedIn } from '../support/promql.ts';

const ROOT = resolve(SHIPPED, '../..');
const FILES = join(ROOT, 'deploy/grafana/dashboards');

interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly datasource: { readonly type: string; readonly uid: string };
}
interface ShippedPanel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
}
interface Shipped {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly panels: readonly ShippedPanel[];
}
const dashboards = readdirSync(FILES).map((name) => {
  const model = JSON.parse(readFileSync(join(FILES, name), 'utf8')) as Shipped;
  return { name, model, panels: model.panels.filter(({ type }) => type !== 'row') };
});
/** As Grafana fills in the variables. */
const exprs = dashboards.flatMap(({ panels }) =>
  panels.flatMap(({ targets = [] }) =>
    targets.map(({ expr }) => expr.replace(/\$(job|issuer)/g, '.*').replace(/\$__range/g, '1h')),
  ),
);

describe('the dashboards', () => {
  it('are what deploy/grafana/write.ts writes', () => {
    const sorted = [...DASHBOARDS].sort((a, b) => a.uid.localeCompare(b.uid));
    assert.deepEqual(
      dashboards.map(({ model }) => model),
      sorted.map((dashboard) => JSON.parse(JSON.stringify(grafanaModel(dashboard)))),
    );
  });

  for (const { name, model, panels } of dashboards)
    it(`${name}: ids are its own, nothing overlaps, every panel says what it shows and in which unit`, () => {
      assert.equal(`${model.uid}.json`, name);
      assert.ok(model.uid.length <= 40, "Grafana's limit");
      assert.equal(new Set(model.panels.map(({ id }) => id)).size, model.panels.length);
      const cells = new Set<string>();
      for (const { title, gridPos } of model.panels) {
        const { x, y, w, h } = gridPos;
        assert.ok(x >= 0 && x + w <= 24, title);
        for (let i = x; i < x + w; i++)
          for (let j = y; j < y + h; j++) {
            assert.ok(!cells.has(`${i},${j}`), `${title} overlaps`);
            cells.add(`${i},${j}`);
          }
      }
      for (const { title, description, type, targets = [], fieldConfig } of panels) {
        assert.ok(['timeseries', 'stat', 'table'].includes(type), title);
        assert.ok((description ?? '').length > 10, title);
        assert.ok((fieldConfig?.defaults.unit ?? '') !== '', title);
        assert.ok(targets.length > 0, title);
        assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
        for (const { datasource } of targets)
          assert.deepEqual(datasource, { type: 'prometheus', uid: '${datasource}' }, title);
      }
      assert.equal(new Set(panels.map(({ title, type }) => `${type} ${title}`)).size, panels.length, 'titles');
    });

  it('read metrics that exist, and records that are recorded', () => {
    const source = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'))
      .join('');
    const rules = parse(readFileSync(join(SHIPPED, 'recording.rules.yml'), 'utf8')) as {
      groups: readonly { rules: readonly { record: string }[] }[];
    };
    const records = new Set(rules.groups.flatMap((group) => group.rules.map(({ record }) => record)));
    const { metrics, recorded } = namedIn(exprs);
    assert.ok(metrics.size > 50);
    assert.deepEqual([...metrics].filter((name) => !source.includes(`'${name}'`)), []); // prettier-ignore
    assert.deepEqual(
      [...recorded].filter((name) => !records.has(name)),
      [],
    );
  });

  describe('promtool', { skip: missingPrometheus }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'certstatus-grafana-'));
    after(() => rmSync(directory, { recursive: true, force: true }));

    it('reads every expression', () => {
      const file = join(directory, 'exprs.yml');
      const rules = exprs.map((expr, i) => ({ record: `panel:${i}`, expr }));
      writeFileSync(file, stringify({ groups: [{ name: 'panels', rules }] }));
      const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', file], { encoding: 'utf8' });
      assert.equal(status, 0, stdout + stderr);
      assert.match(stdout, new RegExp(`${exprs.length} rules found`));
    });
  });
});
