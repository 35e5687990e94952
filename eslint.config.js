import tseslint from 'typescript-eslint';
import boundaries from 'eslint-plugin-boundaries';

/** The house: core knows nothing, apps know everything; an arrow never points back up. */
const elements = [
  { type: 'core', pattern: 'src/core', mode: 'folder' },
  { type: 'ports', pattern: 'src/ports', mode: 'folder' },
  { type: 'flows', pattern: 'src/flows', mode: 'folder' },
  { type: 'adapters', pattern: 'src/adapters/*', mode: 'folder', capture: ['adapter'] },
  { type: 'apps', pattern: 'src/apps', mode: 'folder' },
];

export default tseslint.config(
  { ignores: ['dist/**', 'node_modules/**', 'data/**'] },
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
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
      'boundaries/element-types': [
        'error',
        {
          default: 'disallow',
          rules: [
            { from: 'core', allow: ['core'] },
            { from: 'ports', allow: ['core', 'ports'] },
            { from: 'flows', allow: ['core', 'ports', 'flows'] },
            { from: 'adapters', allow: ['core', 'ports', ['adapters', { adapter: '${from.adapter}' }]] },
            { from: 'apps', allow: ['core', 'ports', 'flows', 'adapters', 'apps'] },
          ],
        },
      ],
    },
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
