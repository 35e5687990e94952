import { LOOK_LESSONS } from '../../src/apps/manual/look.ts';
import { PROOF_LESSONS } from '../../src/apps/manual/proof.ts';
import { runExamples } from '../support/examples.ts';

runExamples({ ...PROOF_LESSONS, ...LOOK_LESSONS });
