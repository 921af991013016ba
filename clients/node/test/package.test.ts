// What the package promises to its users.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { VERSION } from "../src/index.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const manifest = JSON.parse(readFileSync(`${root}package.json`, "utf8"));

test("the version is that of package.json", () => {
  assert.equal(VERSION, manifest.version);
});

test("the first example of README.md is examples/quickstart.ts, shortened", () => {
  const readme = readFileSync(`${root}README.md`, "utf8");
  const [, example = ""] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
  const quickstart = readFileSync(`${root}examples/quickstart.ts`, "utf8");
  const lines = example.split("\n").filter((line) => line.trim() !== "");
  assert.ok(lines.length >= 5 && lines.length <= 10);
  for (const line of lines) {
    assert.ok(quickstart.includes(line), line);
  }
});

test("every exported item, and every member of it, has a comment", () => {
  const entry = `${root}dist/src/index.d.ts`;
  const program = ts.createProgram([entry], { module: ts.ModuleKind.NodeNext, skipLibCheck: true });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(entry);
  const module = source && checker.getSymbolAtLocation(source);
  assert.ok(module);
  const bare: string[] = [];
  const inspect = (symbol: ts.Symbol, name: string) => {
    const declared = symbol.declarations?.find((each) => each.getSourceFile().fileName.includes("/dist/src/"));
    if (declared === undefined || declared.getSourceFile().fileName.includes("/gen/")) {
      return;
    }
    const said = symbol.getDocumentationComment(checker).length > 0 || symbol.getJsDocTags(checker).length > 0;
    const modifiers = ts.canHaveModifiers(declared) ? ts.getModifiers(declared) : undefined;
    if (!said && !modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword)) {
      bare.push(name);
    }
  };
  for (const exported of checker.getExportsOfModule(module)) {
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    inspect(symbol, symbol.name);
    for (const member of symbol.members?.values() ?? []) {
      const isName = /^[a-z]\w*$/i.test(member.name) && !["kind", "name", "__constructor"].includes(member.name);
      const isMember = member.flags & (ts.SymbolFlags.Property | ts.SymbolFlags.Method | ts.SymbolFlags.Accessor);
      if (isName && isMember) {
        inspect(member, `${symbol.name}.${member.name}`);
      }
    }
  }
  assert.deepEqual(bare, []);
});
