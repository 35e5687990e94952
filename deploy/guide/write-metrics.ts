/** Writes deploy/guide/metrics.md anew. */
import { writeFileSync } from 'node:fs';
import { deployFile } from '../../src/apps/deploy-file.ts';
import { metricsPage } from './metrics-page.ts';

writeFileSync(deployFile('guide', 'metrics.md'), metricsPage());
