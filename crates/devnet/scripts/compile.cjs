// Compiles Solidity sources with solc-js and gathers the creation code of the named contracts.
//
//   node -e "<this text>" <package.json of the installed packages> <request file> <output file>
//
// The request is { input, contracts, artifacts, modules }: a standard JSON input whose sources may import from the
// installed packages, from keys to `file:Name` of a compiled contract or to the path of a package's artifact, and
// from keys to a package's module that exports creation code, the names of its exports, and the address (without 0x)
// of the one library that they call. The output maps every key to creation code in hexadecimal with 0x, or, for a
// module, to an object of it by name.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");

const [packageJson, requestFile, outputFile] = process.argv.slice(1);
const installed = createRequire(packageJson);
const modules = path.join(path.dirname(packageJson), "node_modules");
const request = JSON.parse(fs.readFileSync(requestFile, "utf8"));

function readImport(name) {
  try {
    return { contents: fs.readFileSync(path.join(modules, name), "utf8") };
  } catch (error) {
    return { error: error.message };
  }
}

const solc = installed("solc17");
const output = JSON.parse(solc.compile(JSON.stringify(request.input), { import: readImport }));
const errors = (output.errors ?? []).filter((error) => error.severity === "error");
if (errors.length > 0) {
  console.error(errors.map((error) => error.formattedMessage).join("\n"));
  process.exit(1);
}

const code = {};
for (const [key, name] of Object.entries(request.contracts)) {
  const colon = name.lastIndexOf(":");
  code[key] = `0x${output.contracts[name.slice(0, colon)][name.slice(colon + 1)].evm.bytecode.object}`;
}
for (const [key, file] of Object.entries(request.artifacts)) {
  code[key] = JSON.parse(readImport(file).contents).bytecode;
}
for (const [key, { module, names, library }] of Object.entries(request.modules)) {
  const exported = installed(module);
  const linked = (name) => exported[name].replaceAll(/__\$[0-9a-f]{34}\$__/g, library);
  code[key] = Object.fromEntries(names.map((name) => [name, linked(name)]));
}
fs.writeFileSync(outputFile, JSON.stringify(code));
