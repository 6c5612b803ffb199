// Fast pure simulation of the grid.
const MIN = 60_000, H = 3_600_000;
export const KINDS = {
  ends: { level: true, delay: 0 }, ends1: { level: true, delay: MIN }, ends5: { level: true, delay: 5 * MIN }, ends20: { level: true, delay: 20 * MIN },
  b5: { refill: 5 * MIN }, b12: { refill: 12.5 * MIN }, b30: { refill: 30 * MIN }, b60: { refill: 60 * MIN },
  both: { level: true, delay: 0, refill: 12.5 * MIN },
};
export const BATCH = { '10s': 10_000, '1m': MIN, '10m': 10 * MIN, '1h': H, '6h': 6 * H };
export const SIZE = { adv: 1, half: 0.5, tenth: 0.1, dbl: 2 };
export const CHANGE = ['none', 'halved', 'doubled', 'other'];
export const JOBS = [33, 10, 1];
export const STOPS = ['none', 'killed'];
const ADV = 1_000_000;
const UP = 1000, CREATE = 2000;
const MAXACTIVE = 90;

class Quota {
  constructor(kind, size, changes) { this.k = kind; this.size = size; this.changes = changes; this.held = []; this.heldSum = 0; this.head = 0; this.level = 0; this.at = 0; }
  sizeAt(t) { let f = 1; for (const [at, x] of this.changes) if (t >= at) f = x; return this.size * f; }
  nextChange(t) { for (const [at] of this.changes) if (at > t) return at; return Infinity; }
  advance(t) {
    if (this.k.level) while (this.head < this.held.length && this.held[this.head].rel <= t) this.heldSum -= this.held[this.head++].tok;
    if (this.k.refill) { while (this.at < t) { const to = Math.min(t, this.nextChange(this.at)); this.level = Math.max(0, this.level - this.sizeAt(this.at) / this.k.refill * (to - this.at)); this.at = to; } }
  }
  fits(t, tok) { this.advance(t); const s = this.sizeAt(t) + 1e-6;
    return (!this.k.level || this.heldSum + tok <= s) && (!this.k.refill || this.level + tok <= s); }
  take(t, tok, batchMs) { this.advance(t); if (this.k.level) { this.held.push({ rel: t + batchMs + (this.k.delay ?? 0), tok }); this.heldSum += tok; } if (this.k.refill) this.level += tok; }
  // earliest time >= t at which it fits
  when(t, tok) {
    for (let i = 0; i < 1e5; i++) {
      if (this.fits(t, tok)) return t;
      const s = this.sizeAt(t); let a = t, b = t;
      if (this.k.level && this.heldSum + tok > s) { let sum = this.heldSum, h = this.head; while (h < this.held.length && sum + tok > s + 1e-6) { sum -= this.held[h].tok; a = this.held[h].rel; h++; } if (sum + tok > s + 1e-6) a = Infinity; }
      if (this.k.refill && this.level + tok > s) b = tok > s + 1e-6 ? Infinity : t + Math.max(1, (this.level + tok - s) / (s / this.k.refill));
      const n = Math.min(Math.max(a, b), this.nextChange(t));
      if (n === Infinity) return Infinity;
      t = Math.max(n, t + 1);
    }
    return Infinity;
  }
}
function seenAge(batchMs) { let a = 0; while (a < batchMs) a += a < 60_000 ? 5000 : a < 600_000 ? 15_000 : a < 3_600_000 ? 30_000 : 60_000; return a; }

export function oracle(cell, list, changes, stop) {
  const q = new Quota(KINDS[cell.kind], ADV * SIZE[cell.size], changes);
  const batchMs = BATCH[cell.batch];
  let t = 0; const ends = [];
  let e = 0;
  for (const tok of list) {
    t += UP + CREATE;
    for (let i = 0; i < 50; i++) {
      if (stop && t > stop[0] && t < stop[1]) t = stop[1] + UP + CREATE;
      while (e < ends.length && ends[e] <= t) e++;
      if (ends.length - e >= MAXACTIVE) { t = ends[e]; continue; }
      const n = q.when(t, tok);
      if (n === Infinity) return Infinity;
      if (n === t) break; t = n;
    }
    q.take(t, tok, batchMs); ends.push(t + batchMs);
  }
  return t;
}
export function prepare(cell, n) {
  const tok = ADV / cell.jobs; const list = Array(n).fill(tok);
  const s = ADV * SIZE[cell.size];
  const olist = tok > s ? Array(Math.ceil(n * tok / (ADV / 10))).fill(ADV / 10) : list;
  const plain = oracle(cell, olist, [], undefined);
  const mid = plain / 2;
  const changes = cell.change === 'halved' ? [[mid, 0.5]] : cell.change === 'doubled' ? [[mid, 2]] : cell.change === 'other' ? [[mid, 0.5], [mid + H, 1]] : [];
  const stop = cell.stop === 'killed' ? [plain * 0.35, plain * 0.35 + H] : undefined;
  return { list, changes, stop };
}
export function pauseOf(row, first = MIN) { return row === 0 ? first : Math.min(15 * MIN, first * 2 ** (row - 1)); }

export function simulate(cell, P, n) {
  const { list, changes, stop } = prepare(cell, n);
  const q = new Quota(KINDS[cell.kind], ADV * SIZE[cell.size], changes);
  const batchMs = BATCH[cell.batch]; const lag = seenAge(batchMs);
  const jobs = list.slice().reverse(); // pop from the end
  let st = P.init(ADV); let t = 0; let active = []; let ah = 0; let activeTok = 0;
  let uploaded = false, stopped = false; const acc = []; let refused = 0, tries = 0;
  // invariant bookkeeping
  let idleSince = 0, row = 0, worstIdle = 0, worstEnd = 0, lastTry = 0, endOpen = undefined, lastRefusal = -Infinity, changed = true, tooOften = 0; let restarts = 0; const log = [];
  for (let guard = 0; jobs.length > 0; guard++) {
    if (guard > 500_000) return { ratio: Infinity, refusedShare: refused / tries, stuck: true, t, acc: acc.length };
    if (stop && !stopped && t >= stop[0]) { stopped = true; t = Math.max(t, stop[1]); for (let i = ah; i < active.length; i++) if (active[i].seen < t) active[i].seen = t; idleSince = Math.max(idleSince, t); lastTry = Math.max(lastTry, t); if (endOpen !== undefined) endOpen = t; restarts = 1; st = P.restart ? P.restart(st, t) : st; }
    while (ah < active.length && active[ah].seen <= t) { const a = active[ah++]; activeTok -= a.tok; st = P.ended(st, { tokens: a.tok, atMs: t }); changed = true; if (endOpen === undefined) endOpen = t; if (ah === active.length) idleSince = t; }
    const tok = jobs[jobs.length - 1];
    const nActive = active.length - ah;
    if (P.tooLarge?.(st, tok, t, nActive)) { jobs.pop(); const c = Math.min(10, Math.max(2, Math.ceil(tok / (ADV / 100)))); for (let i = 0; i < 10; i++) jobs.push(tok / 10); uploaded = false; if (process.env.LOG) log.push(`${(t/MIN).toFixed(1)} cut ${tok}`); continue; }
    let at = nActive >= MAXACTIVE ? Infinity : P.nextTry(st, tok, t, nActive);
    const nextSeen = ah < active.length ? active[ah].seen : Infinity;
    const nextStop = stop && !stopped ? stop[0] : Infinity;
    if (at <= t) {
      // waited for how long?
      const pause = pauseOf(row);
      if (nActive === 0) worstIdle = Math.max(worstIdle, (t - Math.max(idleSince, lastTry)) / pause);
      if (endOpen !== undefined && nActive < MAXACTIVE) { worstEnd = Math.max(worstEnd, (t - Math.max(endOpen,lastTry)) / pause); }
      endOpen = undefined;
      t += (uploaded ? 0 : UP) + CREATE; uploaded = true; tries++;
      while (ah < active.length && active[ah].seen <= t) { const a = active[ah++]; activeTok -= a.tok; st = P.ended(st, { tokens: a.tok, atMs: t }); changed = true; if (endOpen === undefined) endOpen = t; if (ah === active.length) idleSince = t; }
      if (q.fits(t, tok)) { q.take(t, tok, batchMs); jobs.pop(); acc.push(tok); active.push({ tok, seen: t + lag }); activeTok += tok; uploaded = false; st = P.accepted(st, { tokens: tok, atMs: t }); row = 0; changed = true; if (process.env.LOG) log.push(`${(t/MIN).toFixed(1)} ok`); }
      else { refused++; if (!changed && t - lastRefusal < MIN) tooOften++; changed = false; lastRefusal = t; row++; st = P.refused(st, { tokens: tok, atMs: t }); if (process.env.LOG) log.push(`${(t/MIN).toFixed(1)} no active=${(activeTok/ADV*100).toFixed(0)}%`); }
      lastTry = t;
    } else {
      const to = Math.min(at, nextSeen, nextStop);
      if (to === Infinity) return { ratio: Infinity, refusedShare: refused / Math.max(1, tries), stuck: true, hang: true, t, acc: acc.length };
      t = to;
    }
  }
  const best = oracle(cell, acc, changes, stop);
  if (process.env.LOG) console.log(log.join('\n'));
  return { ratio: t / best, refusedShare: refused / tries, refused, tries, t, best, worstIdle, worstEnd, tooOften };
}
export function cells() { const out = []; for (const kind of Object.keys(KINDS)) for (const batch of Object.keys(BATCH)) for (const size of Object.keys(SIZE)) for (const change of CHANGE) for (const jobs of JOBS) for (const stop of STOPS) out.push({ kind, batch, size, change, jobs, stop }); return out; }
export const name = (c) => Object.values(c).join(' ');
export function report(P, n = (c) => c.jobs === 33 ? 132 : 60, only) {
  const t0 = Date.now();
  const rs = cells().filter(c => !only || only(c)).map(c => ({ c, ...simulate(c, P, n(c)) }));
  const q = (xs, p) => xs.toSorted((a, b) => a - b)[Math.min(xs.length - 1, Math.floor(xs.length * p))];
  const by = rs.toSorted((a, b) => b.ratio - a.ratio);
  const rat = rs.map(r => r.ratio), ref = rs.map(r => r.refusedShare);
  console.log(`${P.name}: ${rs.length} cells ${Date.now() - t0}ms  ratio med ${q(rat, .5).toFixed(3)} p95 ${q(rat, .95).toFixed(3)} max ${q(rat, 1).toFixed(2)} (${name(by[0].c)})  refused med ${(q(ref, .5) * 100).toFixed(1)}% p75 ${(q(ref, .75) * 100).toFixed(0)}%  idle>pause ${rs.filter(r => r.worstIdle > 1.0001).length} end>pause ${rs.filter(r => r.worstEnd > 1.0001).length} tooOften ${rs.filter(r => r.tooOften > 0).length} stuck ${rs.filter(r => r.stuck).length}`);
  return { rs, by };
}
export function breakdown(rs) {
  for (const dim of ['kind', 'batch', 'size', 'change', 'jobs', 'stop']) {
    const g = rs.reduce((g,r)=>((g[r.c[dim]]??=[]).push(r),g),{});
    console.log(dim.padEnd(7), Object.entries(g).map(([k, x]) => { const s = x.map(r => r.ratio).sort((a, b) => a - b), f = x.map(r => r.refusedShare).sort((a, b) => a - b); return `${k}: ${s[s.length >> 1].toFixed(2)}/${s[Math.floor(s.length * .95)].toFixed(2)}/${s.at(-1).toFixed(1)} r${(f[f.length >> 1] * 100).toFixed(0)}%`; }).join('  '));
  }
}
