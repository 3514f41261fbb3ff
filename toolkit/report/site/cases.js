// The list of cases.

const SHOWN = [
  ['', 'all'],
  ['failing', 'failing now'],
  ['failed', 'ever failed'],
  ['flaky', 'flaky'],
  ['changed', 'changed'],
  ['skipped', 'skipped now'],
];
const PASSES = {
  '': () => true,
  failing: (summary) => summary.failing.length > 0,
  failed: (summary) => summary.bad > 0,
  flaky: (summary) => summary.flake.flaky,
  changed: (summary) => summary.change !== null,
  skipped: (summary, code) => code[summary.last] === SKIPPED,
};
const SORTS = [
  ['bad', 'most often bad'],
  ['changed', 'changed last'],
  ['slow', 'slowest'],
  ['name', 'name'],
];

function sorted(all, cases, order) {
  const { run } = all.columns;
  const orders = {
    bad: (a, b) => b.rank - a.rank || b.judged - a.judged,
    changed: (a, b) => (b.change ? run[b.change.to] : -1) - (a.change ? run[a.change.to] : -1),
    slow: (a, b) => (b.median ?? -1) - (a.median ?? -1),
    name: (a, b) => (a.one.id < b.one.id ? -1 : 1),
  };
  return cases.sort((a, b) => orders[order](a, b) || a.one.number - b.one.number);
}

function medianOf(all, summary, inScope) {
  if (summary.median === undefined) {
    summary.median = median(
      results(all, summary.one, inScope)
        .map((at) => all.columns.ms[at])
        .filter((ms) => ms >= 0),
    );
    [summary.rank] = summary.bad ? wilson(summary.bad, summary.judged) : [0];
  }
  return summary;
}

function casesView(all, scope, chosen, values) {
  const { code } = all.columns;
  const list = h('div');
  const count = h('output', { id: 'shown', 'aria-live': 'polite' });
  const known = (options, value, other) =>
    options.some(([option]) => option === value) ? value : other;
  const state = {
    q: values.q ?? '',
    show: known(SHOWN, values.show, ''),
    sort: known(SORTS, values.sort, 'bad'),
  };
  const apply = () => {
    const wanted = words(state.q);
    const found = chosen.cases.filter(
      (summary) =>
        PASSES[state.show](summary, code) && matches(summary.one.id.toLowerCase(), wanted),
    );
    for (const summary of found) medianOf(all, summary, chosen.inScope);
    count.textContent = `${plural(found.length, 'case')}${found.length < chosen.cases.length ? ` of ${chosen.cases.length.toLocaleString('en')}` : ''}`;
    list.replaceChildren(
      ...(found.length
        ? caseTable(all, sorted(all, found, state.sort), chosen.inScope)
        : empty('No case fits. Escape in the filter, or “all”, shows them again.')),
    );
    remember({ view: 'cases', ...state, sort: state.sort === 'bad' ? '' : state.sort });
  };
  const form = h(
    'form',
    { class: 'filter', role: 'search' },
    searchBox('part of a suite, program or case', state.q, (text) => {
      state.q = text;
      apply();
    }),
    choice('show', 'Show', SHOWN, state.show, (value) => {
      state.show = value;
      apply();
    }),
    choice('sort', 'Order', SORTS, state.sort, (value) => {
      state.sort = value;
      apply();
    }),
    count,
  );
  apply();
  return [h('h1', {}, 'Cases'), form, list];
}

// The status that a case has now, and where it is bad in some lines alone, in how many.
function lastOf(all, { now, failing, lines }) {
  const some = failing.length > 0 && failing.length < lines;
  const where = { class: 'quiet', title: 'series on a kernel' };
  return h(
    'span',
    {},
    statusBadge(all.columns.code[now]),
    some && h('span', where, ` on ${failing.length} of ${lines}`),
  );
}

function caseTable(all, cases, inScope) {
  const columns = [
    { head: 'Case' },
    { head: 'Last' },
    { head: 'Last 40 results', label: 'Record', layout: 'strips' },
    { head: 'Bad' },
    { head: 'Median', layout: 'num' },
  ];
  return listing(
    columns,
    cases,
    (summary) => [
      [
        h('a', { href: caseLink(summary.one), class: 'id' }, caseName(summary.one)),
        summary.flake.flaky && [' ', badge('flaky', 'warn')],
      ],
      lastOf(all, summary),
      caseStrip(all, summary, inScope),
      badOf(summary),
      duration(summary.median),
    ],
    { kind: 'cases' },
  );
}

function badOf({ bad, judged }) {
  if (bad) return rate(bad, judged);
  return h('span', { class: 'quiet' }, judged ? `none of ${judged}` : 'never judged');
}
