/** A generated file of the repository. `path` is relative to the repository's root. */
export interface Page {
  readonly path: string;
  readonly text: string;
}

/**
 * What a file of this folder exports. The text must depend on the repository alone (no date, no host order), since
 * CI compares it. `root` is the absolute path of the repository.
 */
export interface Generator {
  pages(root: string): Page[] | Promise<Page[]>;
}

/** The first line of every generated Markdown page. `source` names what to edit instead. */
export function generatedNotice(source: string): string {
  return `<!-- Generated from ${source}; do not edit. Run: npm run docs -->`;
}
