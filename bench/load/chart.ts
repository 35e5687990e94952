/** The charts of bench/README.md: SVG, readable in light and in dark, without any script or font of their own. */

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** At the end of the bar. */
  readonly text: string;
  /** Ours stand out. */
  readonly ours: boolean;
}

export interface BarGroup {
  readonly title: string;
  readonly bars: readonly Bar[];
}

/** Several values on one line, on a logarithmic axis. */
export interface DotRow {
  readonly label: string;
  readonly dots: readonly { readonly name: string; readonly value: number }[];
  readonly ours: boolean;
}

const WIDTH = 760;
const LEFT = 250;
const RIGHT = 130;
const ROW = 26;
const TOP = 56;

/** Groups of bars, one below the other, each on a scale of its own. */
export function barChart(title: string, groups: readonly BarGroup[]): string {
  const shapes: string[] = [];
  let y = TOP;
  for (const { title: group, bars } of groups) {
    shapes.push(text(16, y + 12, group, 'group'));
    y += 24;
    const most = Math.max(...bars.map(({ value }) => value));
    for (const { label, value, text: shown, ours } of bars) {
      const width = Math.max(1, ((WIDTH - LEFT - RIGHT) * value) / most);
      shapes.push(
        text(LEFT - 10, y + 16, label, ours ? 'label ours' : 'label', 'end'),
        `<rect x="${LEFT}" y="${y + 4}" width="${width.toFixed(1)}" height="${ROW - 9}" rx="2" class="${ours ? 'bar ours' : 'bar'}"/>`,
        text(LEFT + width + 8, y + 16, shown, 'value'),
      );
      y += ROW;
    }
    y += 16;
  }
  return svg(title, y, shapes);
}

/** @param unit of the values, at the axis. */
export function dotChart(title: string, unit: string, rows: readonly DotRow[]): string {
  const values = rows.flatMap(({ dots }) => dots.map(({ value }) => value));
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const x = (value: number): number => LEFT + ((Math.log10(value) - low) / (high - low)) * (WIDTH - LEFT - RIGHT / 2);
  const bottom = TOP + 20 + rows.length * ROW;
  const shapes: string[] = [];
  for (let power = low; power <= high; power++) {
    const at = x(10 ** power).toFixed(1);
    shapes.push(`<line x1="${at}" x2="${at}" y1="${TOP}" y2="${bottom}" class="grid"/>`);
    shapes.push(text(Number(at), bottom + 18, `${Number((10 ** power).toPrecision(1))} ${unit}`, 'value', 'middle'));
  }
  rows.forEach(({ label, dots, ours }, i) => {
    const y = TOP + 22 + i * ROW;
    shapes.push(text(LEFT - 10, y + 4, label, ours ? 'label ours' : 'label', 'end'));
    const [first] = dots;
    const last = dots.at(-1);
    if (first === undefined || last === undefined) return;
    shapes.push(
      `<line x1="${x(first.value).toFixed(1)}" x2="${x(last.value).toFixed(1)}" y1="${y}" y2="${y}" class="${ours ? 'span ours' : 'span'}"/>`,
    );
    dots.forEach(({ name, value }, dot) => {
      const at = x(value).toFixed(1);
      shapes.push(`<circle cx="${at}" cy="${y}" r="${4 + dot}" class="${ours ? 'bar ours' : 'bar'}"/>`);
      // The last two may lie close together: their names lean away from each other.
      const lean = dot === dots.length - 1 ? 'start' : dot === dots.length - 2 ? 'end' : 'middle';
      if (i === 0) shapes.push(text(Number(at), y - 12, name, 'value', lean));
    });
  });
  return svg(title, bottom + 34, shapes);
}

function svg(title: string, height: number, shapes: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escape(title)}">
<style>
.ground{fill:#fff}.title,.group,.label{fill:#1f2328}.value{fill:#59636e}.bar{fill:#8c959f}.bar.ours{fill:#0969da}.grid{stroke:#d1d9e0}.span{stroke:#8c959f;stroke-width:2}.span.ours{stroke:#0969da}
text{font:13px system-ui,sans-serif}.title{font-size:16px;font-weight:600}.group,.label.ours{font-weight:600}
@media (prefers-color-scheme:dark){.ground{fill:#0d1117}.title,.group,.label{fill:#f0f6fc}.value{fill:#9198a1}.bar{fill:#656c76}.bar.ours{fill:#4493f8}.grid{stroke:#3d444d}.span{stroke:#656c76}.span.ours{stroke:#4493f8}}
</style>
<rect class="ground" width="100%" height="100%" rx="6"/>
${[text(16, 30, title, 'title'), ...shapes].join('\n')}
</svg>
`;
}

function text(
  x: number,
  y: number,
  content: string,
  style: string,
  anchor: 'start' | 'middle' | 'end' = 'start',
): string {
  return `<text x="${x.toFixed(1)}" y="${y}" class="${style}" text-anchor="${anchor}">${escape(content)}</text>`;
}

function escape(content: string): string {
  return content.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}
