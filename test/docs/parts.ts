/** Which file of tests has which pages: about the same time each. */
export const PARTS: Readonly<Record<'front' | 'guideA' | 'guideB' | 'guideC', (page: string) => boolean>> = {
  front: (page) => !page.startsWith('deploy/guide/'),
  guideA: (page) => /^deploy\/guide\/[a-h]/.test(page),
  guideB: (page) => /^deploy\/guide\/[i-o]/.test(page),
  guideC: (page) => /^deploy\/guide\/[p-z]/.test(page),
};
