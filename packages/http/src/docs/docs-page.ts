import { createHash } from 'node:crypto';
import { html, raw } from 'hono/html';
import type { ApiDocument } from './document.ts';
import { idOf, operationSection, type ShownOperation } from './operation-html.ts';
import { fieldsTable, withCode } from './schema-html.ts';

const STYLE = `
:root { color-scheme: light dark; --page: #ffffff; --text: #1a1a1a; --quiet: #595959; --line: #dddddd; --head: #f4f4f4; --link: #0b57d0; --get: #1b6e2e; --post: #0b57d0; --delete: #b00020 }
@media (prefers-color-scheme: dark) { :root { --page: #15181c; --text: #e6e6e6; --quiet: #a6adb5; --line: #3a4048; --head: #22272d; --link: #8ab4f8; --get: #7fd394; --post: #8ab4f8; --delete: #ff8a94 } }
html { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); scroll-padding-top: 1rem }
body { margin: 0; display: grid; grid-template-columns: 19rem minmax(0, 1fr); max-width: 1280px }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; box-sizing: border-box; padding: 1.5rem 1rem; border-right: 1px solid var(--line); font-size: .85rem }
nav ul { list-style: none; margin: 0 0 1rem; padding: 0 } nav li { margin: .2rem 0; overflow-wrap: anywhere } nav h2 { font-size: .8rem; margin: 1rem 0 .25rem; color: var(--quiet) }
main { padding: 1.5rem 2rem 4rem; min-width: 0 } a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
h1 { font-size: 1.6rem; margin: 0 0 .5rem } main h2 { margin: 2.5rem 0 0; text-transform: capitalize } h3 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere } h4 { font-size: .9rem; margin: 1rem 0 .25rem }
section { border-top: 1px solid var(--line); margin-top: 1.25rem; padding-top: 1.25rem } section p { margin: .4rem 0 }
code, pre { font: .85rem/1.5 ui-monospace, monospace } pre { background: var(--head); padding: .7rem .9rem; overflow-x: auto; border-radius: 4px }
table { border-collapse: collapse; font-size: .85rem; display: block; overflow-x: auto } th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; min-width: 4rem }
th { color: var(--quiet); font-weight: 600 } .quiet { color: var(--quiet) } .method { font-weight: 700; font-size: .8rem } .get { color: var(--get) } .post, .put { color: var(--post) } .delete { color: var(--delete) }
@media (max-width: 800px) { body { display: block } nav { position: static; height: auto; border-right: 0; border-bottom: 1px solid var(--line); padding: 1rem } main { padding: 1rem } }
`;

/** The page may load only its own style. */
export const PAGE_POLICY: string = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The page of an OpenAPI document: one HTML text without scripts or external addresses. */
export function docsPage({ info, tags = [], security = [], paths, components = {} }: ApiDocument): string {
  const schemas = components.schemas ?? {};
  const shown = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): ShownOperation => {
      const requiresToken = (operation.security ?? security).length > 0;
      return { method, path, operation, requiresToken };
    }),
  );
  const groups = tags.map(({ name }) => ({
    name,
    shown: shown.filter(({ operation }) => operation.tags?.includes(name)),
  }));
  const page = html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${info.title}: HTTP API</title>
<style>${raw(STYLE)}</style></head>
<body>
<nav aria-label="Routes">
${groups.map(
  (group) =>
    html`<h2>${group.name}</h2><ul>${group.shown.map(
      (one) =>
        html`<li><a href="#${idOf(one)}"><span class="method ${one.method}">${one.method.toUpperCase()}</span> ${one.path}</a></li>`,
    )}</ul>`,
)}
<h2>schemas</h2><ul>${Object.keys(schemas).map((name) => html`<li><a href="#schema-${name}">${name}</a></li>`)}</ul>
</nav>
<main>
<h1>${info.title}: HTTP API, version ${info.version}</h1>
<p>${withCode(info.description ?? '')}</p>
<p>The same as a document for tools: <a href="openapi.json">openapi.json</a>, OpenAPI 3.1. In the commands <code>$api</code> is
the address of the server.</p>
${groups.map((group) => html`<h2>${group.name}</h2>${group.shown.map((one) => operationSection(one, schemas))}`)}
<h2>Schemas</h2>
${Object.entries(schemas).map(
  ([name, schema]) => html`<section id="schema-${name}"><h3>${name}</h3>${fieldsTable(schema)}</section>`,
)}
</main>
</body>
</html>
`;
  return String(page);
}
