import { EVENT_LESSONS } from '../../src/apps/manual/events.ts';
import { MASS_LESSONS } from '../../src/apps/manual/mass.ts';
import { RUN_LESSONS } from '../../src/apps/manual/run.ts';
import { runExamples } from '../support/examples.ts';

runExamples({ ...RUN_LESSONS, ...EVENT_LESSONS, ...MASS_LESSONS });
