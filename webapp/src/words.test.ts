import ts from "typescript";
import { expect, it } from "vitest";

const SOURCES = import.meta.glob<string>(["./**/*.{ts,tsx}", "!./**/*.{test,d}.ts", "!./**/made.ts", "!./words.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});
/** Attributes that people read or hear. */
const READ_OUT = new Set([
  "aria-label",
  "aria-description",
  "aria-roledescription",
  "alt",
  "label",
  "placeholder",
  "title",
]);
const LETTERS = /\p{L}/u;
/** Classes and fonts, which are more than one word as well. */
const FOR_MACHINES = /^number column-$|sans-serif$/;
const SENTENCE = /\p{L}{2,},? \p{L}{2,}/u;

/** Texts of a source file that are for people and stand in it, with their lines. */
function textsOf(name: string, source: string): string[] {
  const file = ts.createSourceFile(
    name,
    source,
    ts.ScriptTarget.ESNext,
    true,
    name.endsWith("x") ? ts.ScriptKind.TSX : ts.ScriptKind.TS,
  );
  const found: string[] = [];
  const visit = (node: ts.Node, isShown: boolean): void => {
    if (ts.isImportDeclaration(node) || ts.isTypeNode(node)) return;
    let isInside = isShown;
    if (ts.isJsxAttribute(node)) {
      const attribute = node.name.getText();
      if (attribute === "class") return;
      isInside = READ_OUT.has(attribute) && node.initializer !== undefined && ts.isStringLiteral(node.initializer);
    } else if (ts.isJsxExpression(node)) {
      isInside =
        ts.isJsxElement(node.parent) && node.expression !== undefined && ts.isStringLiteralLike(node.expression);
    } else if (ts.isJsxText(node)) isInside = true;
    const isText =
      ts.isJsxText(node) ||
      ts.isStringLiteralLike(node) ||
      ts.isTemplateHead(node) ||
      ts.isTemplateMiddleOrTemplateTail(node);
    if (isText && (isInside ? LETTERS : SENTENCE).test(node.text) && !FOR_MACHINES.test(node.text)) {
      found.push(`${name}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}: ${node.text.trim()}`);
    }
    ts.forEachChild(node, (child) => visit(child, isInside));
  };
  visit(file, false);
  return found;
}

it("knows a text for people from a text for machines", () => {
  const source = `import "./a file name";
    const a = <p class="faint alarm" id="a" title={words.title}>{words.text} · {" "}<b aria-label="Close it">Text</b>{"more"}</p>;
    const b = <input placeholder="Host" autocomplete="off" class={isBad ? "one two" : ""} />;
    const c = \`\${a} of them \${b}\`, d = "no-store", e = "The relay is gone", f: "of no matter" = g;`;
  expect(textsOf("a.tsx", source).map((found) => found.replace(/^.*?: /, ""))).toEqual([
    "Close it",
    "Text",
    "more",
    "Host",
    "of them",
    "The relay is gone",
  ]);
});

it("finds every text that people read in words.ts", () => {
  expect(Object.keys(SOURCES).length).toBeGreaterThan(60);
  expect(Object.entries(SOURCES).flatMap(([name, source]) => textsOf(name, source))).toEqual([]);
});
