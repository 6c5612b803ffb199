#!/usr/bin/env sh
":" //; exec /usr/bin/env node -- "$0" "$@"
// A shell reads the second line and gives way to Node, for which it is a comment. Without the two dashes Node
// takes --env-file for its own wherever it stands; env's -S, which could pass them, Alpine's has not.
// Only syntax that Node 12 can read, so that an old one gets to say that it is too old.
import fs from "node:fs";
import module from "node:module";
import process from "node:process";
import url from "node:url";

const NEEDED = [22, 18];
const [major, minor] = process.versions.node.split(".").map(Number);

if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  process.stderr.write(
    "vecfill needs Node " +
      NEEDED.join(".") +
      " or newer; this is " +
      process.version +
      ".\n" +
      "hint: Install a current one from https://nodejs.org, then run the same command again.\n",
  );
  process.exitCode = 2;
} else if (!fs.existsSync(url.fileURLToPath(new URL("../dist/cli.js", import.meta.url)))) {
  process.stderr.write(
    "This checkout of vecfill is not built.\n" +
      "hint: Run `npm run build` once, or from the source: `npm run dev -- jobs`.\n",
  );
  process.exitCode = 2;
} else {
  // compiling is a third of what a short command takes: the next one finds it done. In a folder of the
  // user's own, since what lies in it is run.
  const { HOME, XDG_CACHE_HOME } = process.env;
  const caches = XDG_CACHE_HOME || (HOME && HOME + "/.cache");
  if (caches) module.enableCompileCache(caches + "/vecfill");
  // until a command listens itself: the same exit code from the first line on
  ["SIGINT", "SIGTERM", "SIGHUP"].forEach((name) => {
    process.on(name, () => {
      if (process.listenerCount(name) === 1) process.exit(130);
    });
  });
  void import("../dist/cli.js").then((cli) => cli.main());
}
