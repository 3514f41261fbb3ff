// Elements and words. Text only ever becomes a text node or an attribute that runs nothing.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'on')
      for (const [type, listener] of Object.entries(value))
        element.addEventListener(type, listener);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}
const h = (name, attributes, ...children) =>
  fill(document.createElement(name), attributes, children);
const s = (name, attributes, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

const plural = (count, one, many = `${one}s`) =>
  `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
const pad = (number) => String(number).padStart(2, '0');

function when(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, 16).replace('T', ' ');
}
function time(seconds) {
  return h(
    'time',
    { datetime: new Date(seconds * 1000).toISOString(), title: 'UTC' },
    when(seconds),
  );
}
function duration(ms) {
  if (ms === null || ms < 0) return '';
  if (ms >= 3600000)
    return `${Math.floor(ms / 3600000)} h ${pad(Math.round((ms % 3600000) / 60000))} min`;
  if (ms >= 59950)
    return `${Math.floor(Math.round(ms / 1000) / 60)} min ${pad(Math.round(ms / 1000) % 60)} s`;
  if (ms >= 9950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 100) return `${(ms / 1000).toFixed(2)} s`;
  return `${Math.round(ms)} ms`;
}
// Neither of the ends is reached by rounding: 100 % and 0 % mean all and none.
function percent(share) {
  if (share === 0 || share === 1) return `${share * 100} %`;
  const rounded = Math.min(99.9, Math.max(0.1, share * 100));
  return `${rounded.toFixed(1)} %`;
}

const subject = (run) => run.series || 'unpatched';
// A commit's twelve first digits tell it from any other.
const shortKernel = (kernel) => kernel.replace(/@([0-9a-f]{12})[0-9a-f]{28,}$/, '@$1');
const kernelName = (of, release = '') =>
  h(
    'span',
    { title: of.kernel },
    h('span', { class: 'id' }, shortKernel(of.kernel)),
    release && h('span', { class: 'quiet' }, ` ${release}`),
  );
const badge = (word, tone) => h('span', { class: `badge ${tone}` }, word);
const statusBadge = (code) => badge(statusOf(code), toneOf(code));

const VERDICT_TONES = {
  pass: 'good',
  fail: 'bad',
  'build-break': 'bad',
  'boot-failure': 'bad',
  'no-tests': 'bad',
};
const verdictTone = (run) => VERDICT_TONES[run.verdict] ?? 'still';
const verdictBadge = (run) => badge(run.verdict.replace('-', ' '), verdictTone(run));

function caseName(one) {
  return [
    h('span', { class: 'path' }, one.program.id, one.name ? '/' : ''),
    h('span', { class: 'leaf' }, one.name),
  ];
}

function copyable(text) {
  const code = h('code', {}, text);
  const button = h('button', { type: 'button', class: 'copy' }, 'Copy');
  button.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = 'Selected';
    }
    setTimeout(() => {
      button.textContent = 'Copy';
    }, 1500);
  });
  return h('div', { class: 'command' }, code, button);
}

// Words as a shell takes them literally.
const quoted = (text) =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;

// A list that is drawn a page at a time: a hundred thousand rows at once nobody reads.
function paged(rows, draw, container, size = 100) {
  let shown = 0;
  const more = h('button', { type: 'button', class: 'more' });
  const next = () => {
    const focus = shown > 0;
    const drawn = rows.slice(shown, shown + size).map(draw);
    container.append(...drawn);
    shown += drawn.length;
    more.hidden = shown >= rows.length;
    more.textContent = `Show ${Math.min(size, rows.length - shown)} more of ${plural(rows.length - shown, 'row')}`;
    if (focus) drawn[0]?.querySelector('a')?.focus();
  };
  more.addEventListener('click', next);
  next();
  return more;
}

// A table whose rows become cards where the window is narrow. A column: what stands over it, what
// stands beside its value in a card, and how it is laid out. ``draw`` returns a row's cells.
function listing(columns, rows, draw, { size = 100, kind = '' } = {}) {
  const body = h('tbody');
  const cell = (content, place) => {
    const { head, label = head, layout } = columns[place];
    return place
      ? h('td', { 'data-label': label, class: layout }, content)
      : h('th', { scope: 'row' }, content);
  };
  const more = paged(rows, (row) => h('tr', {}, draw(row).map(cell)), body, size);
  const heads = columns.map(({ head, layout }) =>
    h('th', { scope: 'col', class: layout?.startsWith('num') && 'num' }, head),
  );
  return [h('table', { class: `cards ${kind}` }, h('thead', {}, h('tr', {}, heads)), body), more];
}

// What the views share.

const fact = (name, value) => [h('dt', {}, name), h('dd', {}, value)];
const empty = (text) => [h('p', { class: 'empty' }, text)];
const words = (query) => query.toLowerCase().split(/\s+/).filter(Boolean);
const matches = (text, wanted) => wanted.every((word) => text.includes(word));

function section(id, title, note, ...content) {
  return h('section', { id }, h('h2', {}, title), note && h('p', { class: 'note' }, note), content);
}

function missing(what, name) {
  const text = `There is no ${what} “${name}” in these runs. `;
  return [
    h('h1', {}, `No such ${what}`),
    h('p', {}, text, h('a', { href: '#/overview' }, 'Show all runs')),
  ];
}

function searchBox(placeholder, value, changed) {
  let timer = 0;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(() => changed(input.value), 80);
  };
  const hints = {
    placeholder,
    autocomplete: 'off',
    spellcheck: 'false',
    'aria-keyshortcuts': '/',
    'aria-label': 'Filter',
  };
  const input = h('input', { type: 'search', id: 'q', value, ...hints, on: { input: later } });
  return input;
}

function choice(name, legend, options, value, changed) {
  const pills = options.map(([option, word]) => {
    const on = { change: () => changed(option) };
    const input = h('input', { type: 'radio', name, value: option, checked: option === value, on });
    return h('label', { class: 'pill' }, input, word);
  });
  return h('fieldset', {}, h('legend', {}, legend), pills);
}
