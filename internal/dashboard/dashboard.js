// Texts reach the page as text nodes and attributes alone: names, reasons and errors are other people's, and the Content-Security-Policy forbids the rest.
const $ = (id) => document.getElementById(id);
const seconds = 1000, minute = 60, hour = 3600, day = 86400;
const whileBusy = 5 * seconds, otherwise = 30 * seconds, patience = 60 * seconds;
const entra = document.documentElement.dataset.login === 'entra';
const keyName = 'apim-dr key';

// ---- small things -------------------------------------------------------------------------------------------------------------------------------------

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  element.append(...children.flat(Infinity).filter(Boolean));
  return element;
}
const h = (tag, attributes, ...children) => furnish(document.createElement(tag), attributes, children);
const s = (tag, attributes, ...children) => furnish(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

// say writes a text only when it is another one: nothing is laid out, and no screen reader hears, what has not changed.
const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };

// fill builds what an element holds anew only when what it is built from has changed.
const built = new WeakMap();
function fill(element, from, build) {
  const key = JSON.stringify(from) ?? '';
  if (built.get(element) === key) return;
  built.set(element, key);
  element.replaceChildren(...[build(from)].flat(Infinity).filter(Boolean));
}

const plural = (n, one, many = one + 's') => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

// lasting is a duration as a person says it: two units at most.
function lasting(sec) {
  sec = Math.max(0, Math.round(sec));
  const two = (big, a, small, b) => `${Math.floor(sec / big)} ${a}` + (Math.floor((sec % big) / small) ? ` ${Math.floor((sec % big) / small)} ${b}` : '');
  if (sec < minute) return `${sec} s`;
  if (sec < hour) return two(minute, 'min', 1, 's');
  if (sec < 2 * day) return two(hour, 'h', minute, 'min');
  return two(day, 'd', hour, 'h');
}
const age = (sec) => (sec < minute ? `${Math.max(0, Math.round(sec))} s` : sec < hour ? `${Math.floor(sec / minute)} min` : lasting(sec));

const dateTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const moment = (at) => h('time', { datetime: at, title: at }, dateTime.format(new Date(at)));

// now is the server's: the clock here may be wrong.
let answer = null; // the last one, with the time of its arrival here
const now = () => (answer ? Date.parse(answer.at) + (Date.now() - answer.arrived) : Date.now());
const since = (at) => (now() - Date.parse(at)) / seconds;

const icons = { good: 'M2 6.5 5 9.5 10.5 3', bad: 'M2.5 2.5 9.5 9.5M9.5 2.5 2.5 9.5', look: 'M6 1.5V7M6 10.4v.1' };
const badge = (kind, text) => h('span', { class: `badge ${kind}` }, s('svg', { viewBox: '0 0 12 12', 'aria-hidden': 'true' }, s('path', { d: icons[kind] })), text);

// ---- what a service is in ---------------------------------------------------------------------------------------------------------------------------

const same = (a, b) => (a ?? '').toLowerCase() === (b ?? '').toLowerCase();
const kindOf = (operation) => /^\d{8}-([a-z]+)-/.exec(operation ?? '')?.[1] ?? 'operation';
const ended = { failed: 'failed', rejected: 'was rejected', unknown: 'ended unknown' };

// toLookAt are the reasons to look at a service, protected or not.
function toLookAt(p) {
  const list = [];
  if (p.lastOutcome && p.lastOutcome.outcome !== 'succeeded') list.push(`the last ${kindOf(p.lastOutcome.operation)} ${ended[p.lastOutcome.outcome] ?? p.lastOutcome.outcome}`);
  if (p.lastDrill && p.lastDrill.outcome !== 'succeeded' && p.lastDrill.operation !== p.lastOutcome?.operation) list.push(`the last drill ${ended[p.lastDrill.outcome] ?? p.lastDrill.outcome}`);
  return list;
}
const kind = (p) => (!p.protected ? 'bad' : toLookAt(p).length || p.survivesPrimaryLoss?.survives === 'no' ? 'look' : 'good');
const share = (p) => (p.newestGood ? (p.ageSeconds ?? 0) / p.rpoSeconds : Infinity);
const rank = { bad: 0, look: 1, good: 2 };

// worstFirst: those without protection by how far they are past their RPO, the others by name, so that they keep their places.
function worstFirst(a, b) {
  const x = kind(a), y = kind(b);
  if (x !== y) return rank[x] - rank[y];
  const [p, q] = [share(a), share(b)];
  if (x === 'bad' && p !== q) return q - p;
  return a.service.localeCompare(b.service);
}

// members are the instances of a service, in lower case.
const members = (p) => new Set([p.service, p.active, ...(p.pairs ?? []).flatMap((pair) => [...pair.name.split('~'), pair.home])].map((n) => n.toLowerCase()));

// ---- an operation in flight -------------------------------------------------------------------------------------------------------------------------

const operations = new Map(); // by id, those that are shown
const named = (op) => `${op.kind} ${op.kind === 'backup' ? 'of' : 'into'} ${op.service}`;

class Running {
  constructor() {
    this.what = h('span', { class: 'what' });
    this.fillIn = h('i');
    this.bar = h('span', { class: 'bar', role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100 }, this.fillIn);
    this.time = h('span', { class: 'time' });
    this.why = h('span', { class: 'why' });
    this.root = h('div', { class: 'op' }, this.what, this.bar, this.time, this.why);
  }
  update(op, row) {
    this.op = op;
    const first = op.verb === 'backup' && op.kind !== 'backup' ? ', its backup first' : '';
    this.name = (row && same(row, op.service) ? op.kind : named(op)) + first;
    say(this.what, `${this.name}, ${op.phase}`);
    this.bar.setAttribute('aria-label', this.name);
    this.root.title = op.id;
    say(this.why, op.waiting ?? '');
    this.tick();
  }
  // tick moves the bar with the clock, between two answers too.
  tick() {
    const { startedAt, createdAt, usualSeconds } = this.op;
    const took = since(startedAt ?? createdAt), late = Boolean(startedAt && usualSeconds && took > usualSeconds);
    const text = !startedAt ? `for ${lasting(took)}, not begun at Azure`
      : late ? `${lasting(took)}, longer than usual (${lasting(usualSeconds)})`
      : usualSeconds ? `${lasting(took)} of usually ${lasting(usualSeconds)}` : `${lasting(took)}, what is usual is not known`;
    say(this.time, text);
    this.bar.setAttribute('aria-valuetext', text);
    this.root.classList.toggle('late', late);
    this.bar.classList.toggle('open', Boolean(startedAt) && !usualSeconds);
    if (startedAt && usualSeconds) {
      const percent = Math.min(100, (100 * took) / usualSeconds);
      this.fillIn.style.width = `${percent}%`;
      this.bar.setAttribute('aria-valuenow', Math.round(percent));
    } else {
      this.fillIn.style.width = '';
      this.bar.removeAttribute('aria-valuenow');
    }
  }
}

function showRunning(slot, list, row) {
  const views = list.map((op) => {
    if (!operations.has(op.id)) operations.set(op.id, new Running());
    const view = operations.get(op.id);
    view.update(op, row);
    return view.root;
  });
  if (views.length !== slot.children.length || views.some((v, i) => slot.children[i] !== v)) slot.replaceChildren(...views);
}

// ---- a service ---------------------------------------------------------------------------------------------------------------------------------------

class Row {
  constructor(name) {
    this.state = h('div', { class: 'badges' });
    this.meta = h('p', { class: 'meta' });
    this.level = h('i');
    this.meter = h('div', { class: 'meter', role: 'meter', 'aria-label': 'age of the newest good recovery point, of its RPO', 'aria-valuemin': 0, 'aria-valuemax': 100 }, this.level, h('b'));
    this.age = h('p');
    this.days = h('div');
    this.drills = h('div');
    this.survives = h('div');
    this.lines = h('div', { class: 'lines' });
    this.ops = h('div', { class: 'ops' });
    this.inShort = h('summary');
    this.facts = h('dl');
    this.more = h('details', {}, this.inShort, this.facts);
    this.more.addEventListener('toggle', () => this.showFacts());
    const cell = (label, ...children) => h('div', {}, h('span', { class: 'label' }, label), children);
    this.root = h('li', { class: 'service' }, h('article', { class: 'row' },
      h('div', {}, h('h3', {}, name), this.meta, this.state), cell('newest good recovery point', this.meter, this.age), cell('last 30 days', this.days),
      cell('drills', this.drills), cell('if its region is lost', this.survives), this.lines, this.ops, this.more));
  }

  update(p, running) {
    this.p = p;
    this.busy = running.length > 0;
    this.kind = kind(p);
    this.text = [p.service, p.active, p.plan].join('\n').toLowerCase();
    this.root.className = `service ${this.kind}`;
    fill(this.state, [p.protected, toLookAt(p)], ([isProtected, looks]) => [
      isProtected ? badge('good', 'protected') : badge('bad', 'not protected'), looks.map((text) => badge('look', text))]);
    fill(this.meta, [p.plan, p.service, p.active], ([plan, service, active]) => [
      `plan ${plan}, `, same(service, active) ? 'active' : h('span', { class: 'moved' }, `failed over: ${active} is active`)]);
    this.showAge(p);
    fill(this.days, [p.days ?? [], new Date(now()).toISOString().slice(0, 10)], strip);
    fill(this.drills, [p.drills ?? [], p.unproven, p.drills?.length && age(since(p.drills.at(-1).endedAt))], drillChart);
    fill(this.survives, p.survivesPrimaryLoss ?? {}, ({ survives = 'unknown' }) => h('p', {}, h('span', { class: survives }, { yes: 'recoverable', no: 'not recoverable' }[survives] ?? 'not known')));
    fill(this.lines, [p.why ?? [], p.holds ?? [], survivalReasons(p)], ([why, holds, reasons]) => [
      why.map((text) => h('p', { class: 'line bad' }, text)), reasons.map((text) => h('p', { class: 'line look' }, text)),
      holds.map((hold) => h('p', { class: 'line held' }, h('span', {}, `${hold.service} is held until `, moment(hold.until), ` by ${hold.by}: ${hold.reason}`)))]);
    showRunning(this.ops, running, p.service);
    say(this.inShort, inShort(p));
    this.showFacts();
  }

  showAge(p) {
    const percent = Math.round(100 * share(p));
    if (!p.newestGood) {
      this.meter.className = 'meter none';
      this.level.style.width = '0';
      this.meter.setAttribute('aria-valuenow', 100);
      fill(this.age, p.rpoSeconds, (rpo) => [h('span', { class: 'big' }, 'none'), `, RPO ${lasting(rpo)}`]);
    } else {
      this.meter.className = `meter ${share(p) > 1 ? 'over' : percent > 85 ? 'near' : ''}`;
      this.level.style.width = `${Math.min(100, percent * 0.8)}%`; // the mark of the RPO stands at 80 %, so that what is past it shows
      this.meter.setAttribute('aria-valuenow', Math.min(100, percent));
      fill(this.age, [age(p.ageSeconds ?? 0), lasting(p.rpoSeconds)], ([is, rpo]) => [h('span', { class: 'big' }, `${is} old`), `, RPO ${rpo}`]);
    }
    this.meter.setAttribute('aria-valuetext', this.age.textContent);
  }

  showFacts() {
    if (this.more.open) fill(this.facts, { ...this.p, ageSeconds: 0, proofAgeSeconds: 0, why: [] }, facts);
  }
}

const survivalReasons = (p) => (p.survivesPrimaryLoss?.survives === 'no' ? p.survivesPrimaryLoss.reasons ?? [] : []);

function inShort(p) {
  const parts = [];
  if (p.expiresAt) parts.push(since(p.expiresAt) < 0 ? `expires in ${age(-since(p.expiresAt))}` : 'has expired');
  if (p.notCovered?.length) parts.push(`${plural(p.notCovered.length, 'thing')} left to do by hand after a restore`);
  if (p.pairs?.length) parts.push(plural(p.pairs.length, 'standby', 'standbys'));
  return parts.length ? parts.join(', ') : 'more';
}

// strip has a column for each of the last 30 days: a whole one is good, a half one bad, both have a notch of bad at their foot, and a dot is none.
function strip([days, date]) {
  const by = new Map(days.map((d) => [d.date, d])), today = Date.parse(date);
  const paths = { good: '', bad: '', none: '' };
  let good = 0, bad = 0;
  for (let i = 0; i < 30; i++) {
    const d = by.get(new Date(today - (29 - i) * day * seconds).toISOString().slice(0, 10)) ?? {}, x = i * 7;
    good += Boolean(d.good);
    bad += Boolean(d.bad);
    if (d.good) paths.good += `M${x} 2h5v${d.bad ? 12 : 22}h-5z`;
    if (d.bad) paths.bad += `M${x} ${d.good ? 16 : 14}h5v${d.good ? 8 : 10}h-5z`;
    if (!d.good && !d.bad) paths.none += `M${x + 1.5} 22h2v2h-2z`;
  }
  const text = days.length === 0 ? 'no backup has ended' : `good on ${plural(good, 'day')}` + (bad ? `, bad on ${bad}` : '');
  return [s('svg', { class: 'strip', viewBox: '0 0 208 26', preserveAspectRatio: 'none', 'aria-hidden': 'true' }, Object.entries(paths).map(([name, d]) => s('path', { class: name, d }))), h('p', {}, text)];
}

// drillChart has a column for each of the last drills, as high as its recovery took long; a cross is one without a recovery time.
function drillChart([drills, unproven, ago]) {
  if (drills.length === 0) return h('p', { class: 'meta' }, unproven ?? 'none yet');
  const most = Math.max(1, ...drills.map((d) => d.recoverySeconds ?? 0)), last = drills.at(-1);
  const columns = drills.map((d, i) => {
    const x = (12 - drills.length + i) * 11, high = d.recoverySeconds ? Math.max(3, (22 * d.recoverySeconds) / most) : 0;
    return high ? s('path', { class: 'good', d: `M${x} 24v${-high}h8v${high}z` }) : s('path', { class: 'bad', d: `M${x} 24l3-3-3-3 1.5-1.5 3 3 3-3 1.5 1.5-3 3 3 3-1.5 1.5-3-3-3 3z` });
  });
  const text = last.outcome === 'succeeded' ? `the last took ${lasting(last.recoverySeconds ?? 0)}` : `the last ${ended[last.outcome] ?? last.outcome}`;
  return [s('svg', { class: 'drills', viewBox: '0 0 132 26', width: 132, 'aria-hidden': 'true' }, s('path', { class: 'base', d: 'M0 25h130v1h-130z' }), columns),
    h('p', {}, `${text}, ${ago} ago`), unproven && h('p', { class: 'meta' }, unproven)];
}

function facts(p) {
  const list = [];
  const fact = (name, ...children) => list.push(h('dt', {}, name), h('dd', {}, children));
  const items = (texts) => h('ul', {}, texts.map((text) => h('li', {}, text)));
  if (p.newestGood) fact('recovery point', h('code', {}, p.newestGood.id), ', made ', moment(p.newestGood.createdAt), p.newestGood.asOf && [', restored ', moment(p.newestGood.asOf)], p.newestGood.service && ` of ${p.newestGood.service}`);
  if (p.expiresAt) fact('expires', moment(p.expiresAt));
  if (p.newestGood) fact('left to do by hand', p.notCovered?.length ? items(p.notCovered) : 'not known of this recovery point');
  if (p.pairs?.length) fact('roles', h('ul', {}, p.pairs.map(role)));
  fact('if its region is lost', { yes: 'a recovery survives the loss of the active instance’s region', no: 'a recovery does not survive the loss of the active instance’s region' }[p.survivesPrimaryLoss?.survives] ?? 'not known',
    p.survivesPrimaryLoss?.reasons?.length && items(p.survivesPrimaryLoss.reasons));
  if (p.lastOutcome) fact('last operation', h('code', {}, p.lastOutcome.operation), ` ${p.lastOutcome.outcome}, `, moment(p.lastOutcome.endedAt));
  if (p.lastRestore) fact('last restore', h('code', {}, p.lastRestore.operation), ` ${p.lastRestore.outcome}, begun `, moment(p.lastRestore.at));
  const usual = [p.usual?.backupSeconds && `a backup ${lasting(p.usual.backupSeconds)}`, p.usual?.restoreSeconds && `a restore ${lasting(p.usual.restoreSeconds)}`].filter(Boolean);
  if (usual.length) fact('usually takes', usual.join(', '));
  const bad = (p.days ?? []).filter((d) => d.bad);
  if (bad.length) fact('bad backups', bad.map((d) => d.date).join(', '));
  if (p.drills?.length) fact('drills', h('ul', {}, p.drills.toReversed().map((d) => h('li', {}, moment(d.endedAt), `: ${d.outcome}`, d.recoverySeconds && `, recovered in ${lasting(d.recoverySeconds)}`))));
  if (p.unproven) fact('proof', p.unproven);
  fact('instance', h('code', {}, p.resourceId));
  return list;
}

function role(pair) {
  const other = pair.name.split('~').find((n) => !same(n, pair.active)) ?? pair.name;
  const follows = pair.suspended ? 'follows no backup until it is re-armed' : pair.warm ? 'follows each good backup' : 'is overwritten by a failover only';
  return h('li', {}, `${pair.active} is active`, same(pair.home, pair.active) ? '' : ` (home is ${pair.home})`, `; ${other} stands by and ${follows}`,
    pair.standby && [', holds the state of ', moment(pair.standby.asOf ?? pair.standby.createdAt)], pair.busyBy && `; a failover is at work: ${pair.busyBy}`, pair.syncing && `; a warm sync is at work: ${pair.syncing}`);
}

// ---- the fleet ---------------------------------------------------------------------------------------------------------------------------------------

const rows = new Map(); // by name
const few = 8; // so many are seen without a search

function show(status) {
  const list = status.services.toSorted(worstFirst), flying = status.inFlight ?? [];
  for (const id of operations.keys()) if (!flying.some((op) => op.id === id)) operations.delete(id);
  const home = homes(list, flying);
  const shown = list.map((p) => {
    if (!rows.has(p.service)) rows.set(p.service, new Row(p.service));
    const row = rows.get(p.service);
    row.update(p, home.get(p.service) ?? []);
    return row;
  });
  for (const [name, row] of rows) if (!shown.includes(row)) { row.root.remove(); rows.delete(name); }
  arrange(shown.map((row) => row.root));
  showRunning($('elsewhere'), home.get('') ?? []);
  summarise(shown, flying.length, status.notShown ?? 0);
  const d = status.discovery;
  fill($('notes'), [d?.gone ?? [], d?.faults ?? []], ([gone, faults]) => [
    gone.map((g) => h('p', { class: 'line look' }, `${g.name} was found by its tag and is gone: ${g.why}`)), faults.map((f) => h('p', { class: 'line look' }, `${f.about}: ${f.why}`))]);
  say($('stamp'), (status.stamp ?? []).map((place) => `${place.what}: ${place.region || 'region not known'}`).join(' · '));
  $('sieve').hidden = shown.length <= few;
  sift();
  tell(shown, flying);
}

// homes finds the service under which each operation is shown: that of its name, or one that it belongs to; '' when there is none, as for a drill instance.
function homes(list, flying) {
  const found = new Map();
  for (const op of flying) {
    const at = op.service.toLowerCase();
    const p = list.find((q) => same(q.service, at)) ?? list.find((q) => members(q).has(at));
    const name = p?.service ?? '';
    found.set(name, [...(found.get(name) ?? []), op]);
  }
  return found;
}

// arrange moves only what is not in its place, and the focus stays where it was.
function arrange(elements) {
  const list = $('services'), focused = document.activeElement;
  elements.forEach((element, i) => { if (list.children[i] !== element) list.insertBefore(element, list.children[i] ?? null); });
  if (focused !== document.activeElement) focused.focus({ preventScroll: true });
}

function summarise(shown, flying, notShown) {
  const of = (k) => shown.filter((row) => row.kind === k).length, bad = of('bad'), look = of('look'), n = shown.length;
  const verdict = n === 0 ? 'The fleet has no service' : bad ? `${bad.toLocaleString('en')} of ${plural(n, 'service')} not protected` : n === 1 ? 'The one service is protected' : `All ${n.toLocaleString('en')} services are protected`;
  say($('verdict'), verdict);
  $('verdict').className = `verdict ${bad ? 'bad' : n ? 'good' : ''}`;
  document.title = (bad ? `${bad} not protected` : n ? 'protected' : 'no service') + ' · apim-dr';
  say($('counts'), [`${(n - bad).toLocaleString('en')} protected`, look && `${look.toLocaleString('en')} of them to look at`, `${plural(flying + notShown, 'operation')} in flight` + (notShown ? ` (${notShown} not shown)` : '')].filter(Boolean).join(', '));
  fill($('shares'), [['bad', bad], ['look', look], ['good', n - bad - look]].filter(([, count]) => count), (parts) => parts.map(([name, count]) => {
    const part = h('span', { class: name });
    part.style.flexGrow = count;
    return part;
  }));
}

function sift() {
  const words = $('find').value.trim().toLowerCase(), want = $('kinds').querySelector(':checked').value;
  let n = 0;
  for (const row of rows.values()) {
    const fits = $('sieve').hidden || (row.text.includes(words) && (want === 'all' || row.kind === want || (want === 'busy' && row.busy)));
    if (row.root.hidden === fits) row.root.hidden = !fits;
    n += fits;
  }
  say($('found'), n === rows.size ? '' : `${n.toLocaleString('en')} shown`);
}

// tell lets a screen reader hear what has changed since the last answer, and nothing else.
let heard = null;
function tell(shown, flying) {
  const is = { bad: new Set(shown.filter((row) => row.kind === 'bad').map((row) => row.p.service)), ops: new Map(flying.map((op) => [op.id, named(op)])) };
  const news = [];
  if (heard) {
    for (const name of is.bad) if (!heard.bad.has(name)) news.push(`${name} is not protected`);
    for (const name of heard.bad) if (!is.bad.has(name) && rows.has(name)) news.push(`${name} is protected again`);
    for (const [id, what] of is.ops) if (!heard.ops.has(id)) news.push(`${what} has begun`);
    for (const [id, what] of heard.ops) if (!is.ops.has(id)) news.push(`${what} has ended`);
  }
  heard = is;
  if (news.length) say($('said'), news.length > 5 ? `${news.length} changes: ${$('verdict').textContent}` : news.join('; '));
}

// ---- asking ------------------------------------------------------------------------------------------------------------------------------------------

let timer = 0, asking = null, due = 0, lostSince = 0, refused = false;

async function load() {
  clearTimeout(timer);
  if (asking) return;
  const key = sessionStorage.getItem(keyName), began = performance.now();
  const mine = asking = new AbortController();
  tick();
  let wait = otherwise, next = true;
  try {
    const response = await fetch('status', {
      headers: key ? { 'x-functions-key': key } : {}, cache: 'no-store', credentials: 'same-origin', redirect: 'manual', signal: AbortSignal.any([mine.signal, AbortSignal.timeout(patience)]),
    });
    if (response.status === 401 || response.type === 'opaqueredirect') {
      next = false;
      askToEnter(key);
    } else if (!response.ok) {
      throw await refusal(response);
    } else {
      const status = await response.json();
      if (mine.signal.aborted) return;
      answer = { ...status, arrived: Date.now() };
      took(status);
      // An answer costs reads of every service: of a fleet so large that it takes long, fewer are asked for.
      wait = Math.max(status.inFlight?.length ? whileBusy : otherwise, 4 * (performance.now() - began));
    }
  } catch (error) {
    if (mine.signal.aborted) return;
    lost(error);
    wait = whileBusy;
  } finally {
    if (asking === mine) {
      asking = null;
      if (next) again(wait);
    }
  }
}

function again(wait) {
  due = Date.now() + wait;
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(load, wait);
  tick();
}

// refusal is the error of an answer that has no data: what its problem+json says, if it is one.
async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  const error = new Error([problem.title, problem.detail].filter((t) => typeof t === 'string').join(': ') || `The answer was ${response.status}.`);
  error.answered = response.status;
  return error;
}

function took(status) {
  refused = false;
  if (lostSince) say($('said'), 'The server answers again.');
  lostSince = 0;
  document.body.classList.remove('stale');
  $('trouble').hidden = true;
  $('gate').hidden = $('sign-in').hidden = true;
  $('fleet').hidden = $('refresh').hidden = false;
  $('forget').hidden = !sessionStorage.getItem(keyName);
  show(status);
}

function lost(error) {
  lostSince ||= Date.now();
  const what = error.answered ? h('strong', {}, error.answered === 403 ? 'You may not see this. ' : 'The server has no answer. ') : h('strong', {}, 'The server cannot be reached. ');
  const why = error.answered ? error.message : error.name === 'TimeoutError' ? 'It did not answer within a minute.' : error instanceof SyntaxError ? 'Its answer cannot be read.' : '';
  $('trouble').hidden = false;
  fill($('trouble'), [what.textContent, why, lostSince], () => [what, `Since ${clock.format(lostSince)}. ${why}${answer ? ' What you see is the last that it told.' : ''}`]);
  document.body.classList.toggle('stale', Boolean(answer));
  $('refresh').hidden = false;
  document.title = 'no answer · apim-dr';
}

// askToEnter asks for what opens the data. What was seen before stays, greyed.
function askToEnter(key) {
  refused = true;
  document.body.classList.toggle('stale', Boolean(answer));
  $('trouble').hidden = true;
  if (entra) {
    $('sign-in-link').href = `/.auth/login/aad?post_login_redirect_uri=${encodeURIComponent(location.pathname)}`;
    $('sign-in').hidden = false;
  } else {
    sessionStorage.removeItem(keyName);
    say($('gate-why'), key ? 'This key does not open the function GetStatus.' : '');
    $('forget').hidden = true;
    $('gate').hidden = false;
    $('key').focus();
  }
  document.title = 'sign in · apim-dr';
  tick();
}

// tick tells how old what is seen is, and moves what is in flight.
function tick() {
  if (!lostSince && !refused) for (const view of operations.values()) view.tick(); // else nobody knows whether it still runs
  const asOf = $('as-of');
  if (!answer) return say(asOf, '');
  const old = Math.max(0, Math.round((Date.now() - answer.arrived) / seconds)), left = Math.max(0, Math.ceil((due - Date.now()) / seconds));
  const then = refused ? '' : asking || left === 0 ? ', asking now' : `, again in ${left} s`;
  say(asOf, `as of ${clock.format(answer.arrived)}, ${lasting(old)} ago${then}`);
}

$('gate').addEventListener('submit', (event) => {
  event.preventDefault();
  const key = $('key').value.trim();
  $('key').value = '';
  if (!/^[\x21-\x7e]+$/.test(key)) return say($('gate-why'), 'A key has only letters, digits and signs, and no spaces.');
  sessionStorage.setItem(keyName, key);
  load();
});
$('forget').addEventListener('click', () => {
  asking?.abort();
  asking = null;
  clearTimeout(timer);
  sessionStorage.removeItem(keyName);
  answer = heard = null;
  rows.clear();
  operations.clear();
  $('services').replaceChildren();
  $('fleet').hidden = $('refresh').hidden = true;
  askToEnter('');
});
$('refresh').addEventListener('click', load);
$('find').addEventListener('input', sift);
$('kinds').addEventListener('change', sift);
setInterval(() => { if (!document.hidden) tick(); }, seconds);
document.addEventListener('visibilitychange', () => {
  clearTimeout(timer);
  if (document.hidden || (refused && !entra)) return; // a session may have begun in another tab
  if (Date.now() >= due) load();
  else timer = setTimeout(load, due - Date.now());
});
load();
