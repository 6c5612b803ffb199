import { report, breakdown, name, pauseOf } from './grid.mjs';
const MIN = 60_000;
const K = Object.assign({ N: 25, up: 1.03, down: 0.93, meas: 5, G: true, R: true, bis: 1.1, cut:6, marg:1 }, JSON.parse(process.argv[2] ?? '{}'));
// full: since when and with what accepted/ended since the queue was known to be full
const byEnds = (s, tok) => s.trust && s.full && s.full.ends - s.full.acc >= tok - 1;
const dueTime = (s, tok) => (K.R && s.rate && s.full) ? s.full.at + (s.full.acc + tok) / s.rate : Infinity;
export const P1 = {
  name: 'P1 ' + JSON.stringify(K),
  init: () => ({ row: 0, lastRef: -Infinity, firstEnd: undefined, lastEnd: -Infinity, lastTry: 0, full: undefined, trust: true, rate: undefined, since: 0, most: 0, chain: undefined, lo: 0, hi: undefined }),
  accepted: (s, { tokens, atMs }) => {
    const n = { ...s, row: 0, lastTry: atMs, firstEnd: undefined, since: s.since + 1, most: Math.max(s.most, tokens), chain: undefined };
    if (!s.full) return n;
    n.full = { ...s.full, acc: s.full.acc + tokens };
    const e = byEnds(s, tokens), d = atMs >= dueTime(s, tokens);
    if (d && !e) n.rate = s.rate * K.up;
    if (s.row > 0 && s.chain !== undefined) {
      // room came after a chain of refusals
      const x = atMs - s.chain;
      if (!e) { n.hi = x; n.lo = Math.min(s.lo > x ? 0 : Math.max(s.lo, s.lastRef - s.chain), x); }
      if (s.full.ends - s.full.acc >= tokens - 1) n.trust = true;
    }
    if (!e && !d) n.full = undefined; // unexpected: burst
    return n;
  },
  refused: (s, { tokens, atMs }) => {
    const n = { ...s, row: s.row + 1, lastRef: atMs, lastTry: atMs, firstEnd: undefined, chain: s.chain ?? atMs };
    const e = byEnds(s, tokens), d = atMs >= dueTime(s, tokens);
    if (s.last && s.last.at < atMs) { }
    const elapsed = s.mark ? atMs - s.mark.at : 0;
    if (!s.full || d || e || s.since >= K.N) {
      // a full point
      const acc = s.full ? s.full.acc : s.burst ?? 0;
      n.mark = { at: atMs };
      n.full = { at: atMs, acc: 0, ends: 0 };
      if (s.full && s.full.acc >= K.meas * tokens) n.rate = s.full.acc / (atMs - s.full.at) * K.marg;
      else if (d) n.rate = s.rate * K.down;
      if (e) n.trust = false;
    }
    if (s.hi && atMs - n.chain > s.hi * 0.9) { n.lo = Math.max(s.lo, atMs - n.chain); if (n.lo >= s.hi) n.hi = (n.lo) * 1.3; }
    else if (s.hi) n.lo = Math.max(s.lo, atMs - n.chain);
    n.since = 0;
    return n;
  },
  ended: (s, { tokens, atMs }) => ({ ...s, firstEnd: s.firstEnd ?? atMs, lastEnd: atMs, full: s.full && { ...s.full, ends: s.full.ends + tokens } }),
  nextTry: (s, tok, now, n) => {
    if (!s.full) return s.row === 0 ? 0 : s.lastRef + pauseOf(s.row);
    const p = pauseOf(s.row);
    const cs = [];
    const notBefore = s.row === 0 ? 0 : s.firstEnd !== undefined && s.row === 1 ? 0 : s.lastRef + MIN;
    if (byEnds(s, tok) && s.row < 2) cs.push(0);
    if (s.row === 0 && s.since >= K.N) cs.push(0);
    if (s.row < 2) cs.push(dueTime(s, tok));
    if (K.G && s.hi && s.row > 0) { const g = s.hi / Math.max(1, s.lo) > K.bis && s.lo>0 ? Math.sqrt(s.hi * s.lo) : s.hi; cs.push(s.chain + g > s.lastRef ? s.chain + g : s.chain + s.hi > s.lastRef ? s.chain + s.hi : Infinity); }
    let at = Math.max(Math.min(...cs), notBefore);
    if (n === 0) at = Math.min(at, Math.max(s.lastEnd, s.lastTry) + p);
    if (s.firstEnd !== undefined) at = Math.min(at, Math.max(s.firstEnd, s.lastTry) + p);
    if (s.row > 0 && !s.rate) at = Math.min(at, s.lastRef + p);
    return at;
  },
  tooLarge: (s, tok, now, n) => n === 0 && tok > 20_000 && s.row >= 2 && (tok > s.most || (s.row >= K.cut)),
};
const { rs, by } = report(P1); if (!process.env.Q) breakdown(rs);
if (!process.env.Q) for (const r of by.slice(0, 12)) console.log(name(r.c), r.ratio.toFixed(2), (r.refusedShare * 100).toFixed(0) + '%', r.stuck ?? '');
