/** `node dist/deploy/grafana/write.js`: dashboards/*.json anew from dashboards.ts. A test holds the files against it. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DASHBOARDS } from './dashboards.ts';
import { grafanaModel } from './panels.ts';

const TO = resolve(import.meta.dirname, '../../../deploy/grafana/dashboards');
for (const dashboard of DASHBOARDS)
  writeFileSync(join(TO, `${dashboard.uid}.json`), `${JSON.stringify(grafanaModel(dashboard), null, 2)}\n`);
