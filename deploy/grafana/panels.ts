/**
 * A dashboard in few words: rows of panels with a title, a sentence, expressions and a unit, laid out on Grafana's grid of 24
 * columns. Panels of Grafana itself alone, the data source is a variable, nothing names a site.
 */

/** Grafana's names for units. */
export type Unit = 's' | 'bytes' | 'short' | 'percentunit' | 'reqps' | 'ops' | 'bool_on_off' | 'dateTimeFromNow';

export interface Panel {
  readonly kind: 'timeseries' | 'stat' | 'table';
  readonly title: string;
  /** What it shows, and which figure would be wrong: shown at the panel's corner. */
  readonly description: string;
  /** Expression and legend. */
  readonly queries: readonly (readonly [expr: string, legend: string])[];
  readonly unit: Unit;
  readonly width: number;
  /** Ascending: from which value on the colour holds. The first has none. */
  readonly steps: readonly (readonly [from: number | null, color: 'green' | 'yellow' | 'red'])[];
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

export interface Dashboard {
  /** Of the file and the URL. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly rows: readonly Row[];
}

type Queries = Panel['queries'];
const PLAIN: Panel['steps'] = [[null, 'green']];

/** Wrong from `yellow` or `red` on; upwards. */
export const above = (yellow: number, red: number): Panel['steps'] => [
  [null, 'green'],
  [yellow, 'yellow'],
  [red, 'red'],
];
/** Wrong below; downwards. */
export const below = (yellow: number, red: number): Panel['steps'] => [
  [null, 'red'],
  [red, 'yellow'],
  [yellow, 'green'],
];
/** 0 is right, everything else wrong. */
export const ZERO = above(0.001, 1);
/** 1 is right, 0 wrong. */
export const ONE = below(1, 0.5);

export function graph(title: string, description: string, unit: Unit, queries: Queries, steps = PLAIN): Panel {
  return { kind: 'timeseries', title, description, queries, unit, width: 8, steps };
}

export function figure(title: string, description: string, unit: Unit, expr: string, steps: Panel['steps']): Panel {
  return { kind: 'stat', title, description, queries: [[expr, '']], unit, width: 4, steps };
}

/** The newest value of each label set, as rows. */
export function list(title: string, description: string, unit: Unit, expr: string, steps = PLAIN): Panel {
  return { kind: 'table', title, description, queries: [[expr, '']], unit, width: 12, steps };
}

const DATASOURCE = { type: 'prometheus', uid: '${datasource}' } as const;
const HEIGHTS = { timeseries: 8, stat: 4, table: 8 } as const;

/** What Grafana imports and provisions; `schemaVersion` 39 is that of Grafana 10.4 and 11, which newer ones read. */
export function grafanaModel({ uid, title, description, rows }: Dashboard): object {
  const panels: object[] = [];
  let id = 0;
  let y = 0;
  for (const row of rows) {
    panels.push({
      id: ++id,
      type: 'row',
      title: row.title,
      collapsed: false,
      gridPos: { x: 0, y, w: 24, h: 1 },
      panels: [],
    });
    y += 1;
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      if (x + panel.width > 24) [x, y, height] = [0, y + height, 0];
      const h = HEIGHTS[panel.kind];
      panels.push({ id: ++id, ...panelModel(panel), gridPos: { x, y, w: panel.width, h } });
      x += panel.width;
      height = Math.max(height, h);
    }
    y += height;
  }
  return {
    uid,
    title,
    description,
    tags: ['certstatus'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    time: { from: 'now-6h', to: 'now' },
    timezone: 'utc',
    refresh: '30s',
    annotations: {
      list: [
        {
          name: 'Alerts that page',
          datasource: DATASOURCE,
          enable: true,
          iconColor: 'red',
          expr: 'ALERTS{job=~"$job",alertstate="firing",severity="page"}',
          titleFormat: '{{alertname}}',
          textFormat: '{{issuer}} {{instance}}',
        },
      ],
    },
    links: [
      {
        title: 'certstatus',
        type: 'dashboards',
        tags: ['certstatus'],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
      },
    ],
    templating: {
      list: [
        { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' },
        variable('job', 'Installation', 'label_values(certstatus_build_info, job)'),
        variable('issuer', 'Issuer', 'label_values(certstatus_published_certificates{job=~"$job"}, issuer)'),
      ],
    },
    panels,
  };
}

function variable(name: string, label: string, query: string): object {
  return {
    name,
    label,
    type: 'query',
    datasource: DATASOURCE,
    query: { query, refId: name },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    current: { text: ['All'], value: ['$__all'] },
  };
}

function panelModel({ kind, title, description, queries, unit, steps }: Panel): object {
  return {
    type: kind,
    title,
    description,
    datasource: DATASOURCE,
    targets: queries.map(([expr, legendFormat], i) => ({
      refId: String.fromCharCode(65 + i),
      datasource: DATASOURCE,
      expr,
      ...(kind === 'timeseries'
        ? { legendFormat, range: true }
        : { legendFormat: legendFormat || '__auto', instant: true }),
      ...(kind === 'table' && { format: 'table' }),
    })),
    fieldConfig: {
      defaults: {
        unit,
        color: { mode: kind === 'timeseries' ? 'palette-classic' : 'thresholds' },
        thresholds: { mode: 'absolute', steps: steps.map(([value, color]) => ({ value, color })) },
        ...(kind === 'timeseries' && {
          custom: {
            drawStyle: 'line',
            lineWidth: 1,
            fillOpacity: 5,
            showPoints: 'never',
            // The limit is a line in the picture.
            thresholdsStyle: { mode: steps.length > 1 ? 'dashed' : 'off' },
          },
        }),
        ...(kind === 'table' && { custom: { cellOptions: { type: steps.length > 1 ? 'color-text' : 'auto' } } }),
      },
      overrides: [],
    },
    options: OPTIONS[kind],
    ...(kind === 'table' && {
      transformations: [{ id: 'organize', options: { excludeByName: { Time: true, __name__: true, job: true } } }],
    }),
  };
}

const OPTIONS = {
  timeseries: {
    legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
    tooltip: { mode: 'multi', sort: 'desc' },
  },
  stat: {
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    colorMode: 'background',
    graphMode: 'area',
    textMode: 'value',
  },
  table: { showHeader: true, cellHeight: 'sm' },
} as const;
