// The other views: cases and one case, runs and one run, times.

const SHOWN = [
  ['', 'all'], ['failing', 'failing now'], ['failed', 'ever failed'], ['flaky', 'flaky'], ['changed', 'changed'], ['skipped', 'skipped now'],
];
const PASSES = {
  '': () => true,
  failing: (summary) => summary.failing.length > 0,
  failed: (summary) => summary.bad > 0,
  flaky: (summary) => summary.flake.flaky,
  changed: (summary) => summary.change !== null,
  skipped: (summary, code) => code[summary.last] === SKIPPED,
};
const SORTS = [['bad', 'most often bad'], ['changed', 'changed last'], ['slow', 'slowest'], ['name', 'name']];

function words(query) {
  return query.toLowerCase().split(/\s+/).filter(Boolean);
}
const matches = (text, wanted) => wanted.every((word) => text.includes(word));

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
    summary.median = median(results(all, summary.one, inScope).map((at) => all.columns.ms[at]).filter((ms) => ms >= 0));
    [summary.rank] = summary.bad ? wilson(summary.bad, summary.judged) : [0];
  }
  return summary;
}

function casesView(all, scope, chosen, values) {
  const { code } = all.columns;
  const list = h('div');
  const count = h('output', { id: 'shown', 'aria-live': 'polite' });
  const known = (options, value, other) => (options.some(([option]) => option === value) ? value : other);
  const state = { q: values.q ?? '', show: known(SHOWN, values.show, ''), sort: known(SORTS, values.sort, 'bad') };
  const apply = () => {
    const wanted = words(state.q);
    const found = chosen.cases.filter((summary) => PASSES[state.show](summary, code) && matches(summary.one.id.toLowerCase(), wanted));
    for (const summary of found) medianOf(all, summary, chosen.inScope);
    count.textContent = `${plural(found.length, 'case')}${found.length < chosen.cases.length ? ` of ${chosen.cases.length.toLocaleString('en')}` : ''}`;
    list.replaceChildren(...(found.length ? caseTable(all, sorted(all, found, state.sort), chosen.inScope) : [h('p', { class: 'empty' }, 'No case fits. Escape in the filter, or “all”, shows them again.')]));
    remember({ view: 'cases', ...state, sort: state.sort === 'bad' ? '' : state.sort });
  };
  const form = h('form', { class: 'filter', role: 'search' },
    searchBox('part of a suite, program or case', state.q, (text) => { state.q = text; apply(); }),
    choice('show', 'Show', SHOWN, state.show, (value) => { state.show = value; apply(); }),
    choice('sort', 'Order', SORTS, state.sort, (value) => { state.sort = value; apply(); }),
    count);
  apply();
  return [h('h1', {}, 'Cases'), form, list];
}

function searchBox(placeholder, value, changed) {
  let timer = 0;
  const input = h('input', {
    type: 'search', id: 'q', value, placeholder, autocomplete: 'off', spellcheck: 'false', 'aria-keyshortcuts': '/', 'aria-label': 'Filter',
    on: { input: () => { clearTimeout(timer); timer = setTimeout(() => changed(input.value), 80); } },
  });
  return input;
}

function choice(name, legend, options, value, changed) {
  return h('fieldset', {}, h('legend', {}, legend), options.map(([option, word]) => h('label', { class: 'pill' },
    h('input', { type: 'radio', name, value: option, checked: option === value, on: { change: () => changed(option) } }), word)));
}

// The status that a case has now, and where it is bad in some lines alone, in how many.
function lastOf(all, { now, failing, lines }) {
  return [statusBadge(all.columns.code[now]),
    failing.length > 0 && failing.length < lines && h('span', { class: 'quiet', title: 'series on a kernel' }, ` on ${failing.length} of ${lines}`)];
}

function caseTable(all, cases, inScope) {
  const { code } = all.columns;
  const body = h('tbody');
  const more = paged(cases, (summary) => h('tr', {},
    h('th', { scope: 'row' }, h('a', { href: caseLink(summary.one), class: 'id' }, caseName(summary.one)),
      summary.flake.flaky && [' ', badge('flaky', 'warn')]),
    h('td', { 'data-label': 'Last' }, lastOf(all, summary)),
    h('td', { 'data-label': 'Record', class: 'strips' }, caseStrip(all, summary, inScope)),
    h('td', { 'data-label': 'Bad' }, summary.judged
      ? (summary.bad ? rate(summary.bad, summary.judged) : h('span', { class: 'quiet' }, `none of ${summary.judged}`))
      : h('span', { class: 'quiet' }, 'never judged')),
    h('td', { 'data-label': 'Median', class: 'num' }, duration(summary.median))), body);
  return [h('table', { class: 'cards cases' }, h('thead', {}, h('tr', {},
    h('th', { scope: 'col' }, 'Case'), h('th', { scope: 'col' }, 'Last'), h('th', { scope: 'col' }, 'Last 40 results'),
    h('th', { scope: 'col' }, 'Bad'), h('th', { scope: 'col', class: 'num' }, 'Median'))), body), more];
}

// --- one case -----------------------------------------------------------------------------------

function caseView(all, scope, chosen, values) {
  const found = chosen.cases.find((summary) => summary.one.id === values.id);
  if (!found) return missing('case', values.id ?? '');
  const { one } = found;
  const { run, code, ms } = all.columns;
  const ats = results(all, one, chosen.inScope);
  const point = (at) => ({
    run: all.runs[run[at]], ms: ms[at], tone: toneOf(code[at]),
    words: `${when(all.runs[run[at]].started)} ${subject(all.runs[run[at]])}: ${statusOf(code[at])}${ms[at] < 0 ? '' : `, ${duration(ms[at])}`}`,
  });
  const timed = ats.filter((at) => ms[at] >= 0).map(point);
  const drawn = timed.slice(-200); // more points nobody tells apart
  const newest = all.runs[run[found.now]];
  return [
    h('p', { class: 'crumb' }, h('a', { href: link('cases') }, 'Cases'), ' / ', h('a', { href: link('cases', { q: one.program.id }) }, one.program.id)),
    h('h1', { class: 'id' }, one.name || one.program.id),
    h('p', { class: 'lead' }, lastOf(all, found), ' in its last run, ', h('a', { href: runLink(newest) }, time(newest.started)),
      found.flake.flaky && [' ', badge('flaky', 'warn')]),
    h('dl', { class: 'facts' },
      fact('Bad', found.judged ? rate(found.bad, found.judged) : 'it was always skipped'),
      found.flake.flaky && fact('Flaky', [rate(found.flake.bad, found.flake.of), h('span', { class: 'note' }, 'of the runs on kernels on which it also passed')]),
      fact('Changes', found.changes ? `${found.changes}, between good and bad` : 'none between good and bad'),
      timed.length ? fact('Median time', duration(median(timed.map((each) => each.ms)))) : null),
    section('record', 'Record', `Its ${plural(ats.length, 'result')}, the newest last.`, fullRecord(ats.map(point))),
    timed.length > 1 && section('times', 'Times', drawn.length < timed.length && 'The last 200.', h('figure', {}, timeline(drawn, `Times of ${one.id} in ${drawn.length} runs`))),
    section('lines', 'By series and kernel', null, byLine(all, ats)),
    found.change && section('last-change', 'Its last change', null, changeList(all, [found])),
    section('repeat', 'Look closer', null,
      copyable(`toolkit history ${quoted(one.id)}`),
      found.failing.length > 0 && copyable(`toolkit reproduce ${quoted(newest.name)} ${quoted(one.id)}`)),
    section('results', 'Results', null, resultTable(all, [...ats].reverse())),
  ];
}

const fact = (name, value) => [h('dt', {}, name), h('dd', {}, value)];

function missing(what, name) {
  return [h('h1', {}, `No such ${what}`), h('p', {}, `There is no ${what} “${name}” in these runs. `, h('a', { href: '#/overview' }, 'Show all runs'))];
}

function fullRecord(points) {
  return h('div', { class: 'record', role: 'img', 'aria-label': `${points.filter((each) => each.tone === 'bad').length} of ${points.length} bad` },
    points.map((each) => h('a', { href: runLink(each.run), class: each.tone, title: each.words, tabindex: -1 })));
}

function byLine(all, ats) {
  const { run, code } = all.columns;
  const groups = new Map();
  for (const at of ats) {
    const { line } = all.runs[run[at]];
    if (!groups.has(line)) groups.set(line, []);
    groups.get(line).push(at);
  }
  const rows = [...groups].sort(([, a], [, b]) => run[b.at(-1)] - run[a.at(-1)]);
  const body = h('tbody');
  const more = paged(rows, ([line, mine]) => {
    const judged = mine.filter((at) => code[at] !== SKIPPED);
    const bad = judged.filter((at) => BAD.has(code[at])).length;
    return h('tr', {},
      h('th', { scope: 'row' }, subject(line)), h('td', { 'data-label': 'Kernel' }, kernelName(line)),
      h('td', { 'data-label': 'Last' }, statusBadge(code[mine.at(-1)])),
      h('td', { 'data-label': 'Record', class: 'strips' }, strip(mine.map((at) => toneOf(code[at])), `${bad} of ${judged.length} bad`)),
      h('td', { 'data-label': 'Bad' }, judged.length ? rate(bad, judged.length) : 'never judged'));
  }, body, 20);
  return [h('table', { class: 'cards' }, h('thead', {}, h('tr', {}, ['Series', 'Kernel', 'Last', 'Last 40 results', 'Bad'].map((word) => h('th', { scope: 'col' }, word)))), body), more];
}

function resultTable(all, ats) {
  const { run, code, ms } = all.columns;
  const body = h('tbody');
  const more = paged(ats, (at) => {
    const of = all.runs[run[at]];
    return h('tr', {}, h('td', { 'data-label': 'When' }, h('a', { href: runLink(of) }, time(of.started))),
      h('td', { 'data-label': 'Result' }, statusBadge(code[at])), h('td', { 'data-label': 'Series' }, subject(of)),
      h('td', { 'data-label': 'Kernel' }, kernelName(of)), h('td', { 'data-label': 'Time', class: 'num' }, duration(ms[at])));
  }, body, 20);
  return [h('table', { class: 'cards' }, h('thead', {}, h('tr', {}, ['When', 'Result', 'Series', 'Kernel', 'Time'].map((word) => (
    h('th', { scope: 'col', class: word === 'Time' && 'num' }, word))))), body), more];
}

// --- runs ---------------------------------------------------------------------------------------

function runsView(all, scope, chosen, values) {
  const list = h('div');
  const count = h('output', { id: 'shown', 'aria-live': 'polite' });
  const verdicts = [...new Set(chosen.runs.map((run) => run.verdict))].sort();
  const state = { q: values.q ?? '', verdict: verdicts.includes(values.verdict) ? values.verdict : '' };
  const apply = () => {
    const wanted = words(state.q);
    const found = chosen.runs.filter((run) => (!state.verdict || run.verdict === state.verdict)
      && matches(`${subject(run)} ${run.kernel} ${run.release} ${run.name} ${run.command} ${run.accel}`.toLowerCase(), wanted)).reverse();
    count.textContent = `${plural(found.length, 'run')}${found.length < chosen.runs.length ? ` of ${chosen.runs.length}` : ''}`;
    list.replaceChildren(...(found.length ? runTable(all, found) : [h('p', { class: 'empty' }, 'No run fits.')]));
    remember({ view: 'runs', ...state });
  };
  const form = h('form', { class: 'filter', role: 'search' },
    searchBox('part of a series, kernel, folder or command', state.q, (text) => { state.q = text; apply(); }),
    choice('verdict', 'Verdict', [['', 'all'], ...verdicts.map((verdict) => [verdict, verdict.replace('-', ' ')])], state.verdict, (value) => { state.verdict = value; apply(); }),
    count);
  apply();
  return [h('h1', {}, 'Runs'), form, list];
}

function runTable(all, runs) {
  const body = h('tbody');
  const longest = Math.max(...runs.map((run) => run.ms));
  const more = paged(runs, (run) => h('tr', {},
    h('th', { scope: 'row' }, h('a', { href: runLink(run) }, time(run.started))),
    h('td', { 'data-label': 'Verdict' }, verdictBadge(run)),
    h('td', { 'data-label': 'Series' }, subject(run)),
    h('td', { 'data-label': 'Kernel' }, kernelName(run, run.release)),
    h('td', { 'data-label': 'Machine' }, run.accel.toUpperCase()),
    h('td', { 'data-label': 'Bad', class: 'num' }, run.leaves ? `${run.bad} of ${run.leaves.toLocaleString('en')}` : ''),
    h('td', { 'data-label': 'Took', class: 'num took' }, duration(run.ms), bar(run.ms, longest)),
    h('td', { class: 'report' }, run.report && h('a', { href: run.report }, 'report'))), body);
  return [h('table', { class: 'cards' }, h('thead', {}, h('tr', {},
    ['Started', 'Verdict', 'Series', 'Kernel', 'Machine', 'Bad cases', 'Took'].map((word) => h('th', { scope: 'col', class: (word === 'Bad cases' || word === 'Took') && 'num' }, word)),
    h('td'))), body), more];
}

function runView(all, scope, chosen, values) {
  const run = all.runs.find((each) => String(each.started) === values.at && each.name === values.name);
  if (!run) return missing('run', values.name ?? '');
  const found = differences(all, run);
  const judged = all.ofRuns[run.number];
  const longest = Math.max(...run.stages.map((stage) => stage.ms), 1);
  return [
    h('p', { class: 'crumb' }, h('a', { href: link('runs') }, 'Runs'), ' / ', run.name),
    h('h1', {}, `${subject(run)} on ${run.release ? `Linux ${run.release}` : run.kernel}`),
    h('p', { class: 'lead' }, verdictBadge(run), ' ', time(run.started), ' UTC, took ', duration(run.ms), run.report && [' · ', h('a', { href: run.report }, 'its report')]),
    h('dl', { class: 'facts' },
      fact('Cases', judged.length ? `${found.bad.length.toLocaleString('en')} of ${judged.length.toLocaleString('en')} bad` : 'none was run'),
      fact('Kernel', h('span', { class: 'id' }, run.kernel, run.build && `, build ${run.build.slice(0, 12)}`)),
      run.accel && fact('Accelerator', run.accel.toUpperCase()),
      fact('Exit code', String(run.exit)),
      found.previous && fact('Run before it', h('a', { href: runLink(found.previous) }, time(found.previous.started)))),
    section('command', 'Its command', null, copyable(run.command)),
    found.broke.length > 0 && listed(all, 'broke', 'Went from good to bad', found.broke),
    found.fixed.length > 0 && listed(all, 'fixed', 'Went from bad to good', found.fixed),
    found.previous && !found.broke.length && !found.fixed.length && judged.length > 0 && section('same', 'Compared with the run before it', null,
      h('p', {}, `No case went from good to bad or back.${found.fresh.length ? ` ${plural(found.fresh.length, 'case')} did not run before.` : ''}`)),
    found.bad.length > 0 && section('bad', `Bad cases`, null, badList(all, found.bad)),
    run.stages.length > 0 && section('stages', 'Stages', null, h('table', { class: 'bars' }, h('tbody', {}, run.stages.map((stage) => h('tr', {},
      h('th', { scope: 'row' }, stage.name), h('td', {}, bar(stage.ms, longest, stage.cached ? 'found' : 'done')),
      h('td', { class: 'num' }, duration(stage.ms)), h('td', { class: 'quiet' }, stage.cached && 'found in the cache')))))),
  ];
}

function listed(all, id, title, changes) {
  const list = h('ul', { class: 'rows changes' });
  const more = paged(changes, ({ one, from, to }) => changeRow(all, one, { from, to }), list, 50);
  return section(id, title, null, list, more);
}

function badList(all, bad) {
  const list = h('ul', { class: 'rows changes' });
  const more = paged(bad, ({ one, to }) => h('li', {}, h('span', { class: 'turn' }, statusBadge(all.columns.code[to])),
    h('a', { href: caseLink(one), class: 'id' }, caseName(one))), list, 50);
  return [list, more];
}

// --- times --------------------------------------------------------------------------------------

function timingsView(all, scope, chosen) {
  const stages = stageTimes(chosen.runs).slice(0, 24);
  const programs = programTimes(all, chosen.inScope);
  const body = h('tbody');
  const more = paged(programs, (one) => h('tr', {},
    h('th', { scope: 'row' }, h('a', { href: link('cases', { q: one.program.id }), class: 'id' }, one.program.id)),
    h('td', { 'data-label': 'Median', class: 'num' }, duration(one.median)),
    h('td', { 'data-label': 'Last', class: 'num' }, duration(one.last)),
    h('td', { 'data-label': 'Longest', class: 'num' }, duration(one.longest)),
    h('td', { 'data-label': 'Trend' }, sparkline(one.points.map((point) => point.ms))),
    h('td', { 'data-label': 'Runs', class: 'num' }, one.points.length)), body, 40);
  return [
    h('h1', {}, 'Timings'),
    section('stages', 'Stages', 'Each over its last 100 runs. Grey points were found in the cache; the line joins those that were done.',
      h('div', { class: 'plots' }, stages.map((stage) => h('figure', {},
        h('figcaption', {}, h('b', {}, stage.name), h('span', { class: 'quiet' }, [
          stage.done !== null && `done: ${duration(stage.done)}`, stage.found !== null && `found: ${duration(stage.found)}`,
        ].filter(Boolean).join(' · '), ' (median)')),
        timeline(stage.points.slice(-100).map((point) => ({
          ...point, tone: point.cached ? 'found' : 'done',
          words: `${when(point.run.started)} ${subject(point.run)}: ${duration(point.ms)}${point.cached ? ', found in the cache' : ''}`,
        })), `Times of the stage ${stage.name}`, 520))))),
    section('programs', 'Slowest programs', 'The sum over their cases, run by run.',
      programs.length ? [h('table', { class: 'cards' }, h('thead', {}, h('tr', {}, ['Program', 'Median', 'Last', 'Longest', 'Trend', 'Runs'].map((word) => (
        h('th', { scope: 'col', class: ['Median', 'Last', 'Longest', 'Runs'].includes(word) && 'num' }, word))))), body), more]
        : h('p', {}, 'No program has a time.')),
  ];
}
