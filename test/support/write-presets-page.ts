/** Writes deploy/guide/presets.md anew, after a preset has changed: `npx tsc && node dist/test/support/write-presets-page.js`. */
import { writeFileSync } from 'node:fs';
import { deployFile } from '../../src/apps/deploy-file.ts';
import { presetsPage } from './presets-page.ts';

writeFileSync(deployFile('guide', 'presets.md'), presetsPage());
