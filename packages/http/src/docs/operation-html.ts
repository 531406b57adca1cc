import { html } from 'hono/html';
import type { Content, Operation, Schema } from './document.ts';
import { fieldsTable, type Html, meaningText, refName, typeText, withCode } from './schema-html.ts';

/** One operation of the document. */
export interface ShownOperation {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
  /** Whether the server asks for a token. */
  readonly requiresToken: boolean;
}

/** The section of an operation: parameters, body, answers and a request for the shell. */
export function operationSection(shown: ShownOperation, schemas: Readonly<Record<string, Schema>>): Html {
  const { method, path, operation } = shown;
  const { parameters = [], requestBody, responses, summary, description } = operation;
  return html`<section id="${idOf(shown)}">
    <h3><span class="method ${method}">${method.toUpperCase()}</span> <code>${path}</code></h3>
    <p>${summary ?? ''}.${description === undefined ? '' : html` ${withCode(description)}`}</p>
    ${parameters.length === 0 ? '' : parametersTable(parameters)}
    ${requestBody === undefined ? '' : bodyPart(requestBody.content, requestBody.required === true, schemas)}
    <h4>Answers</h4>
    <table><tbody>${Object.entries(responses).map(
      ([status, response]) => html`<tr>
        <td><code>${status}</code></td>
        <td>${response.description}</td>
        <td>${response.content === undefined ? '' : contentTypes(response.content)}</td>
      </tr>`,
    )}</tbody></table>
    <pre><code>${requestText(shown, schemas)}</code></pre>
  </section>`;
}

/** The anchor of an operation on the page. */
export function idOf({ method, path, operation }: Pick<ShownOperation, 'method' | 'path' | 'operation'>): string {
  return operation.operationId ?? `${method}-${path.replaceAll(/\W+/g, '-')}`;
}

function parametersTable(parameters: NonNullable<Operation['parameters']>): Html {
  return html`<h4>Parameters</h4>
    <table>
      <thead><tr><th>Name</th><th>In</th><th>Type</th><th>Meaning</th></tr></thead>
      <tbody>${parameters.map(
        ({ name, in: place, schema = {}, description, example }) => html`<tr>
          <td><code>${name}</code></td>
          <td>${place}</td>
          <td>${typeText(schema)}</td>
          <td>${meaningText({ ...schema, example: example ?? schema.example }, description ?? schema.description)}</td>
        </tr>`,
      )}</tbody>
    </table>`;
}

function bodyPart(content: Content, isRequired: boolean, schemas: Readonly<Record<string, Schema>>): Html {
  const [first] = Object.values(content);
  return html`<h4>Body${isRequired ? '' : ', optional'}: ${Object.keys(content).join(' or ')}</h4>
    ${first?.schema === undefined ? '' : fieldsTable(resolved(first.schema, schemas))}`;
}

function contentTypes(content: Content): Html {
  return html`${Object.entries(content).map(
    ([type, { schema = {} }]) => html`<span class="quiet">${type}</span> ${typeText(schema)}`,
  )}`;
}

/** The request as a command for the shell. */
function requestText(shown: ShownOperation, schemas: Readonly<Record<string, Schema>>): string {
  const { method, path, operation, requiresToken } = shown;
  const url = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const found = operation.parameters?.find((parameter) => parameter.name === name);
    return String(found?.example ?? found?.schema?.example ?? name);
  });
  const content = operation.requestBody?.content;
  const lines = [
    `curl --fail-with-body${method === 'get' ? '' : ` -X ${method.toUpperCase()}`} "$api${url}"`,
    ...(requiresToken ? ['-H "authorization: Bearer $CHECKPOINT_ENGINE_TOKEN"'] : []),
    ...(content === undefined ? [] : bodyLines(content, schemas)),
  ];
  return lines.join(' \\\n  ');
}

function bodyLines(content: Content, schemas: Readonly<Record<string, Schema>>): string[] {
  const [[type, { schema = {} }] = ['', {}]] = Object.entries(content);
  if (type !== 'application/json') return [`-H 'content-type: ${type}'`, '--data-binary @FILE'];
  const { properties = {} } = resolved(schema, schemas);
  const examples = Object.entries(properties).filter(([, { example }]) => example !== undefined);
  const body = Object.fromEntries(examples.map(([name, { example }]) => [name, example]));
  return [`-H 'content-type: ${type}'`, `-d '${JSON.stringify(body)}'`];
}

function resolved(schema: Schema, schemas: Readonly<Record<string, Schema>>): Schema {
  return schemas[refName(schema) ?? ''] ?? schema;
}
