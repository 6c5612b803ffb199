import { report, breakdown, name, pauseOf } from './grid.mjs';
// P0: limit = active at refusal, grows by probe; pauses; end -> try
const MIN = 60_000;
export const P0 = {
  name: 'P0 react',
  init: () => ({ row: 0, lastRef: -Infinity, endSince: false, lastChange: 0, credit: Infinity, most: 0, first: undefined, big: Infinity }),
  accepted: (s, { tokens, atMs }) => ({ ...s, row: 0, credit: Math.max(0, s.credit - tokens) , most: Math.max(s.most, tokens), endSince: false, credit: Infinity, first: undefined }),
  refused: (s, { tokens, atMs }) => ({ ...s, row: s.row + 1, lastRef: atMs, endSince: false, credit: 0, first: s.first ?? atMs }),
  ended: (s, { tokens, atMs }) => ({ ...s, endSince: true, credit: s.credit + tokens }),
  nextTry: (s, tok, now, n) => s.row === 0 ? 0 : s.endSince && s.row === 1 ? 0 : s.lastRef + pauseOf(s.row),
  tooLarge: (s, tok, now, n) => n === 0 && tok > 20_000 && s.row >= 2 && (tok > s.most || (s.row >= 6)),
};
const { rs, by } = report(P0); breakdown(rs);
for (const r of by.slice(0, 8)) console.log(name(r.c), r.ratio.toFixed(2), (r.refusedShare * 100).toFixed(0) + '%', r.stuck ?? '');
