// settings.mjs PAGE: print what the settings of a unit may be, as the API's own page says it.
import { readFileSync } from "node:fs";

const { paths } = JSON.parse(readFileSync(process.argv[2], "utf8"));

/** What a form must know of one setting; fails on one that no form knows. */
function fieldOf([name, schema]) {
  const { type, ...rest } = { ...schema.anyOf?.find((one) => one.type !== "null"), ...schema };
  const unit = rest["x-unit"] ?? "";
  if (rest.enum) return { name, kind: "choice", choices: rest.enum.filter((one) => one !== null), unit };
  if (type === "boolean") return { name, kind: "switch" };
  if (type === "string" && rest.pattern) {
    return unit === "HH:MM"
      ? { name, kind: "time", pattern: rest.pattern }
      : { name, kind: "text", most: rest.maxLength, pattern: rest.pattern };
  }
  if (["number", "integer"].includes(type) && "minimum" in rest && "maximum" in rest) {
    const whole = type === "integer" ? { isWhole: true } : {};
    return { name, kind: "number", low: rest.minimum, high: rest.maximum, unit, ...whole };
  }
  throw new Error(`${name}: the API's page does not say what it may be`);
}

function settingsOf(path) {
  const { properties } = paths[path].post.requestBody.content["application/json"].schema;
  return Object.entries(properties)
    .filter(([name]) => name !== "serial")
    .map(fieldOf);
}

const listed = (name, path) =>
  `\n/** As \`POST ${path}\` takes them. */\nexport const ${name} = [\n${settingsOf(path)
    .map((field) => `  ${JSON.stringify(field)},\n`)
    .join("")}] as const;\n`;

process.stdout.write(
  "// What the settings of a unit may be. Made by `make types` of what the relay says; written by nobody.\n" +
    listed("RECORDING", "/device/config") +
    listed("CALL_HOME", "/device/call_home"),
);
