// The page at `/docs`: the HTTP API, as the server itself describes it in `/openapi.json`.

import { ask, reason } from "./api.js";
import { byId, element, show } from "./elements.js";

/** A section for each path, with its requests. */
function described(api) {
  return Object.entries(api.paths).map(([path, requests]) =>
    element("section", {}, ...Object.entries(requests).flatMap(([method, request]) => shown(path, method, request, api))),
  );
}

function shown(path, method, request, api) {
  return [
    element("h2", {}, `${method.toUpperCase()} ${path}`),
    element("p", {}, ...prose(request.description ?? request.summary ?? "")),
    ...table(["Parameter", "Type", "Meaning"], (request.parameters ?? []).map(parameter)),
    ...table(["Body", "Type"], fields(request.requestBody, api)),
    ...table(["Status", "Answer", "Type"], Object.entries(request.responses).map(answer)),
  ];
}

function parameter({ name, required, schema, description, in: place }) {
  return [`${name} (${place}${required ? ", required" : ""})`, typeOf(schema), description ?? ""];
}

function fields(body, api) {
  const schema = resolved(body?.content["application/json"]?.schema ?? {}, api);
  return Object.entries(schema.properties ?? {}).map(([name, type]) => [name, typeOf(type)]);
}

function answer([status, { description, content = {} }]) {
  const types = Object.entries(content).map(([media, { schema }]) => [media, schema && typeOf(schema)]);
  return [status, description, types.map((type) => type.filter(Boolean).join(": ")).join(", ")];
}

function resolved(schema, api) {
  return schema.$ref ? api.components.schemas[nameOf(schema.$ref)] : schema;
}

function typeOf(schema) {
  if (schema.$ref) return nameOf(schema.$ref);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.map(typeOf).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`;
  return [schema.type === "object" ? schema.title : schema.type, schema.format].filter(Boolean).join(", ");
}

function nameOf(reference) {
  return reference.split("/").pop();
}

/** What an answer is made of: a section for each shape. */
function shapes(api) {
  return Object.entries(api.components.schemas).map(([name, schema]) =>
    element(
      "section",
      {},
      element("h2", {}, name),
      element("p", {}, ...prose(schema.description ?? "")),
      ...table(["Field", "Type"], Object.entries(schema.properties ?? {}).map(([field, type]) => [field, typeOf(type)])),
    ),
  );
}

function table(columns, rows) {
  if (!rows.length) return [];
  const head = element("tr", {}, ...columns.map((column) => element("th", { scope: "col" }, column)));
  const body = rows.map(([first, ...rest]) =>
    element("tr", {}, element("td", {}, element("code", {}, first)), ...rest.map((cell) => element("td", {}, ...prose(cell)))),
  );
  return [element("table", {}, element("thead", {}, head), element("tbody", {}, ...body))];
}

/** Text in which `code` stands between backquotes. */
function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

try {
  const api = await ask("/openapi.json");
  byId("requests").append(...described(api), ...shapes(api));
} catch (error) {
  byId("trouble").textContent = reason(error);
  show(true, byId("trouble"));
}
