import tseslint from 'typescript-eslint';
import boundaries from 'eslint-plugin-boundaries';
import { noCircles } from './test/setup/no-circles.js';

/** The house: core knows nothing, apps know everything; an arrow never points back up. */
const elements = [
  { type: 'core', pattern: 'src/core' },
  { type: 'ports', pattern: 'src/ports' },
  { type: 'flows', pattern: 'src/flows' },
  { type: 'adapters', pattern: 'src/adapters/*', capture: ['adapter'] },
  { type: 'apps', pattern: 'src/apps' },
];

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', 'data/**', 'data-fleet/**'] },
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts', 'deploy/**/*.ts'],
    extends: [tseslint.configs.base],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      eqeqeq: 'error',
      'no-unused-vars': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', caughtErrors: 'none' }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      '@typescript-eslint/only-throw-error': 'error',
    },
  },
  {
    files: ['test/**/*.ts'],
    // node:test's describe/it return promises that the runner itself awaits.
    rules: { '@typescript-eslint/no-floating-promises': 'off' },
  },
  {
    files: ['src/**/*.ts'],
    plugins: { boundaries },
    settings: {
      'boundaries/elements': elements,
      'import/resolver': { node: { extensions: ['.ts'] } },
    },
    rules: {
      'boundaries/dependencies': [
        'error',
        {
          default: 'disallow',
          policies: [
            ...[
              ['core', ['core']],
              ['ports', ['core', 'ports']],
              ['flows', ['core', 'ports', 'flows']],
              ['adapters', ['core', 'ports']],
              ['apps', ['core', 'ports', 'flows', 'adapters', 'apps']],
            ].map(([from, allowed]) => ({
              from: { element: { type: from } },
              allow: allowed.map((to) => ({ to: { element: { type: to } } })),
            })),
            // An adapter knows its own folder, never another adapter.
            {
              from: { element: { type: 'adapters' } },
              allow: [
                { to: { element: { type: 'adapters', captured: { adapter: '{{ from.element.captured.adapter }}' } } } },
              ],
            },
          ],
        },
      ],
    },
  },
  {
    files: ['src/**/*.ts'],
    plugins: { house: { rules: { 'no-circles': noCircles } } },
    rules: { 'house/no-circles': 'error' },
  },
  {
    // Time is an argument: the pure core and the flows never look at a clock themselves.
    files: ['src/core/**/*.ts', 'src/flows/**/*.ts'],
    rules: {
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'take nowMs, or the Clock port' },
        { object: 'performance', property: 'now', message: 'take nowMs, or the Clock port' },
      ],
      'no-restricted-globals': ['error', 'setTimeout', 'setInterval', 'setImmediate'],
    },
  },
);
