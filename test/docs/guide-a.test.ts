import { PARTS } from './parts.ts';
import { testPages } from './test-pages.ts';

testPages(PARTS.guideA);
