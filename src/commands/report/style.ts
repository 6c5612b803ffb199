import { colourOf, JOB_STATES } from "../../manifest/states.ts";

/** The page's own style: follows the reader's dark or light, and any width from a phone's on. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1b1f24; --soft: #5b6470; --line: #d9dee5;
  --exported: #8a94a3; --embedding: #b0578d; --submitting: #c98a1b; --submitted: #2f6fd0; --succeeded: #7a56c2;
  --downloaded: #1d8f8f; --imported: #2a8a4a; --bad: #c23b3b; --shade: #00000026;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12151a; --card: #1a1f26; --ink: #e6eaf0; --soft: #98a3b3; --line: #2c343f;
    --exported: #7d8898; --embedding: #d486b6; --submitting: #d9a441; --submitted: #5f97ee; --succeeded: #a385e6;
    --downloaded: #3fb5b5; --imported: #4cba70; --bad: #e26a6a; --shade: #00000080;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 .75rem; }
p { margin: .25rem 0; }
.soft, figcaption, .x, .y { color: var(--soft); font-size: .875rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem 1.1rem 1.1rem; margin-top: 1rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1rem; }
.figure b { display: block; font-size: 1.45rem; font-weight: 600; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.verdict { border-left: .35rem solid var(--tone); }
.verdict h2 { font-size: 1.2rem; } .good { --tone: var(--imported); } .working { --tone: var(--submitted); }
.verdict.bad { --tone: var(--bad); } code { font-size: .85em; padding: .15em .5em; border-radius: .3em;
  background: var(--page); border: 1px solid var(--line); overflow-wrap: anywhere; }
.bar { display: flex; height: .8rem; border-radius: .4rem; background: var(--line); overflow: hidden; margin: .6rem 0; }
.bar i { display: block; height: 100%; background: var(--imported); } .bar i.bad { background: var(--bad); }
b.bad, td.bad { color: var(--bad); font-weight: 600; }
.chart { margin: 0; }
figcaption, .keys { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin-bottom: .5rem; }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; border-radius: .2em;
  margin-right: .4em; background: var(--c, var(--soft)); }
.key.dashed::before { height: 0; border-top: 2px dashed var(--bad); background: none; vertical-align: .3em; }
.plot { display: grid; grid-template-columns: 4.4rem 1fr; gap: 0 .6rem; }
.y { display: flex; flex-direction: column; justify-content: space-between; text-align: right; }
.x { grid-column: 2; display: flex; justify-content: space-between; gap: 1rem; margin-top: .25rem; }
svg { width: 100%; height: 11rem; display: block; border-bottom: 1px solid var(--line); }
path { vector-effect: non-scaling-stroke; fill: none; }
.grid { stroke: var(--line); stroke-width: 1; }
.line { stroke: var(--c); stroke-width: 2; }
.area { fill: var(--c); fill-opacity: .13; }
.limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 6 5; }
${JOB_STATES.map((state) => `.${state} { --c: var(--${colourOf(state)}); }`).join("\n")}
.lives { display: grid; grid-template-columns: 4.4rem 1fr; gap: .28rem .6rem; align-items: center; }
.lives span { text-align: right; } section > .x { margin-left: 5rem; }
details { margin-bottom: .4rem; } summary { color: var(--soft); font-size: .875rem; cursor: pointer; }
.lives span { font-variant-numeric: tabular-nums; font-size: .875rem; }
.life { position: relative; height: .8rem; background: color-mix(in srgb, var(--line) 45%, transparent);
  border-radius: .2rem; }
.life i { position: absolute; top: 0; bottom: 0; background: var(--c); min-width: 2px; }
.life i.end { width: .5rem; margin-left: -.25rem; border-radius: .2rem; outline: 2px solid var(--card); }
/* a shadow at the side where a table goes on */
.scroll { overflow-x: auto; background:
  linear-gradient(to right, var(--card) 40%, transparent) left / 2rem 100% no-repeat local,
  linear-gradient(to left, var(--card) 40%, transparent) right / 2rem 100% no-repeat local,
  linear-gradient(to right, var(--shade), transparent) left / .8rem 100% no-repeat,
  linear-gradient(to left, var(--shade), transparent) right / .8rem 100% no-repeat; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.state { white-space: nowrap; } .state::before { content: ""; display: inline-block; width: .6em;
  height: .6em; border-radius: 50%; margin-right: .45em; background: var(--c); }
.date { white-space: nowrap; }
.ids { overflow-wrap: anywhere; min-width: 8rem; } .words { min-width: 13rem; }
`;
